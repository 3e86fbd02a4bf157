package sts_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/sts"
)

const (
	account   = "000000000000"
	region    = "us-east-1"
	functions = "arn:aws:iam::000000000000:role/upload-api"
	signer    = "arn:aws:iam::000000000000:role/signer"
	lambda    = "arn:aws:iam::000000000000:role/lambda-only"
	whole     = "arn:aws:iam::000000000000:role/whole-account"
	guarded   = "arn:aws:iam::000000000000:role/guarded"
	developer = "arn:aws:iam::000000000000:user/developer"
)

func trust(principal, rest string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":["sts:AssumeRole"` + rest + `}]}`
}

func roles() []sts.Role {
	return []sts.Role{
		{Name: "upload-api", ARN: functions, Trust: trust(`{"Service":"lambda.amazonaws.com"}`, `]`), Tags: map[string]string{"team": "uploads"}},
		{Name: "signer", ARN: signer, ID: "AROASIGNER", Trust: trust(`{"AWS":"`+functions+`"}`, `,"sts:TagSession"]`), MaxSession: 4 * time.Hour},
		{Name: "lambda-only", ARN: lambda, Trust: trust(`{"Service":"lambda.amazonaws.com"}`, `]`)},
		{Name: "whole-account", ARN: whole, Trust: trust(`{"AWS":"arn:aws:iam::000000000000:root"}`, `]`), MaxSession: 12 * time.Hour},
		{Name: "guarded", ARN: guarded, Trust: trust(`{"AWS":"*"}`, `,"sts:TagSession"],"Condition":{"StringEquals":{"sts:ExternalId":"1234","aws:PrincipalTag/team":"uploads"},"ForAllValues:StringEquals":{"aws:TagKeys":["tenant"]}}`)},
	}
}

type fixture struct {
	endpoint string
	issuer   *identity.Issuer
}

func start(t *testing.T) *fixture {
	t.Helper()
	issuer, err := identity.New(identity.Config{MasterKey: make([]byte, identity.MasterKeySize)})
	if err != nil {
		t.Fatal(err)
	}
	service, err := sts.New(sts.Config{Account: account, Roles: roles(), Credentials: issuer})
	if err != nil {
		t.Fatalf("new: %v", err)
	}
	g, err := gateway.New(gateway.Config{Region: region, Account: account, Credentials: issuer, Services: map[string]http.Handler{"sts": service}})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return &fixture{endpoint: g.Endpoint(), issuer: issuer}
}

func (f *fixture) client(c identity.Credentials) *awssts.Client {
	return awssts.New(awssts.Options{BaseEndpoint: &f.endpoint, Region: region, Retryer: aws.NopRetryer{},
		Credentials: awscredentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)})
}

