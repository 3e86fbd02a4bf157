package iam_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/scripts/local/iam"
)

// allowed decides a request by one identity policy.
func allowed(p *iam.Policy, action, resource string, c iam.Context) bool {
	return iam.Evaluate(iam.Request{Principal: aUser(), Action: action, Resource: resource, ResourceAccount: account, Context: c}, iam.Policies{Identity: []*iam.Policy{p}}).Allowed
}

func TestActions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		element, action string
		want            bool
	}{
		{`"Action":"s3:GetObject"`, "s3:GetObject", true},
		{`"Action":"s3:getobject"`, "s3:GetObject", true}, // actions have no case
		{`"Action":"s3:GetObject"`, "s3:GetObjectVersion", false},
		{`"Action":"s3:GetObject*"`, "s3:GetObjectVersion", true},
		{`"Action":"s3:*Object"`, "s3:PutObject", true},
		{`"Action":"s3:*Object"`, "s3:PutObjectAcl", false},
		{`"Action":"s3:?etObject"`, "s3:GetObject", true},
		{`"Action":"s3:*"`, "sqs:SendMessage", false},
		{`"Action":"*"`, "sqs:SendMessage", true},
		{`"Action":["s3:PutObject","s3:GetObject"]`, "s3:GetObject", true},
		{`"NotAction":"s3:DeleteBucket"`, "s3:GetObject", true}, // AWS's example: all actions but one
		{`"NotAction":"s3:DeleteBucket"`, "s3:DeleteBucket", false},
		{`"NotAction":["s3:*","sqs:*"]`, "s3:GetObject", false},
		{`"NotAction":["s3:*","sqs:*"]`, "kms:Decrypt", true},
	} {
		p := parse(t, iam.Identity, `{"Effect":"Allow",`+test.element+`,"Resource":"*"}`)
		if got := allowed(p, test.action, "*", nil); got != test.want {
			t.Errorf("%s on %s: got %v", test.element, test.action, got)
		}
	}
}

// TestResources has the examples of "IAM JSON policy elements: Resource".
func TestResources(t *testing.T) {
	t.Parallel()
	const wild = `"Resource":"arn:aws:s3:::amzn-s3-demo-bucket/*/test/*"`
	for _, test := range []struct {
		element, resource string
		want              bool
	}{
		{`"Resource":"*"`, "arn:aws:sqs:us-east-1:1:q", true},
		{`"Resource":"arn:aws:sqs:us-east-2:123456789012:queue1"`, "arn:aws:sqs:us-east-2:123456789012:queue1", true},
		{`"Resource":"arn:aws:sqs:us-east-2:123456789012:queue1"`, "arn:aws:sqs:us-east-2:123456789012:queue2", false},
		{`"Resource":"arn:aws:iam::123456789012:user/accounting/*"`, "arn:aws:iam::123456789012:user/accounting/a", true},
		{`"Resource":"arn:aws:iam::123456789012:user/Bob"`, "arn:aws:iam::123456789012:user/bob", false}, // names have case
		{`"Resource":"arn:aws:s3:::amzn-s3-demo-bucket/*"`, bucket, false},
		{`"Resource":"arn:aws:s3:::amzn-s3-demo-bucket/*"`, bucket + "/", true},
		{wild, bucket + "/1/test/object.jpg", true},
		{wild, bucket + "/1/2/test/object.jpg", true},
		{wild, bucket + "/1/2/test/3/object.jpg", true},
		{wild, bucket + "/1/2/3/test/4/object.jpg", true},
		{wild, bucket + "/1///test///object.jpg", true},
		{wild, bucket + "/1/test/.jpg", true},
		{wild, bucket + "//test/object.jpg", true},
		{wild, bucket + "/1/test/", true},
		{wild, bucket + "/1-test/object.jpg", false},
		{wild, bucket + "/test/object.jpg", false},
		{wild, bucket + "/1/2/test.jpg", false},
		// Colons: within a segment a wildcard stays; at its end it goes on.
		{`"Resource":"arn:aws:sqs:us-*-1:1:q"`, "arn:aws:sqs:us-east-1:1:q", true},
		{`"Resource":"arn:aws:sqs:us-*x:1:q"`, "arn:aws:sqs:us-:ax:1:q", false},
		{`"Resource":"arn:aws:sqs:*:1:q"`, "arn:aws:sqs:us-east-1:1:q", true},
		{`"Resource":"arn:aws:sqs:*"`, "arn:aws:sqs:us-east-1:1:q", true},
		{`"Resource":"arn:aws:sqs:us-east-1*"`, "arn:aws:sqs:us-east-1:1:q", true},
		{`"Resource":"arn:aws:sqs:us-east-1"`, "arn:aws:sqs:us-east-1:1:q", false},
		{`"Resource":"arn:aws:logs:us-east-1:1:log-group:/aws/lambda/*"`, "arn:aws:logs:us-east-1:1:log-group:/aws/lambda/f:log-stream:x", true},
		{`"Resource":"arn:aws:sqs:*:2:q"`, "arn:aws:sqs:us-east-1:1:q", false},
		{`"Resource":"arn:aws:s3:::b?c"`, "arn:aws:s3:::büc", true},
		{`"NotResource":"arn:aws:s3:::amzn-s3-demo-bucket/*"`, "arn:aws:s3:::other/x", true},
		{`"NotResource":"arn:aws:s3:::amzn-s3-demo-bucket/*"`, object, false},
		{`"NotResource":["arn:aws:s3:::a/*","arn:aws:s3:::amzn-s3-demo-bucket/*"]`, object, false},
	} {
		p := parse(t, iam.Identity, `{"Effect":"Allow","Action":"*",`+test.element+`}`)
		if got := allowed(p, "s3:GetObject", test.resource, nil); got != test.want {
			t.Errorf("%s on %s: got %v", test.element, test.resource, got)
		}
	}
}

