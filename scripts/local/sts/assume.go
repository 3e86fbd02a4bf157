package sts

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/iam"
)

// Limits of what is passed to a session
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html#reference_iam-quotas-sts).
const (
	maxTags       = 50
	maxTagKey     = 128
	maxTagValue   = 256
	maxPolicy     = 2048
	maxTokenBytes = 4096 // S3's engine reads 8 KB of headers, and a presigned URL carries the token
)

// notServed are parameters of AssumeRole whose meaning would be lost.
func notServed() []string {
	return []string{"PolicyArns.member.1.arn", "TransitiveTagKeys.member.1", "SourceIdentity", "SerialNumber", "TokenCode", "ProvidedContexts.member.1.ProviderArn"}
}

func (s *Service) assumeRole(caller *gateway.Caller, form url.Values) (any, *gateway.Denial) {
	for _, name := range notServed() {
		if form.Has(name) {
			parameter, _, _ := strings.Cut(name, ".")
			return nil, invalid("The local runtime does not serve %s of AssumeRole.", parameter)
		}
	}
	session, r, denial := s.readSession(caller, form)
	if denial != nil {
		return nil, denial
	}
	if denial := s.trusts(caller, r, session, form); denial != nil {
		return nil, denial
	}
	creds, assumed, err := s.cfg.Credentials.IssueSession(session)
	if err != nil {
		s.cfg.Logger.Error("could not issue a session", "role", r.ARN, "error", err)
		return nil, &gateway.Denial{Status: http.StatusInternalServerError, Code: "InternalFailure", Message: "The local runtime could not issue the session."}
	}
	if len(creds.SessionToken) > maxTokenBytes {
		return nil, refused("PackedPolicyTooLarge", "The session policy and tags together are larger than a session token can hold.")
	}
	return assumeRoleResult{
		AssumedRoleUser: assumedRoleUser{ID: assumed.UserID, Arn: assumed.PrincipalARN},
		Credentials: credentials{
			AccessKeyID: creds.AccessKeyID, SecretAccessKey: creds.SecretAccessKey, SessionToken: creds.SessionToken,
			Expiration: creds.Expires.UTC().Format(time.RFC3339),
		},
		PackedPolicySize: len(creds.SessionToken) * 100 / maxTokenBytes,
	}, nil
}

// readSession checks what is asked for. A role that does not exist is not told from one that trusts
// nobody.
func (s *Service) readSession(caller *gateway.Caller, form url.Values) (identity.Session, role, *gateway.Denial) {
	name, arn := form.Get("RoleSessionName"), form.Get("RoleArn")
	if !regexp.MustCompile(`^[\w+=,.@-]{2,64}$`).MatchString(name) {
		return identity.Session{}, role{}, invalid("1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy constraint: "+
			`Member must satisfy regular expression pattern: [\w+=,.@-]* and have length between 2 and 64`, name)
	}
	r, ok := s.roles[arn]
	if !ok {
		return identity.Session{}, role{}, notAuthorized(caller, "sts:AssumeRole", arn)
	}
	session := identity.Session{RoleARN: r.ARN, RoleID: r.ID, Name: name, AssumedBy: caller.AccessKeyID}
	var denial *gateway.Denial
	if session.Duration, denial = readDuration(caller, r, form.Get("DurationSeconds")); denial != nil {
		return session, r, denial
	}
	if session.Tags, denial = readTags(form); denial != nil {
		return session, r, denial
	}
	if policy := form.Get("Policy"); policy != "" {
		if len(policy) > maxPolicy {
			return session, r, invalid("1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or equal to %d", maxPolicy)
		}
		if _, err := iam.Parse(iam.Session, "of "+name, []byte(policy)); err != nil {
			return session, r, refused("MalformedPolicyDocument", err.Error())
		}
		session.Policies = []string{policy}
	}
	return session, r, nil
}

func readDuration(caller *gateway.Caller, r role, asked string) (time.Duration, *gateway.Denial) {
	if asked == "" {
		return defaultSession, nil
	}
	seconds, err := strconv.Atoi(asked)
	d := time.Duration(seconds) * time.Second
	switch {
	case err != nil || d < minSession:
		return 0, invalid("1 validation error detected: Value '%s' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to %d", asked, int(minSession.Seconds()))
	case d > r.MaxSession:
		return 0, invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	case d > maxChained && caller.RoleARN != "":
		return 0, invalid("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	}
	return d, nil
}

func readTags(form url.Values) (map[string]string, *gateway.Denial) {
	tags := map[string]string{}
	seen := map[string]bool{}
	for n := 1; form.Has(fmt.Sprintf("Tags.member.%d.Key", n)); n++ {
		key, value := form.Get(fmt.Sprintf("Tags.member.%d.Key", n)), form.Get(fmt.Sprintf("Tags.member.%d.Value", n))
		folded := strings.ToLower(key)
		switch {
		case n > maxTags:
			return nil, invalid("1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to %d", maxTags)
		case key == "" || len(key) > maxTagKey || len(value) > maxTagValue:
			return nil, invalid("1 validation error detected: the session tag '%s' must have a key of 1 to %d and a value of up to %d characters", key, maxTagKey, maxTagValue)
		case seen[folded]:
			return nil, refused("InvalidParameterValue", fmt.Sprintf("Duplicate tag keys found. Please note that Tag keys are case insensitive: %s", key))
		}
		seen[folded] = true
		tags[key] = value
	}
	return tags, nil
}

// trusts asks the role's trust policy. Where it trusts an account as a whole, the caller's own policies
// must let it; that is decided before the call comes here.
func (s *Service) trusts(caller *gateway.Caller, r role, session identity.Session, form url.Values) *gateway.Denial {
	c := iam.Context{}
	c.Set("aws:PrincipalArn", caller.PrincipalARN)
	if caller.RoleARN != "" {
		c.Set("aws:PrincipalArn", caller.RoleARN)
	}
	c.Set("aws:PrincipalAccount", s.cfg.Account)
	c.Set("aws:userid", caller.UserID)
	c.Set("sts:RoleSessionName", session.Name)
	if id := form.Get("ExternalId"); id != "" {
		c.Set("sts:ExternalId", id)
	}
	if own, ok := s.roles[caller.RoleARN]; ok {
		for k, v := range own.Tags {
			c.Set("aws:PrincipalTag/"+k, v)
		}
	}
	for k, v := range caller.SessionTags {
		c.Set("aws:PrincipalTag/"+k, v)
	}
	var keys []string
	for k, v := range session.Tags {
		c.Set("aws:RequestTag/"+k, v)
		keys = append(keys, k)
	}
	c.Set("aws:TagKeys", keys...)
	actions := []string{"sts:AssumeRole"}
	if len(session.Tags) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	for _, action := range actions {
		d := iam.Evaluate(iam.Request{
			Principal: iam.Principal{ARN: caller.PrincipalARN, RoleARN: caller.RoleARN, UserID: caller.UserID},
			Action:    action, Resource: r.ARN, Context: c,
		}, iam.Policies{Resource: []*iam.Policy{r.trust}, Identity: s.anything, ResourceDecides: true})
		if !d.Allowed {
			return notAuthorized(caller, action, r.ARN)
		}
	}
	return nil
}

func notAuthorized(caller *gateway.Caller, action, arn string) *gateway.Denial {
	return &gateway.Denial{
		Status: http.StatusForbidden, Code: "AccessDenied",
		Message: fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s", caller.PrincipalARN, action, arn),
	}
}
