package iam_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/scripts/local/iam"
)

const (
	account = "111122223333"
	other   = "444455556666"
	roleARN = "arn:aws:iam::111122223333:role/Ingest"
	session = "arn:aws:sts::111122223333:assumed-role/Ingest/fn"
	userARN = "arn:aws:iam::111122223333:user/Carlos"
	bucket  = "arn:aws:s3:::amzn-s3-demo-bucket"
	object  = bucket + "/taxdocument.txt"
)

// parse makes a policy of statements.
func parse(tb testing.TB, kind iam.Kind, statements ...string) *iam.Policy {
	tb.Helper()
	p, err := iam.Parse(kind, "test", []byte(`{"Version":"2012-10-17","Statement":[`+strings.Join(statements, ",")+`]}`))
	if err != nil {
		tb.Fatalf("parse: %v", err)
	}
	return p
}

func list(p *iam.Policy) []*iam.Policy {
	if p == nil {
		return nil
	}
	return []*iam.Policy{p}
}

func aRole() iam.Principal {
	return iam.Principal{ARN: session, RoleARN: roleARN, UserID: "AROAIOSFODNN7EXAMPLE:fn"}
}

func aUser() iam.Principal { return iam.Principal{ARN: userARN, UserID: "AIDAIOSFODNN7EXAMPLE"} }