// TestVariables has the examples of "IAM policy elements: Variables and tags".
func TestVariables(t *testing.T) {
	t.Parallel()
	const home = `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::amzn-s3-demo-bucket/${aws:username}/*"}`
	const team = `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::amzn-s3-demo-bucket-${aws:PrincipalTag/team, 'company-wide'}"}`
	const literal = `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${*}${?}${$}"}`
	for _, test := range []struct {
		statement, resource string
		context             iam.Context
		want                bool
	}{
		{home, bucket + "/David/x", iam.Context{"aws:username": {"David"}}, true},
		{home, bucket + "/Eve/x", iam.Context{"aws:username": {"David"}}, false},
		{home, bucket + "/David/x", nil, false},
		{home, bucket + "//x", nil, false},
		{home, bucket + "/Eve/x", iam.Context{"aws:username": {"*"}}, false}, // a value's wildcards are literal
		{home, bucket + "/a/x", iam.Context{"aws:username": {"a", "b"}}, false},
		{team, "arn:aws:s3:::amzn-s3-demo-bucket-yellow", iam.Context{"aws:principaltag/team": {"yellow"}}, true},
		{team, "arn:aws:s3:::amzn-s3-demo-bucket-company-wide", nil, true},
		{team, "arn:aws:s3:::amzn-s3-demo-bucket-company-wide", iam.Context{"aws:principaltag/team": {"yellow"}}, false},
		{literal, "arn:aws:s3:::b/*?$", nil, true},
		{literal, "arn:aws:s3:::b/xyz", nil, false},
	} {
		if got := allowed(parse(t, iam.Identity, test.statement), "s3:GetObject", test.resource, test.context); got != test.want {
			t.Errorf("%s on %s with %v: got %v", test.statement, test.resource, test.context, got)
		}
	}
	// The older language has no variables: there they are text.
	old, err := iam.Parse(iam.Identity, "old", []byte(`{"Version":"2008-10-17","Statement":`+strings.Replace(home, "/*", "", 1)+`}`))
	if err != nil {
		t.Fatal(err)
	}
	if !allowed(old, "s3:GetObject", bucket+"/${aws:username}", nil) || allowed(old, "s3:GetObject", bucket+"/David", iam.Context{"aws:username": {"David"}}) {
		t.Error("the older language replaces variables")
	}
	// What NotResource leaves out is not known without the variable: the statement is on nothing.
	not := parse(t, iam.Identity, `{"Effect":"Allow","Action":"s3:*","NotResource":"arn:aws:s3:::b/${aws:username}"}`)
	if allowed(not, "s3:GetObject", "arn:aws:s3:::b/x", nil) || !allowed(not, "s3:GetObject", "arn:aws:s3:::b/x", iam.Context{"aws:username": {"y"}}) {
		t.Error("NotResource with a variable that has no value applies")
	}
}

// TestPatternsAgainstRegexp compares wildcards with the same pattern as a regular expression.
func TestPatternsAgainstRegexp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		pattern := rapid.StringOfN(rapid.RuneFrom([]rune("ab*?/ü.")), 1, 10, -1).Draw(rt, "pattern")
		s := rapid.StringOfN(rapid.RuneFrom([]rune("ab/ü.")), 0, 12, -1).Draw(rt, "text")
		quoted := strings.NewReplacer(`\*`, `[\s\S]*`, `\?`, `[\s\S]`).Replace(regexp.QuoteMeta(pattern))
		want := regexp.MustCompile(`\A` + quoted + `\z`).MatchString(s)
		p := parse(t, iam.Identity, `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringLike":{"s3:prefix":"`+pattern+`"}}}`)
		if got := allowed(p, "s3:ListBucket", bucket, iam.Context{"s3:prefix": {s}}); got != want {
			rt.Fatalf("%q against %q: got %v, want %v", pattern, s, got, want)
		}
		q := parse(t, iam.Identity, `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::`+pattern+`"}`)
		if got := allowed(q, "s3:GetObject", "arn:aws:s3:::"+s, nil); got != want {
			rt.Fatalf("resource %q against %q: got %v, want %v", pattern, s, got, want)
		}
	})
}