// function is a client with the credentials of a function of role upload-api.
func (f *fixture) function(t *testing.T) *awssts.Client {
	t.Helper()
	c, err := f.issuer.IssueFor(functions, "upload-api")
	if err != nil {
		t.Fatal(err)
	}
	return f.client(c)
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestAssumeRole(t *testing.T) {
	t.Parallel()
	f := start(t)
	out, err := f.function(t).AssumeRole(t.Context(), &awssts.AssumeRoleInput{
		RoleArn: aws.String(signer), RoleSessionName: aws.String("ws-1"), DurationSeconds: aws.Int32(900),
		Tags:   []types.Tag{{Key: aws.String("tenant"), Value: aws.String("acme & söhne")}},
		Policy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}]}`),
	})
	if err != nil {
		t.Fatalf("assume: %v", err)
	}
	if got := *out.AssumedRoleUser.Arn + " " + *out.AssumedRoleUser.AssumedRoleId; got != "arn:aws:sts::000000000000:assumed-role/signer/ws-1 AROASIGNER:ws-1" {
		t.Errorf("assumed %s", got)
	}
	if left := time.Until(*out.Credentials.Expiration); left < 14*time.Minute || left > 15*time.Minute {
		t.Errorf("the session lasts %v", left)
	}
	caller, err := f.issuer.Resolve(*out.Credentials.AccessKeyId, *out.Credentials.SessionToken)
	if err != nil {
		t.Fatalf("resolve: %v", err)
	}
	if caller.RoleARN != signer || caller.SessionTags["tenant"] != "acme & söhne" || len(caller.SessionPolicies) != 1 || caller.Function != "" {
		t.Errorf("the session is %+v", caller)
	}
	me, err := f.client(identity.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken}).
		GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{})
	if err != nil || *me.Arn != *out.AssumedRoleUser.Arn || *me.UserId != "AROASIGNER:ws-1" || *me.Account != account {
		t.Errorf("whoami: %+v, %v", me, err)
	}
}

func TestCallerIdentityOfUsers(t *testing.T) {
	t.Parallel()
	f := start(t)
	for arn, want := range map[string]string{developer: "AIDA", "arn:aws:iam::000000000000:root": account} {
		me, err := f.client(f.issuer.IssueUser(arn)).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{})
		if err != nil || *me.Arn != arn || !strings.HasPrefix(*me.UserId, want) {
			t.Errorf("%s: %+v, %v", arn, me, err)
		}
	}
}

func TestWhoIsTrusted(t *testing.T) {
	t.Parallel()
	f := start(t)
	function, user := f.function(t), f.client(f.issuer.IssueUser(developer))
	tag := func(keys ...string) (tags []types.Tag) {
		for _, k := range keys {
			tags = append(tags, types.Tag{Key: aws.String(k), Value: aws.String("v")})
		}
		return tags
	}
	for name, test := range map[string]struct {
		who      *awssts.Client
		role     string
		external *string
		tags     []types.Tag
		want     string
	}{
		"the role that is trusted":              {function, signer, nil, nil, "<nil>"},
		"and it may tag":                        {function, signer, nil, tag("a"), "<nil>"},
		"a user":                                {user, signer, nil, nil, "AccessDenied"},
		"a role that trusts a service":          {function, lambda, nil, nil, "AccessDenied"},
		"a role that does not exist":            {function, signer + "2", nil, nil, "AccessDenied"},
		"a role that trusts the account":        {user, whole, nil, nil, "<nil>"},
		"which does not let sessions be tagged": {user, whole, nil, tag("a"), "AccessDenied"},
		"conditions met":                        {function, guarded, aws.String("1234"), tag("tenant"), "<nil>"},
		"another tag":                           {function, guarded, aws.String("1234"), tag("tenant", "admin"), "AccessDenied"},
		"no external id":                        {function, guarded, nil, nil, "AccessDenied"},
		"another external id":                   {function, guarded, aws.String("12345"), nil, "AccessDenied"},
		"without the principal's tag":           {user, guarded, aws.String("1234"), nil, "AccessDenied"},
	} {
		_, err := test.who.AssumeRole(t.Context(), &awssts.AssumeRoleInput{RoleArn: &test.role, RoleSessionName: aws.String("session"), ExternalId: test.external, Tags: test.tags})
		if got := code(err); got != test.want {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
}

// TestParameters walks each bound.
func TestParameters(t *testing.T) {
	t.Parallel()
	f := start(t)
	function, user := f.function(t), f.client(f.issuer.IssueUser(developer))
	tags := func(n, key, value int) (list []types.Tag) {
		for i := range n {
			list = append(list, types.Tag{Key: aws.String(fmt.Sprintf("%0*d", key, i)), Value: aws.String(strings.Repeat("v", value))})
		}
		return list
	}
	for name, test := range map[string]struct {
		who    *awssts.Client
		role   string
		change func(*awssts.AssumeRoleInput)
		want   string
	}{
		"shortest":                {function, signer, func(in *awssts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(900) }, "<nil>"},
		"too short":               {function, signer, func(in *awssts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(899) }, "ValidationError"},
		"longest in a chain":      {function, signer, func(in *awssts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3600) }, "<nil>"},
		"too long in a chain":     {function, signer, func(in *awssts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3601) }, "ValidationError"},
		"longest of the role":     {user, whole, func(in *awssts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(43200) }, "<nil>"},
		"too long for the role":   {user, whole, func(in *awssts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(43201) }, "ValidationError"},
		"shortest name":           {function, signer, func(in *awssts.AssumeRoleInput) { in.RoleSessionName = aws.String("ab") }, "<nil>"},
		"name too short":          {function, signer, func(in *awssts.AssumeRoleInput) { in.RoleSessionName = aws.String("a") }, "ValidationError"},
		"longest name":            {function, signer, func(in *awssts.AssumeRoleInput) { in.RoleSessionName = aws.String(strings.Repeat("a", 64)) }, "<nil>"},
		"name too long":           {function, signer, func(in *awssts.AssumeRoleInput) { in.RoleSessionName = aws.String(strings.Repeat("a", 65)) }, "ValidationError"},
		"name with a slash":       {function, signer, func(in *awssts.AssumeRoleInput) { in.RoleSessionName = aws.String("a/b") }, "ValidationError"},
		"most tags":               {function, signer, func(in *awssts.AssumeRoleInput) { in.Tags = tags(50, 2, 1) }, "<nil>"},
		"too many tags":           {function, signer, func(in *awssts.AssumeRoleInput) { in.Tags = tags(51, 2, 1) }, "ValidationError"},
		"longest tag":             {function, signer, func(in *awssts.AssumeRoleInput) { in.Tags = tags(1, 128, 256) }, "<nil>"},
		"tag key too long":        {function, signer, func(in *awssts.AssumeRoleInput) { in.Tags = tags(1, 129, 1) }, "ValidationError"},
		"tag value too long":      {function, signer, func(in *awssts.AssumeRoleInput) { in.Tags = tags(1, 1, 257) }, "ValidationError"},
		"tags too large together": {function, signer, func(in *awssts.AssumeRoleInput) { in.Tags = tags(50, 100, 100) }, "PackedPolicyTooLarge"},
		"tag twice": {function, signer, func(in *awssts.AssumeRoleInput) {
			in.Tags = []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}, {Key: aws.String("A"), Value: aws.String("2")}}
		}, "InvalidParameterValue"},
		"policy that is none": {function, signer, func(in *awssts.AssumeRoleInput) { in.Policy = aws.String("{}") }, "MalformedPolicyDocument"},
		"policy with a typo": {function, signer, func(in *awssts.AssumeRoleInput) {
			in.Policy = aws.String(`{"Statement":{"Effect":"Allow","Action":"s3:Putobjekt","Resource":"*"}}`)
		}, "MalformedPolicyDocument"},
		"policy too long": {function, signer, func(in *awssts.AssumeRoleInput) { in.Policy = aws.String(strings.Repeat(" ", 2049)) }, "ValidationError"},
		"managed session policy": {function, signer, func(in *awssts.AssumeRoleInput) {
			in.PolicyArns = []types.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")}}
		}, "ValidationError"},
		"transitive tags": {function, signer, func(in *awssts.AssumeRoleInput) { in.TransitiveTagKeys = []string{"a"} }, "ValidationError"},
		"source identity": {function, signer, func(in *awssts.AssumeRoleInput) { in.SourceIdentity = aws.String("me") }, "ValidationError"},
	} {
		in := &awssts.AssumeRoleInput{RoleArn: &test.role, RoleSessionName: aws.String("session")}
		test.change(in)
		if _, err := test.who.AssumeRole(t.Context(), in); code(err) != test.want {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
	if _, err := function.GetSessionToken(t.Context(), &awssts.GetSessionTokenInput{}); code(err) != "InvalidAction" || !strings.Contains(err.Error(), "sts:GetSessionToken") {
		t.Errorf("an operation that is not served: got %v", err)
	}
}

func TestRoleWithoutTrust(t *testing.T) {
	t.Parallel()
	_, err := sts.New(sts.Config{Roles: []sts.Role{
		{Name: "one", ARN: signer},
		{Name: "two", ARN: lambda, Trust: `{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{"StringIs":{"aws:username":"a"}}}}`},
	}})
	if err == nil || !strings.Contains(err.Error(), "role one") || !strings.Contains(err.Error(), `"StringIs"`) {
		t.Errorf("got %v, want an error that names both roles", err)
	}
}