// TestPrecedence combines policies of every kind, as "Policy evaluation logic" and "Permissions
// boundaries for IAM entities" describe it.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	const (
		allow    = `{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`
		allowPut = `{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}`
		deny     = `{"Sid":"No","Effect":"Deny","Action":"s3:*","Resource":"*"}`
	)
	to := func(effect, principal string) string {
		return fmt.Sprintf(`{"Effect":%q,"Principal":%s,"Action":"s3:GetObject","Resource":"%s/*"}`, effect, principal, bucket)
	}
	toRole, toSession, toUser := to("Allow", `{"AWS":"`+roleARN+`"}`), to("Allow", `{"AWS":"`+session+`"}`), to("Allow", `{"AWS":"`+userARN+`"}`)
	toAccount, toAll := to("Allow", `{"AWS":"arn:aws:iam::`+account+`:root"}`), to("Allow", `"*"`)
	for name, test := range map[string]struct {
		who                                   iam.Principal
		identity, resource, boundary, session string
		owner                                 string
		want                                  string // "allow", or what the message says
	}{
		"nothing":                      {who: aRole(), want: "because no identity-based policy allows the s3:GetObject action"},
		"identity":                     {who: aRole(), identity: allow, want: "allow"},
		"identity, of another action":  {who: aRole(), identity: allowPut, want: "no identity-based policy"},
		"identity denies":              {who: aRole(), identity: allow + "," + deny, want: "with an explicit deny in an identity-based policy"},
		"resource denies":              {who: aRole(), identity: allow, resource: to("Deny", `"*"`), want: "with an explicit deny in a resource-based policy"},
		"boundary denies":              {who: aRole(), identity: allow, boundary: deny, want: "with an explicit deny in a permissions boundary"},
		"session denies":               {who: aRole(), identity: allow, session: deny, want: "with an explicit deny in a session policy"},
		"deny of the role":             {who: aRole(), identity: allow, resource: to("Deny", `{"AWS":"`+roleARN+`"}`), want: "explicit deny"},
		"deny of the account":          {who: aRole(), identity: allow, resource: to("Deny", `{"AWS":"`+account+`"}`), want: "explicit deny"},
		"deny of somebody else":        {who: aRole(), identity: allow, resource: to("Deny", `{"AWS":"`+userARN+`"}`), want: "allow"},
		"boundary allows":              {who: aRole(), identity: allow, boundary: allow, want: "allow"},
		"boundary does not":            {who: aRole(), identity: allow, boundary: allowPut, want: "because no permissions boundary allows"},
		"boundary grants nothing":      {who: aRole(), boundary: allow, want: "no identity-based policy"},
		"session allows":               {who: aRole(), identity: allow, session: allow, want: "allow"},
		"session does not":             {who: aRole(), identity: allow, session: allowPut, want: "because no session policy allows"},
		"session grants nothing":       {who: aRole(), session: allow, want: "no identity-based policy"},
		"resource to the role":         {who: aRole(), resource: toRole, want: "allow"},
		"resource to the session":      {who: aRole(), resource: toSession, want: "allow"},
		"resource to the account":      {who: aRole(), resource: toAccount, want: "no identity-based policy"},
		"to the account, and identity": {who: aRole(), identity: allow, resource: toAccount, want: "allow"},
		"resource to all":              {who: aRole(), resource: toAll, want: "allow"},
		"resource to somebody else":    {who: aRole(), resource: toUser, want: "no identity-based policy"},

		// "Resource-based policies that grant permissions to an IAM role ARN are limited by an implicit deny
		// in a permissions boundary or session policy"; to a session, a user, or all, they are not.
		"to the role, boundary":    {who: aRole(), resource: toRole, boundary: allowPut, want: "no permissions boundary"},
		"to the role, session":     {who: aRole(), resource: toRole, session: allowPut, want: "no session policy"},
		"to the session, boundary": {who: aRole(), resource: toSession, boundary: allowPut, session: allowPut, want: "allow"},
		"to the user, boundary":    {who: aUser(), resource: toUser, boundary: allowPut, want: "allow"},
		"to all, boundary":         {who: aRole(), resource: toAll, boundary: allowPut, want: "allow"},

		// Another account's resource: both must allow.
		"other account, identity alone":     {who: aRole(), identity: allow, owner: other, want: "because no resource-based policy allows"},
		"other account, resource alone":     {who: aRole(), resource: toRole, owner: other, want: "no identity-based policy"},
		"other account, all, alone":         {who: aRole(), resource: toAll, owner: other, want: "no identity-based policy"},
		"other account, both":               {who: aRole(), identity: allow, resource: toRole, owner: other, want: "allow"},
		"other account, both, and boundary": {who: aRole(), identity: allow, resource: toSession, boundary: allowPut, owner: other, want: "no permissions boundary"},

		// The account itself, services, and nobody.
		"root":                  {who: iam.Principal{ARN: "arn:aws:iam::" + account + ":root", UserID: account}, want: "allow"},
		"root, denied":          {who: iam.Principal{ARN: "arn:aws:iam::" + account + ":root"}, resource: to("Deny", `"*"`), want: "explicit deny"},
		"root of another":       {who: iam.Principal{ARN: "arn:aws:iam::" + account + ":root"}, owner: other, want: "no resource-based policy"},
		"service":               {who: iam.Principal{Service: "logging.s3.amazonaws.com"}, resource: to("Allow", `{"Service":"logging.s3.amazonaws.com"}`), want: "allow"},
		"another service":       {who: iam.Principal{Service: "sns.amazonaws.com"}, resource: to("Allow", `{"Service":"logging.s3.amazonaws.com"}`), want: "no resource-based policy"},
		"service, no policy":    {who: iam.Principal{Service: "sns.amazonaws.com"}, want: "User: sns.amazonaws.com is not authorized"},
		"anonymous":             {want: "User: anonymous is not authorized to perform: s3:GetObject on resource: " + object + " because no resource-based policy"},
		"anonymous, to all":     {resource: toAll, want: "allow"},
		"anonymous, to AWS all": {resource: to("Allow", `{"AWS":"*"}`), want: "allow"},
		"anonymous, to account": {resource: toAccount, want: "no resource-based policy"},
		"by unique id":          {who: aRole(), resource: to("Allow", `{"AWS":"AROAIOSFODNN7EXAMPLE"}`), want: "allow"},
		"by user's unique id":   {who: aUser(), resource: to("Allow", `{"AWS":"AIDAIOSFODNN7EXAMPLE"}`), want: "allow"},
		"among several":         {who: aUser(), resource: to("Allow", `{"AWS":["`+other+`","`+userARN+`"],"Service":"sns.amazonaws.com"}`), want: "allow"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			made := func(kind iam.Kind, statements string) *iam.Policy {
				if statements == "" {
					return nil
				}
				return parse(t, kind, statements)
			}
			r := iam.Request{Principal: test.who, Action: "s3:GetObject", Resource: object, ResourceAccount: test.owner}
			got := iam.Evaluate(r, iam.Policies{
				Identity: list(made(iam.Identity, test.identity)), Resource: list(made(iam.Resource, test.resource)),
				Boundary: made(iam.Boundary, test.boundary), Session: list(made(iam.Session, test.session)),
			})
			checkDecision(t, r, got, test.want)
		})
	}
}

