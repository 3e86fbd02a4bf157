// Package claims puts a subject's workspaces into its access tokens.
//
// It is Cognito's pre token generation trigger, event version 3: Cognito calls it
// before it signs a token, for users and, with version 3, for clients that act for
// themselves (client credentials). The claim tells the API which workspaces to look
// at; what the subject may do there the API reads from the catalog, so that a
// membership that ended is not honoured until the token does.
package claims

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// maxClaimBytes bounds the claim. A token travels in a header, of which API Gateway
// takes 10,240 bytes in all, and base64 adds a third.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
const maxClaimBytes = 4096

// clientCredentials is the trigger source of a client that acts for itself.
const clientCredentials = "TokenGeneration_ClientCredentials"

// Config is what the function is told by its environment.
type Config struct {
	Table string
}

// ParseConfig reads the configuration; the error names all that is missing.
func ParseConfig(s *boot.Settings) (Config, error) {
	cfg := Config{Table: s.Required("STOWAGE_TABLE")}
	return cfg, s.Err()
}

// Members knows who is a member of what.
type Members interface {
	// MembershipsOf returns every workspace that sub is a member of.
	MembershipsOf(ctx context.Context, sub string) ([]workspace.Member, error)
}

// Handler answers Cognito. It is safe for concurrent use.
type Handler struct {
	members Members
	metrics *observe.Metrics
	log     *slog.Logger
}

// New returns a handler.
func New(members Members, metrics *observe.Metrics, log *slog.Logger) *Handler {
	return &Handler{members: members, metrics: metrics, log: log}
}

// Event is the trigger's event, of which only what is needed is named. Cognito wants
// the whole event back with the response filled in, so the rest is kept as it came.
type Event struct {
	events.CognitoEventUserPoolsHeader
	Request  Request  `json:"request"`
	Response Response `json:"response"`
}

// Request is what Cognito knows of the token's subject.
// https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-pre-token-generation.html
type Request struct {
	UserAttributes     map[string]string `json:"userAttributes"`
	GroupConfiguration json.RawMessage   `json:"groupConfiguration,omitempty"`
	ClientMetadata     map[string]string `json:"clientMetadata,omitempty"`
	Scopes             []string          `json:"scopes,omitempty"`
}

// Response is what to change in the tokens.
type Response struct {
	Details *Details `json:"claimsAndScopeOverrideDetails"`
}

// Details leaves the ID token as it is.
type Details struct {
	AccessToken *AccessToken `json:"accessTokenGeneration,omitempty"`
	// Groups must repeat the request's: Cognito takes an empty value as no groups.
	Groups json.RawMessage `json:"groupOverrideDetails,omitempty"`
}

// AccessToken says which claims to add to the access token.
type AccessToken struct {
	Claims map[string]string `json:"claimsToAddOrOverride"`
}

// Handle adds the claim. A subject without workspaces gets an empty one, which also
// replaces whatever a client might have smuggled in under its name. An error keeps
// the token from being issued.
func (h *Handler) Handle(ctx context.Context, ev Event) (Event, error) {
	sub := subject(ev)
	if err := workspace.ValidateSub(sub); err != nil {
		return ev, fmt.Errorf("%s event names no subject: %w", ev.TriggerSource, err)
	}
	members, err := h.members.MembershipsOf(ctx, sub)
	if err != nil {
		return ev, fmt.Errorf("memberships of %s: %w", sub, err)
	}
	claim, left := format(members)
	if left > 0 {
		h.metrics.Add("ClaimsLeftOut", left)
		h.log.LogAttrs(ctx, slog.LevelWarn, "memberships do not fit into the token",
			slog.String("sub", sub), slog.Int("memberships", len(members)), slog.Int("leftOut", left))
	}
	h.metrics.Add("TokensClaimed", 1)
	ev.Response.Details = &Details{
		AccessToken: &AccessToken{Claims: map[string]string{workspace.Claim: claim}},
		Groups:      ev.Request.GroupConfiguration,
	}
	return ev, nil
}

// subject is what the token will carry as sub: a user's id, or the client's own when
// it acts for itself.
func subject(ev Event) string {
	if ev.TriggerSource == clientCredentials {
		return ev.CallerContext.ClientID
	}
	return ev.Request.UserAttributes["sub"]
}

// format writes the claim, and counts what did not fit.
func format(members []workspace.Member) (claim string, left int) {
	entries := make([]string, len(members))
	for i, m := range members {
		entries[i] = m.Workspace + ":" + string(m.Role)
	}
	slices.Sort(entries)
	var b strings.Builder
	for i, e := range entries {
		if b.Len()+len(e)+1 > maxClaimBytes {
			return b.String(), len(entries) - i
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(e)
	}
	return b.String(), 0
}
