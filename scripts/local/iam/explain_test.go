package iam_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/scripts/local/iam"
)

// TestExplain: of an implicit denial, the statements that would allow the request but
// for a condition are named, with what the request has of its key.
func TestExplain(t *testing.T) {
	t.Parallel()
	onTag := func(effect, resource string) string {
		return `{"Sid":"Tagged","Effect":"` + effect + `","Action":"s3:GetObject","Resource":"` + resource + `","Condition":{"StringEquals":{"s3:ExistingObjectTag/state":["open","public"]}}}`
	}
	tagged := iam.Context{}
	tagged.Set("s3:ExistingObjectTag/state", "closed")
	for name, test := range map[string]struct {
		policies iam.Policies
		context  iam.Context
		want     []string // parts of the lines, in order
	}{
		"nothing would allow it": {policies: iam.Policies{Identity: list(parse(t, iam.Identity, `{"Effect":"Allow","Action":"s3:PutObject","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}`))}},
		"a key that is missing": {
			policies: iam.Policies{Identity: list(parse(t, iam.Identity, onTag("Allow", bucket+"/*")))},
			want:     []string{"identity-based policy test, statement 0 (Tagged) would allow it but for its condition"},
		},
		"a key with another value": {
			policies: iam.Policies{Identity: list(parse(t, iam.Identity, onTag("Allow", bucket+"/*")))}, context: tagged,
			want: []string{`the request has ["closed"]`},
		},
		"another resource":  {policies: iam.Policies{Identity: list(parse(t, iam.Identity, onTag("Allow", "arn:aws:s3:::other/*")))}},
		"a Deny is no hint": {policies: iam.Policies{Identity: list(parse(t, iam.Identity, onTag("Deny", bucket+"/*")))}},
		"the resource's policy, to somebody else": {policies: iam.Policies{Resource: list(parse(t, iam.Resource,
			`{"Effect":"Allow","Principal":{"AWS":"`+userARN+`"},"Action":"s3:GetObject","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}`))}},
		"the resource's policy, to the role": {
			policies: iam.Policies{Resource: list(parse(t, iam.Resource,
				`{"Effect":"Allow","Principal":{"AWS":"`+roleARN+`"},"Action":"s3:GetObject","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}`))},
			want: []string{"resource-based policy test, statement 0 would allow it but for its condition"},
		},
		"each condition that fails": {
			policies: iam.Policies{Identity: list(parse(t, iam.Identity, `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{
				"Bool":{"aws:SecureTransport":"true"},"StringLike":{"aws:username":"a*"},"Null":{"aws:userid":"true"}}}`))},
			want: []string{"condition", "condition"}, // the third holds
		},
	} {
		said := iam.Explain(iam.Request{Principal: aRole(), Action: "s3:GetObject", Resource: object, ResourceAccount: account, Context: test.context}, test.policies)
		if len(said) != len(test.want) {
			t.Errorf("%s: %q, want %d lines", name, said, len(test.want))
			continue
		}
		for i, want := range test.want {
			if !strings.Contains(said[i], want) || test.context == nil && !strings.Contains(said[i], "the request has no such key") {
				t.Errorf("%s: %q, want %q", name, said[i], want)
			}
		}
	}
}

// TestPermissions lists what policies allow, word by word; wildcards with what they stand for.
func TestPermissions(t *testing.T) {
	t.Parallel()
	p := parse(t, iam.Identity,
		`{"Effect":"Allow","Action":["s3:GetObject","sqs:*Message"],"Resource":["arn:aws:s3:::a/*","*"]}`,
		`{"Effect":"Deny","Action":"s3:*","Resource":"*"}`,
		`{"Sid":"Rest","Effect":"Allow","NotAction":"s3:*","Resource":"*"}`,
		`{"Effect":"Allow","Action":"logs:PutLogEvents","NotResource":"arn:aws:logs:*:*:*"}`)
	var got []string
	byAction := map[string][]string{}
	for _, permission := range p.Permissions() {
		got = append(got, permission.Action+" on "+permission.Resource)
		byAction[permission.Action] = permission.Actions
	}
	want := []string{
		"s3:GetObject on arn:aws:s3:::a/*", "s3:GetObject on *", "sqs:*Message on arn:aws:s3:::a/*", "sqs:*Message on *",
		" on *", "logs:PutLogEvents on ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if a := byAction["s3:GetObject"]; !slices.Equal(a, []string{"s3:GetObject"}) {
		t.Errorf("s3:GetObject stands for %q", a)
	}
	for _, action := range []string{"sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage"} {
		if !slices.Contains(byAction["sqs:*Message"], action) {
			t.Errorf("sqs:*Message stands for %q, not for %s", byAction["sqs:*Message"], action)
		}
	}
	if slices.Contains(byAction["sqs:*Message"], "sqs:SendMessageBatch") {
		t.Errorf("sqs:*Message stands for %q", byAction["sqs:*Message"])
	}
}