func checkDecision(t *testing.T, r iam.Request, got iam.Decision, want string) {
	t.Helper()
	if got.Allowed != (want == "allow") {
		t.Errorf("allowed: %v, want %s", got.Allowed, want)
	}
	if got.Allowed != (len(got.Grants) > 0) && !strings.HasSuffix(r.Principal.ARN, ":root") {
		t.Errorf("allowed %v with the grants %v", got.Allowed, got.Grants)
	}
	if !got.Allowed && !strings.Contains(got.Message(r), want) {
		t.Errorf("says %q, want %q", got.Message(r), want)
	}
}

// TestResourceDecides: a key's policy, or a role's, must allow; identity policies do not stand in for it.
func TestResourceDecides(t *testing.T) {
	t.Parallel()
	const key = "arn:aws:kms:us-east-1:111122223333:key/1"
	r := iam.Request{Principal: aRole(), Action: "kms:Decrypt", Resource: key}
	identity := list(parse(t, iam.Identity, `{"Effect":"Allow","Action":"kms:*","Resource":"*"}`))
	toAccount := list(parse(t, iam.Resource, `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}`))
	toRole := list(parse(t, iam.Resource, `{"Effect":"Allow","Principal":{"AWS":"`+roleARN+`"},"Action":"kms:Decrypt","Resource":"*"}`))
	for name, test := range map[string]struct {
		p    iam.Policies
		want string
	}{
		"no key policy":                     {iam.Policies{Identity: identity, ResourceDecides: true}, "no resource-based policy allows the kms:Decrypt action"},
		"to the account, no identity":       {iam.Policies{Resource: toAccount, ResourceDecides: true}, "no identity-based policy"},
		"to the account, and identity":      {iam.Policies{Identity: identity, Resource: toAccount, ResourceDecides: true}, "allow"},
		"to the role":                       {iam.Policies{Resource: toRole, ResourceDecides: true}, "allow"},
		"to the role, of another operation": {iam.Policies{Identity: identity, Resource: list(parse(t, iam.Resource, `{"Effect":"Allow","Principal":{"AWS":"`+roleARN+`"},"Action":"kms:Encrypt","Resource":"*"}`)), ResourceDecides: true}, "no resource-based policy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkDecision(t, r, iam.Evaluate(r, test.p), test.want)
		})
	}
}

func TestTrust(t *testing.T) {
	t.Parallel()
	trust := parse(t, iam.Trust, `{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}`,
		`{"Effect":"Allow","Principal":{"AWS":"`+roleARN+`"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"sts:ExternalId":"12345"}}}`)
	for name, test := range map[string]struct {
		who  iam.Principal
		ctx  iam.Context
		want string
	}{
		"service":              {iam.Principal{Service: "lambda.amazonaws.com"}, nil, "allow"},
		"role":                 {aRole(), iam.Context{"sts:externalid": {"12345"}}, "allow"},
		"role, no external id": {aRole(), nil, "because no role trust policy allows the sts:AssumeRole action"},
		"user":                 {aUser(), iam.Context{"sts:externalid": {"12345"}}, "no role trust policy"},
	} {
		r := iam.Request{Principal: test.who, Action: "sts:AssumeRole", Resource: "arn:aws:iam::111122223333:role/signer", Context: test.ctx}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkDecision(t, r, iam.Evaluate(r, iam.Policies{Resource: list(trust), ResourceDecides: true}), test.want)
		})
	}
}

