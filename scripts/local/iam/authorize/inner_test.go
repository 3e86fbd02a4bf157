package authorize_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/iam/authorize"
)

const letters = "arn:aws:sqs:us-east-1:000000000000:letters"

// innerConfig adds a queue that S3 may send to for one bucket, and one that is encrypted
// with a key which S3 may use.
func innerConfig() authorize.Config {
	cfg := config()
	mayS3 := func(action, resource, condition string) string {
		return `{"Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":` + action + `,"Resource":"` + resource + `","Condition":{` + condition + `}}`
	}
	fromBucket := `"ArnLike":{"aws:SourceArn":"` + bucket + `"},"StringEquals":{"aws:SourceAccount":"` + account + `"}`
	for i := range cfg.Resources {
		if cfg.Resources[i].ARN == queue { // encrypted with dataKey, whose policy does not know S3
			cfg.Resources[i].Policies = []authorize.Document{doc("queue", mayS3(`"sqs:SendMessage"`, queue, fromBucket))}
		}
		if cfg.Resources[i].ARN == otherKey {
			cfg.Resources[i].Policies = append(cfg.Resources[i].Policies, doc("s3", mayS3(`["kms:Decrypt","kms:GenerateDataKey"]`, "*", fromBucket)))
		}
	}
	cfg.Resources = append(cfg.Resources,
		authorize.Resource{ARN: letters, Policies: []authorize.Document{doc("letters", mayS3(`"sqs:SendMessage"`, letters, fromBucket))}},
		authorize.Resource{ARN: letters + "-encrypted", KeyARN: otherKey, Policies: []authorize.Document{doc("letters", mayS3(`"sqs:SendMessage"`, letters+"-encrypted", fromBucket))}})
	return cfg
}

// TestPermit decides what AWS does inside: as a service, for a source, or with a role.
func TestPermit(t *testing.T) {
	t.Parallel()
	var observed []authorize.Outcome
	cfg := innerConfig()
	cfg.Observe = func(o authorize.Outcome) { observed = append(observed, o) }
	a := newAuthorizer(t, cfg)
	session := func(role string) *gateway.Caller {
		return &gateway.Caller{RoleARN: role, PrincipalARN: strings.Replace(role, ":role/", ":assumed-role/", 1) + "/fn"}
	}
	s3 := authorize.Inner{Service: "s3.amazonaws.com", Source: bucket, Action: "sqs:SendMessage", Resource: letters}
	with := func(change func(in *authorize.Inner)) authorize.Inner {
		in := s3
		change(&in)
		return in
	}
	for _, test := range []struct {
		name string
		in   authorize.Inner
		want string // what the error says; empty: permitted
		told int    // outcomes that Observe is told of
	}{
		{"a service, for the source that the policy names", s3, "", 1},
		{"for another source", with(func(in *authorize.Inner) { in.Source = "arn:aws:s3:::other" }), "s3.amazonaws.com is not authorized to perform: sqs:SendMessage on resource: " + letters, 1},
		{"for no source", with(func(in *authorize.Inner) { in.Source = "" }), "the request has no such key", 1},
		{"another service", with(func(in *authorize.Inner) { in.Service = "sns.amazonaws.com" }), "sns.amazonaws.com is not authorized", 1},
		{"another action", with(func(in *authorize.Inner) { in.Action = "sqs:DeleteMessage" }), "not authorized to perform: sqs:DeleteMessage", 1},
		{"a queue that is not here", with(func(in *authorize.Inner) { in.Resource = letters + "-gone" }), "no resource-based policy allows", 1},
		{"an encrypted queue, whose key does not know S3", with(func(in *authorize.Inner) { in.Resource = queue }), "not authorized to perform: kms:", 2},
		{"an encrypted queue, whose key does", with(func(in *authorize.Inner) { in.Resource = letters + "-encrypted" }), "", 3},
		{"only asked", with(func(in *authorize.Inner) { in.Asked = true }), "", 0},
		{"only asked, and denied", with(func(in *authorize.Inner) { in.Asked, in.Source = true, "" }), "not authorized", 0},
		{"a role that may", authorize.Inner{Caller: session(ingest), Action: "sqs:ReceiveMessage", Resource: queue}, "", 2},
		{"a role that may not", authorize.Inner{Caller: session(ingest), Action: "sqs:SendMessage", Resource: queue}, "because no identity-based policy allows", 1},
		{"a role beyond its boundary", authorize.Inner{Caller: session(bounded), Action: "sqs:SendMessage", Resource: queue}, "because no permissions boundary allows", 1},
		{"a role of nowhere", authorize.Inner{Caller: session("arn:aws:iam::000000000000:role/gone"), Action: "sqs:SendMessage", Resource: queue}, "role/gone is not in the template", 0},
		{"Lambda, the role of a function", authorize.Inner{Service: "lambda.amazonaws.com", Action: "sts:AssumeRole", Resource: ingest}, "", 1},
		{"Lambda, a role that trusts another", authorize.Inner{Service: "lambda.amazonaws.com", Action: "sts:AssumeRole", Resource: signer}, "no role trust policy allows", 1},
	} {
		observed = nil
		err := a.Permit(t.Context(), test.in)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.want != "" && (!errors.Is(err, authorize.ErrDenied) || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want a denial that says %q", test.name, err, test.want)
		}
		if len(observed) != test.told {
			t.Errorf("%s: Observe was told of %d, want %d: %v", test.name, len(observed), test.told, observed)
		}
	}
}
