package iam_test

import (
	"testing"

	"github.com/stowage-dev/stowage/scripts/local/iam"
)

// TestConditions has every operator with a value that meets it, one that does not, and none; many are the
// examples of "IAM JSON policy elements: Condition operators" and "Single-valued vs. multivalued context
// keys".
func TestConditions(t *testing.T) {
	t.Parallel()
	with := func(key string, values ...string) iam.Context {
		c := iam.Context{}
		c.Set(key, values...)
		return c
	}
	none := iam.Context{}
	for _, test := range []struct {
		condition string
		context   iam.Context
		want      bool
	}{
		{`"StringEquals":{"aws:PrincipalTag/job-category":"iamuser-admin"}`, with("aws:PrincipalTag/job-category", "iamuser-admin"), true},
		{`"StringEquals":{"aws:PrincipalTag/job-category":"iamuser-admin"}`, with("aws:PrincipalTag/Job-Category", "iamuser-admin"), true}, // keys have no case
		{`"StringEquals":{"aws:PrincipalTag/job-category":"iamuser-admin"}`, with("aws:PrincipalTag/job-category", "IAMUSER-admin"), false},
		{`"StringEquals":{"aws:PrincipalTag/job-category":"iamuser-admin"}`, none, false},
		{`"StringEquals":{"aws:username":["a","b"]}`, with("aws:username", "b"), true},
		{`"StringNotEquals":{"aws:username":["a","b"]}`, with("aws:username", "b"), false},
		{`"StringNotEquals":{"aws:username":["a","b"]}`, with("aws:username", "c"), true},
		{`"StringNotEquals":{"aws:username":"a"}`, none, true},
		{`"StringEqualsIgnoreCase":{"aws:username":"JohnDoe"}`, with("aws:username", "johndoe"), true},
		{`"StringNotEqualsIgnoreCase":{"aws:username":"JohnDoe"}`, with("aws:username", "johndoe"), false},
		{`"StringNotEqualsIgnoreCase":{"aws:username":"JohnDoe"}`, with("aws:username", "jane"), true},
		{`"StringLike":{"s3:prefix":["","home/","home/${aws:username}/"]}`, iam.Context{"s3:prefix": {""}, "aws:username": {"David"}}, true},
		{`"StringLike":{"s3:prefix":["","home/","home/${aws:username}/"]}`, iam.Context{"s3:prefix": {""}}, false}, // a variable without a value
		{`"StringLike":{"s3:prefix":["home/*"]}`, with("s3:prefix", "home/x"), true},
		{`"StringEquals":{"s3:prefix":["home/*"]}`, with("s3:prefix", "home/x"), false},
		{`"StringLike":{"s3:prefix":["home/*"]}`, with("s3:prefix", "Home/x"), false},
		{`"StringNotLike":{"aws:userid":"AROA*:fn"}`, with("aws:userid", "AROA1:fn"), false},
		{`"StringNotLike":{"aws:userid":"AROA*:fn"}`, with("aws:userid", "AIDA1"), true},

		{`"NumericLessThanEquals":{"s3:max-keys":"10"}`, with("s3:max-keys", "10"), true},
		{`"NumericLessThanEquals":{"s3:max-keys":10}`, with("s3:max-keys", "10.5"), false},
		{`"NumericLessThanEquals":{"s3:max-keys":10}`, with("s3:max-keys", "many"), false},
		{`"NumericLessThan":{"s3:max-keys":"10"}`, with("s3:max-keys", "10"), false},
		{`"NumericGreaterThan":{"s3:signatureAge":"600000"}`, with("s3:signatureAge", "600001"), true},
		{`"NumericGreaterThan":{"s3:signatureAge":"600000"}`, none, false},
		{`"NumericGreaterThanEquals":{"s3:max-keys":["5","7"]}`, with("s3:max-keys", "6"), true},
		{`"NumericEquals":{"s3:max-keys":"1"}`, with("s3:max-keys", "1.0"), true},
		{`"NumericNotEquals":{"s3:max-keys":"1"}`, with("s3:max-keys", "1.0"), false},
		{`"NumericNotEquals":{"s3:max-keys":"1"}`, none, true},

		{`"DateGreaterThan":{"aws:TokenIssueTime":"2020-01-01T00:00:01Z"}`, with("aws:TokenIssueTime", "2020-01-01T00:00:02Z"), true},
		{`"DateGreaterThan":{"aws:TokenIssueTime":"2020-01-01T00:00:01Z"}`, with("aws:TokenIssueTime", "2020-01-01T00:00:01Z"), false},
		{`"DateGreaterThan":{"aws:CurrentTime":"2013-08-16"}`, with("aws:CurrentTime", "2013-08-16T00:00:00.5Z"), true},
		{`"DateLessThan":{"aws:EpochTime":"1577836801"}`, with("aws:EpochTime", "1577836800"), true},
		{`"DateLessThanEquals":{"aws:CurrentTime":"2020-01-01T01:00:00+01:00"}`, with("aws:CurrentTime", "2020-01-01T00:00:00Z"), true},
		{`"DateEquals":{"aws:CurrentTime":"2020"}`, with("aws:CurrentTime", "2020-01-01T00:00Z"), true},
		{`"DateNotEquals":{"aws:CurrentTime":"2020"}`, with("aws:CurrentTime", "2020-01-01T00:00Z"), false},
		{`"DateGreaterThanEquals":{"aws:CurrentTime":"2020-06"}`, with("aws:CurrentTime", "2020-05-31T23:59:59Z"), false},

		{`"Bool":{"aws:SecureTransport":"true"}`, with("aws:SecureTransport", "true"), true},
		{`"Bool":{"aws:SecureTransport":true}`, with("aws:SecureTransport", "false"), false},
		{`"Bool":{"aws:SecureTransport":"false"}`, none, false},
		{`"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}`, none, true},
		{`"BinaryEquals":{"aws:PrincipalTag/key":"QmluYXJ5VmFsdWVJbkJhc2U2NA=="}`, with("aws:PrincipalTag/key", "QmluYXJ5VmFsdWVJbkJhc2U2NA=="), true},
		{`"BinaryEquals":{"aws:PrincipalTag/key":"QmluYXJ5VmFsdWVJbkJhc2U2NA=="}`, with("aws:PrincipalTag/key", "AA=="), false},

		{`"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`, with("aws:SourceIp", "203.0.113.255"), true},
		{`"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`, with("aws:SourceIp", "203.0.114.0"), false},
		{`"IpAddress":{"aws:SourceIp":["203.0.113.0/24","2001:DB8:1234:5678::/64"]}`, with("aws:SourceIp", "2001:db8:1234:5678::1"), true},
		{`"IpAddress":{"aws:SourceIp":"203.0.113.7"}`, with("aws:SourceIp", "::ffff:203.0.113.7"), true},
		{`"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`, with("aws:SourceIp", "nowhere"), false},
		{`"NotIpAddress":{"aws:SourceIp":["192.0.2.0/24","203.0.113.0/24"]}`, with("aws:SourceIp", "203.0.113.1"), false},
		{`"NotIpAddress":{"aws:SourceIp":["192.0.2.0/24","203.0.113.0/24"]}`, with("aws:SourceIp", "198.51.100.1"), true},
		{`"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}`, none, true},

		{`"ArnEquals":{"aws:SourceArn":"arn:aws:sns:REGION:123456789012:TOPIC-ID"}`, with("aws:SourceArn", "arn:aws:sns:REGION:123456789012:TOPIC-ID"), true},
		{`"ArnLike":{"aws:SourceArn":"arn:aws:cloudtrail:*:111122223333:trail/*"}`, with("aws:SourceArn", "arn:aws:cloudtrail:us-west-2:111122223333:trail/finance"), true},
		{`"ArnLike":{"aws:SourceArn":"arn:aws:cloudtrail:*:111122223333:trail/*"}`, with("aws:SourceArn", "arn:aws:cloudtrail:us-west-2:444455556666:trail/finance"), false},
		{`"ArnLike":{"aws:SourceArn":"arn:aws:sqs:*:*:*"}`, with("aws:SourceArn", "arn:aws:sqs:us-east-1:1:q"), true},
		{`"ArnLike":{"aws:SourceArn":"arn:aws:s*:us-east-1:1:q"}`, with("aws:SourceArn", "arn:aws:s:x:us-east-1:1:q"), false},
		{`"ArnLike":{"aws:SourceArn":"*"}`, with("aws:SourceArn", "arn:aws:sqs:us-east-1:1:q"), true},
		{`"ArnLike":{"aws:SourceArn":"arn:aws:sqs:*:*:*"}`, with("aws:SourceArn", "no ARN"), false},
		{`"ArnNotEquals":{"aws:PrincipalArn":"` + roleARN + `"}`, with("aws:PrincipalArn", roleARN), false},
		{`"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/aws-*"}`, with("aws:PrincipalArn", roleARN), true},
		{`"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/aws-*"}`, none, true},

		{`"Null":{"aws:TokenIssueTime":"true"}`, none, true},
		{`"Null":{"aws:TokenIssueTime":"true"}`, with("aws:TokenIssueTime", "2020-01-01T00:00:00Z"), false},
		{`"Null":{"aws:TokenIssueTime":false}`, with("aws:TokenIssueTime", ""), true},
		{`"Null":{"aws:TagKeys":"true"}`, with("aws:TagKeys"), true},

		// IfExists: "If the condition key is present in the context of the request, process the key as
		// specified in the policy. If the key is not present, evaluate the condition element as true."
		{`"StringLikeIfExists":{"aws:username":"a*"}`, none, true},
		{`"StringLikeIfExists":{"aws:username":"a*"}`, with("aws:username", "b"), false},
		{`"StringLikeIfExists":{"aws:username":"a*"}`, with("aws:username", "ab"), true},
		{`"StringNotEqualsIfExists":{"aws:username":"a"}`, with("aws:username", "a"), false},

		// Sets.
		{`"ForAllValues:StringEquals":{"dynamodb:Attributes":["ID","Message","Tags"]}`, with("dynamodb:Attributes", "ID", "Message"), true},
		{`"ForAllValues:StringEquals":{"dynamodb:Attributes":["ID","Message","Tags"]}`, with("dynamodb:Attributes", "ID", "UserName"), false},
		{`"ForAllValues:StringEquals":{"dynamodb:Attributes":["ID"]}`, none, true}, // the trap: true when the key is missing
		{`"ForAllValues:StringEquals":{"dynamodb:Attributes":["ID"]},"Null":{"dynamodb:Attributes":"false"}`, none, false},
		{`"ForAllValues:StringNotEquals":{"aws:TagKeys":["a"]}`, with("aws:TagKeys", "b", "c"), true},
		{`"ForAllValues:StringNotEquals":{"aws:TagKeys":["a"]}`, with("aws:TagKeys", "b", "a"), false},
		{`"ForAnyValue:StringEquals":{"aws:TagKeys":["environment","cost-center"]}`, with("aws:TagKeys", "x", "environment"), true},
		{`"ForAnyValue:StringEquals":{"aws:TagKeys":["environment","cost-center"]}`, with("aws:TagKeys", "x"), false},
		{`"ForAnyValue:StringEquals":{"aws:TagKeys":["environment"]}`, none, false},
		{`"ForAnyValue:StringNotEquals":{"aws:TagKeys":["environment"]}`, with("aws:TagKeys", "environment", "x"), true},
		{`"ForAnyValue:StringNotEquals":{"aws:TagKeys":["environment"]}`, with("aws:TagKeys", "environment"), false},
		{`"ForAnyValue:StringNotEquals":{"aws:TagKeys":["environment"]}`, none, false},
		{`"ForAnyValue:StringLikeIfExists":{"aws:TagKeys":["env*"]}`, none, true},
		{`"ForAllValues:ArnLike":{"aws:CalledVia":["arn:aws:iam::*:role/*"]}`, with("aws:CalledVia", roleARN), true},

		// Several operators and keys are joined by and; several values by or.
		{`"StringEquals":{"aws:username":"a"},"Bool":{"aws:SecureTransport":"true"}`, with("aws:username", "a"), false},
		{`"StringEquals":{"aws:username":"a","aws:PrincipalAccount":"1"}`, with("aws:username", "a"), false},

		// Variables.
		{`"StringEquals":{"aws:ResourceTag/cost-center":"${aws:PrincipalTag/cost-center}"}`, iam.Context{"aws:resourcetag/cost-center": {"7"}, "aws:principaltag/cost-center": {"7"}}, true},
		{`"StringEquals":{"aws:ResourceTag/cost-center":"${aws:PrincipalTag/cost-center}"}`, iam.Context{"aws:resourcetag/cost-center": {"7"}, "aws:principaltag/cost-center": {"8"}}, false},
		{`"StringEquals":{"aws:ResourceTag/cost-center":"${aws:PrincipalTag/cost-center}"}`, iam.Context{"aws:resourcetag/cost-center": {"7"}}, false},
		{`"StringNotEquals":{"aws:ResourceTag/cost-center":"${aws:PrincipalTag/cost-center}"}`, iam.Context{"aws:resourcetag/cost-center": {"7"}}, false},
		{`"StringLike":{"s3:prefix":"${aws:username}/*"}`, iam.Context{"s3:prefix": {"David/x"}, "aws:username": {"David"}}, true},
		{`"StringEqualsIgnoreCase":{"s3:prefix":"${aws:username}"}`, iam.Context{"s3:prefix": {"david"}, "aws:username": {"David"}}, true},
		{`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::${aws:PrincipalAccount}:role/*"}`, iam.Context{"aws:principalarn": {roleARN}, "aws:principalaccount": {account}}, true},
		{`"ForAllValues:StringLike":{"dynamodb:LeadingKeys":["${aws:userid}*"]}`, iam.Context{"dynamodb:leadingkeys": {"u1#a", "u1#b"}, "aws:userid": {"u1"}}, true},
	} {
		p := parse(t, iam.Identity, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{`+test.condition+`}}`)
		if got := allowed(p, "s3:GetObject", object, test.context); got != test.want {
			t.Errorf("%s with %v: got %v", test.condition, test.context, got)
		}
	}
}

// TestQuarantine is the content bucket's policy: nothing is read before it is available, except by who is
// tagged for it.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	policy := parse(t, iam.Resource, `{"Effect":"Deny","Principal":"*","Action":["s3:GetObject","s3:GetObjectVersion"],"Resource":"`+bucket+`/*",
		"Condition":{"StringNotEquals":{"s3:ExistingObjectTag/stowage":"available","aws:PrincipalTag/stowage-quarantine":"reader"}}}`)
	identity := parse(t, iam.Identity, `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`)
	for name, test := range map[string]struct {
		context iam.Context
		want    bool
	}{
		"no tag":             {iam.Context{}, false},
		"pending":            {iam.Context{"s3:existingobjecttag/stowage": {"pending"}}, false},
		"available":          {iam.Context{"s3:existingobjecttag/stowage": {"available"}}, true},
		"no tag, a reader":   {iam.Context{"aws:principaltag/stowage-quarantine": {"reader"}}, true},
		"no tag, a writer":   {iam.Context{"aws:principaltag/stowage-quarantine": {"writer"}}, false},
		"available, in case": {iam.Context{"s3:existingobjecttag/stowage": {"Available"}}, false},
	} {
		for _, action := range []string{"s3:GetObject", "s3:GetObjectVersion"} {
			r := iam.Request{Principal: aRole(), Action: action, Resource: object, Context: test.context}
			if got := iam.Evaluate(r, iam.Policies{Identity: []*iam.Policy{identity}, Resource: []*iam.Policy{policy}}); got.Allowed != test.want {
				t.Errorf("%s, %s: got %v", name, action, got)
			}
		}
	}
}