// TestNotPrincipal: to be left out of a Deny, every identity of a principal must be named; with a
// permissions boundary nobody is ("The NotPrincipal element with a Deny effect will always deny any IAM
// principal that has a permissions boundary policy attached").
func TestNotPrincipal(t *testing.T) {
	t.Parallel()
	identity := parse(t, iam.Identity, `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`)
	not := func(effect string, arns ...string) *iam.Policy {
		return parse(t, iam.Resource, `{"Effect":"`+effect+`","NotPrincipal":{"AWS":["`+strings.Join(arns, `","`)+`"]},"Action":"s3:GetObject","Resource":"*"}`)
	}
	root := "arn:aws:iam::" + account + ":root"
	for name, test := range map[string]struct {
		who      iam.Principal
		resource *iam.Policy
		boundary *iam.Policy
		want     string
	}{
		"user and account":            {aUser(), not("Deny", userARN, root), nil, "allow"},
		"user without account":        {aUser(), not("Deny", userARN), nil, "explicit deny"},
		"account without user":        {aUser(), not("Deny", root), nil, "explicit deny"},
		"session, role and account":   {aRole(), not("Deny", session, roleARN, root), nil, "allow"},
		"role and account":            {aRole(), not("Deny", roleARN, root), nil, "explicit deny"},
		"with a boundary":             {aUser(), not("Deny", userARN, root), identity, "explicit deny"},
		"allow all but somebody":      {aUser(), not("Allow", session), nil, "allow"},
		"allow all but the principal": {aUser(), not("Allow", userARN), nil, "allow"}, // by its identity policy
	} {
		r := iam.Request{Principal: test.who, Action: "s3:GetObject", Resource: object}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := iam.Evaluate(r, iam.Policies{Identity: list(identity), Resource: list(test.resource), Boundary: test.boundary})
			checkDecision(t, r, got, test.want)
			if name == "allow all but the principal" && got.Grants[0].Kind != iam.Identity {
				t.Errorf("granted by %v", got.Grants)
			}
		})
	}
}

// TestGrants names each statement that a request used.
func TestGrants(t *testing.T) {
	t.Parallel()
	identity := parse(t, iam.Identity, `{"Sid":"Put","Effect":"Allow","Action":"s3:PutObject","Resource":"*"}`, `{"Sid":"Read","Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`)
	boundary := parse(t, iam.Boundary, `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`)
	d := iam.Evaluate(iam.Request{Principal: aRole(), Action: "s3:GetObject", Resource: object}, iam.Policies{Identity: list(identity), Boundary: boundary})
	if got := fmt.Sprint(d.Grants); got != "[identity-based policy test, statement 1 (Read) permissions boundary test, statement 0]" {
		t.Errorf("got %s", got)
	}
	if identity.Name() != "test" {
		t.Errorf("named %s", identity.Name())
	}
}

// TestDenyAlwaysWins adds a Deny of everything to any policies: nothing is allowed any more; and a policy
// less never allows more, unless it denied.
func TestDenyAlwaysWins(t *testing.T) {
	t.Parallel()
	statement := rapid.Custom(func(rt *rapid.T) string {
		return fmt.Sprintf(`{"Effect":%q,"Action":%q,"Resource":%q%s}`,
			rapid.SampledFrom([]string{"Allow", "Deny"}).Draw(rt, "effect"),
			rapid.SampledFrom([]string{"*", "s3:*", "s3:GetObject", "s3:PutObject"}).Draw(rt, "action"),
			rapid.SampledFrom([]string{"*", bucket + "/*", object, bucket}).Draw(rt, "resource"),
			rapid.SampledFrom([]string{"", `,"Condition":{"Bool":{"aws:SecureTransport":"true"}}`, `,"Condition":{"Null":{"aws:username":"true"}}`}).Draw(rt, "condition"))
	})
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(kind iam.Kind, label string) []*iam.Policy {
			s := rapid.SliceOfN(statement, 0, 3).Draw(rt, label)
			if len(s) == 0 {
				return nil
			}
			return list(parse(t, kind, s...))
		}
		p := iam.Policies{Identity: draw(iam.Identity, "identity"), Session: draw(iam.Session, "session")}
		if b := draw(iam.Boundary, "boundary"); b != nil {
			p.Boundary = b[0]
		}
		r := iam.Request{Principal: aRole(), Action: "s3:GetObject", Resource: object, Context: iam.Context{}}
		if rapid.Bool().Draw(rt, "TLS") {
			r.Context.Set("aws:SecureTransport", "true")
		}
		before := iam.Evaluate(r, p)
		bare := iam.Evaluate(r, iam.Policies{Identity: p.Identity})
		if before.Allowed && !bare.Allowed {
			rt.Fatal("boundary or session policies grant something")
		}
		deny := parse(t, iam.Identity, `{"Effect":"Deny","Action":"*","Resource":"*"}`)
		p.Identity = append(p.Identity, deny)
		if after := iam.Evaluate(r, p); after.Allowed || !after.Explicit {
			rt.Fatalf("allowed in spite of a Deny: %+v", after)
		}
	})
}
