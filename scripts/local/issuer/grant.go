package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// triggerTimeout is how long Cognito waits for a trigger.
const triggerTimeout = 5 * time.Second

// grant is what a token is issued for.
type grant struct {
	pool       *pool
	client     *Client
	source     string // trigger source
	username   string
	attributes map[string]string
	groups     []string
	scopes     []string
	metadata   map[string]string
	claims     map[string]any // those that differ between users and machines
	ttl        time.Duration
}

const clientCredentials = "TokenGeneration_ClientCredentials"

// issue signs the access token of a grant.
// https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
func (i *Issuer) issue(ctx context.Context, g grant) (string, time.Time, error) {
	now := i.cfg.Now()
	ttl := g.ttl
	if ttl == 0 {
		ttl = g.client.AccessTokenTTL
	}
	if ttl == 0 {
		ttl = defaultTTL
	}
	expires := time.Unix(now.Add(ttl).Unix(), 0)
	claims := map[string]any{
		"iss": g.pool.issuer, "client_id": g.client.ID, "token_use": "access", "version": 2,
		"auth_time": now.Unix(), "iat": now.Unix(), "exp": expires.Unix(), "jti": i.cfg.NewID(),
	}
	maps.Copy(claims, g.claims)
	details, err := i.customize(ctx, g)
	if err != nil {
		return "", time.Time{}, err
	}
	if err := details.apply(&g, claims); err != nil {
		return "", time.Time{}, err
	}
	if len(g.scopes) > 0 {
		claims["scope"] = strings.Join(g.scopes, " ")
	}
	if len(g.groups) > 0 {
		claims["cognito:groups"] = g.groups
	}
	token, err := g.pool.sign(claims)
	return token, expires, err
}

// triggerEvent is the event of a pre token generation trigger, version 2 or 3.
// https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-pre-token-generation.html
type triggerEvent struct {
	Version       string          `json:"version"`
	TriggerSource string          `json:"triggerSource"`
	Region        string          `json:"region"`
	UserPoolID    string          `json:"userPoolId"`
	UserName      string          `json:"userName"`
	CallerContext callerContext   `json:"callerContext"`
	Request       triggerRequest  `json:"request"`
	Response      triggerResponse `json:"response"`
}

type callerContext struct {
	AWSSDKVersion string `json:"awsSdkVersion"`
	ClientID      string `json:"clientId"`
}

type triggerRequest struct {
	UserAttributes     map[string]string `json:"userAttributes"`
	GroupConfiguration groupDetails      `json:"groupConfiguration"`
	Scopes             []string          `json:"scopes"`
	ClientMetadata     map[string]string `json:"clientMetadata,omitempty"`
}

type triggerResponse struct {
	Details *overrideDetails `json:"claimsAndScopeOverrideDetails"`
}

type groupDetails struct {
	GroupsToOverride   []string `json:"groupsToOverride"`
	IAMRolesToOverride []string `json:"iamRolesToOverride"`
	PreferredRole      *string  `json:"preferredRole"`
}

// overrideDetails is what a trigger wants changed. What it says of ID tokens has no effect here.
type overrideDetails struct {
	AccessToken *struct {
		ClaimsToAddOrOverride map[string]any `json:"claimsToAddOrOverride"`
		ClaimsToSuppress      []string       `json:"claimsToSuppress"`
		ScopesToAdd           []string       `json:"scopesToAdd"`
		ScopesToSuppress      []string       `json:"scopesToSuppress"`
	} `json:"accessTokenGeneration"`
	Groups *groupDetails `json:"groupOverrideDetails"`
}

// customize asks the pool's trigger, if it has one for this kind of grant.
func (i *Issuer) customize(ctx context.Context, g grant) (*overrideDetails, error) {
	t := g.pool.Trigger
	if t == nil || t.Version == "V1_0" || t.Version == "V2_0" && g.source == clientCredentials {
		return nil, nil //nolint:nilnil // nothing to change is no error
	}
	ev := triggerEvent{
		Version: t.Version[1:2], TriggerSource: g.source, Region: i.cfg.Region, UserPoolID: g.pool.ID, UserName: g.username,
		CallerContext: callerContext{AWSSDKVersion: "aws-sdk-unknown-unknown", ClientID: g.client.ID},
		Request: triggerRequest{
			UserAttributes: g.attributes, Scopes: orEmpty(g.scopes), ClientMetadata: g.metadata,
			GroupConfiguration: groupDetails{GroupsToOverride: orEmpty(g.groups), IAMRolesToOverride: []string{}},
		},
	}
	raw, err := json.Marshal(ev)
	if err != nil {
		return nil, fmt.Errorf("encode trigger event: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, triggerTimeout)
	defer cancel()
	answer, err := i.cfg.Invoke(ctx, t.FunctionARN, raw)
	if err != nil {
		return nil, fmt.Errorf("PreTokenGeneration failed with error %w", err)
	}
	var got struct{ Response triggerResponse }
	if err := json.Unmarshal(answer, &got); err != nil {
		return nil, fmt.Errorf("PreTokenGeneration gave an unrecognizable lambda output: %w", err)
	}
	return got.Response.Details, nil
}

// apply changes the claims, scopes and groups of a token.
func (d *overrideDetails) apply(g *grant, claims map[string]any) error {
	if d == nil {
		return nil
	}
	if d.Groups != nil {
		g.groups = d.Groups.GroupsToOverride
	}
	if d.AccessToken == nil {
		return nil
	}
	g.scopes = slices.DeleteFunc(slices.Clone(g.scopes), func(s string) bool { return slices.Contains(d.AccessToken.ScopesToSuppress, s) })
	for _, s := range d.AccessToken.ScopesToAdd {
		if strings.ContainsAny(s, " \t\n") || s == "" {
			return fmt.Errorf("PreTokenGeneration added the scope %q, which is not one", s)
		}
		if !slices.Contains(g.scopes, s) {
			g.scopes = append(g.scopes, s)
		}
	}
	for _, name := range d.AccessToken.ClaimsToSuppress {
		if fixed(name) {
			return fmt.Errorf("PreTokenGeneration suppressed the claim %s, which cannot be changed", name)
		}
		delete(claims, name)
	}
	for name, value := range d.AccessToken.ClaimsToAddOrOverride {
		if fixed(name) {
			return fmt.Errorf("PreTokenGeneration set the claim %s, which cannot be changed", name)
		}
		if name == "aud" && value != g.client.ID {
			return errors.New("PreTokenGeneration set the claim aud to another value than the client id")
		}
		claims[name] = value
	}
	return nil
}

// fixed claims are those that no trigger can change.
func fixed(name string) bool {
	switch name {
	case "acr", "amr", "at_hash", "auth_time", "azp", "client_id", "device_key", "event_id", "exp", "iat", "identities",
		"iss", "jti", "nbf", "nonce", "origin_jti", "scope", "sub", "token_use", "username", "version":
		return true
	}
	return strings.HasPrefix(name, "cognito:") || strings.HasPrefix(name, "dev:") || strings.HasPrefix(name, "aws:")
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
