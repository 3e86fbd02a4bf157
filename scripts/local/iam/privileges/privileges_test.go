package privileges_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/scripts/local/iam/privileges"
	"github.com/stowage-dev/stowage/scripts/local/iam/usage"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

const (
	ingest = "arn:aws:iam::000000000000:role/ingest"
	signer = "arn:aws:iam::000000000000:role/signer"
	custom = "arn:aws:iam::000000000000:role/custom"
	bucket = "arn:aws:s3:::content/*"
	table  = "arn:aws:dynamodb:us-east-1:000000000000:table/catalog"
)

func policy(statements string) []template.Policy {
	return []template.Policy{{Name: "own", Document: json.RawMessage(`{"Version":"2012-10-17","Statement":[` + statements + `]}`)}}
}

func trust(principal string) json.RawMessage {
	return json.RawMessage(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":` + principal + `}]}`)
}

// model has a function's role, one that this role assumes, and one that nothing here runs as.
func model(statements string, unused ...template.UnusedGrant) *template.Model {
	return &template.Model{
		Functions: []*template.Function{{Name: "ingest", RoleARN: ingest}},
		Roles: []*template.Role{
			{Origin: template.Origin{ConstructPath: "App/Signer"}, ARN: signer, Trust: trust(`{"AWS":"` + ingest + `"}`), Policies: policy("")},
			{Origin: template.Origin{ConstructPath: "App/Ingest"}, ARN: ingest, Trust: trust(`{"Service":"lambda.amazonaws.com"}`), Policies: policy(statements), Unused: unused},
			{Origin: template.Origin{ConstructPath: "App/Custom"}, ARN: custom, Trust: trust(`{"Service":"lambda.amazonaws.com"}`),
				Policies: policy(`{"Effect":"Allow","Action":"*","Resource":"*"}`)},
		},
	}
}

func use(action, granted, resource string) usage.Line {
	return usage.Line{Role: ingest, Action: action, Grant: &usage.Grant{Policy: "own", Action: granted, Resource: resource}}
}

func TestReport(t *testing.T) {
	t.Parallel()
	const readAndWrite = `{"Effect":"Allow","Action":["s3:GetObjectVersion","s3:PutObject"],"Resource":"` + bucket + `"}`
	read, write := use("s3:GetObjectVersion", "s3:GetObjectVersion", bucket), use("s3:PutObject", "s3:PutObject", bucket)
	why := func(reason string, actions ...string) template.UnusedGrant {
		return template.UnusedGrant{Actions: actions, Resource: bucket, Reason: reason}
	}
	denial := usage.Line{Role: ingest, Action: "s3:PutObject", Denial: &usage.Denial{Principal: "somebody", Resource: bucket, Why: "somebody is not authorized"}}
	stranger := read
	stranger.Role = custom
	const streams = `{"Effect":"Allow","Action":"dynamodb:*Item","Resource":"` + table + `"}`
	for name, test := range map[string]struct {
		statements string
		unused     []template.UnusedGrant
		lines      []usage.Line
		want       privileges.Count
		ok         bool
		text       []string
	}{
		"all is used":              {statements: readAndWrite, lines: []usage.Line{read, write, read}, want: privileges.Count{Roles: 2, Grants: 2, Used: 2}, ok: true, text: []string{"App/Ingest", "s3 content/*", "used"}},
		"one is not":               {statements: readAndWrite, lines: []usage.Line{read}, want: privileges.Count{Roles: 2, Grants: 2, Used: 1, Unused: 1}, text: []string{"NOT USED  s3:PutObject"}},
		"used by another role":     {statements: readAndWrite, lines: []usage.Line{stranger, write}, want: privileges.Count{Roles: 2, Grants: 2, Used: 1, Unused: 1}},
		"of another resource":      {statements: readAndWrite, lines: []usage.Line{read, use("s3:PutObject", "s3:PutObject", "*")}, want: privileges.Count{Roles: 2, Grants: 2, Used: 1, Unused: 1}},
		"not used, for a reason":   {statements: readAndWrite, unused: []template.UnusedGrant{why("the retry of a lost answer", "s3:PutObject")}, lines: []usage.Line{read}, want: privileges.Count{Roles: 2, Grants: 2, Used: 1, Explained: 1}, ok: true, text: []string{"not used: the retry of a lost answer"}},
		"a reason for what is":     {statements: readAndWrite, unused: []template.UnusedGrant{why("never", "s3:PutObject")}, lines: []usage.Line{read, write}, want: privileges.Count{Roles: 2, Grants: 2, Used: 2, Stale: 1}, text: []string{"STALE App/Ingest: s3:PutObject", `drop the reason "never"`}},
		"a reason for nothing":     {statements: readAndWrite, unused: []template.UnusedGrant{why("never", "s3:DeleteObject")}, lines: []usage.Line{read, write}, want: privileges.Count{Roles: 2, Grants: 2, Used: 2, Stale: 1}},
		"denied, twice":            {statements: readAndWrite, lines: []usage.Line{read, write, denial, denial}, want: privileges.Count{Roles: 2, Grants: 2, Used: 2, Denied: 1}, text: []string{"DENIED somebody is not authorized"}},
		"a wildcard, used in part": {statements: streams, lines: []usage.Line{use("dynamodb:GetItem", "dynamodb:*Item", table)}, want: privileges.Count{Roles: 2, Grants: 1, Unused: 1}, text: []string{"NOT USED, but for others", "dynamodb:PutItem"}},
		"a wildcard, used whole": {statements: streams, want: privileges.Count{Roles: 2, Grants: 1, Used: 1}, ok: true, lines: []usage.Line{
			use("dynamodb:BatchGetItem", "dynamodb:*Item", table), use("dynamodb:ConditionCheckItem", "dynamodb:*Item", table), use("dynamodb:BatchWriteItem", "dynamodb:*Item", table), use("dynamodb:DeleteItem", "dynamodb:*Item", table),
			use("dynamodb:GetItem", "dynamodb:*Item", table), use("dynamodb:PutItem", "dynamodb:*Item", table), use("dynamodb:UpdateItem", "dynamodb:*Item", table)}},
		"nothing was recorded": {statements: readAndWrite, want: privileges.Count{Roles: 2, Grants: 2, Unused: 2}},
	} {
		report, err := privileges.New(model(test.statements, test.unused...), test.lines)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var out strings.Builder
		if err := report.Write(&out); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := report.Count(); got != test.want || got.OK() != test.ok {
			t.Errorf("%s: %+v (%v), want %+v\n%s", name, got, got.OK(), test.want, &out)
		}
		for _, want := range test.text {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: the report does not say %q:\n%s", name, want, &out)
			}
		}
	}
}

// TestWhatCannotBeListed: what a statement with NotAction or NotResource grants can be compared with nothing.
func TestWhatCannotBeListed(t *testing.T) {
	t.Parallel()
	for _, statement := range []string{
		`{"Effect":"Allow","NotAction":"s3:*","Resource":"*"}`, `{"Effect":"Allow","Action":"s3:GetObject","NotResource":"arn:aws:s3:::a/*"}`,
		`{"Effect":"Allow","Action":"s3:GetObjekt","Resource":"*"}`,
	} {
		if _, err := privileges.New(model(statement), nil); err == nil || !strings.Contains(err.Error(), "App/Ingest") {
			t.Errorf("%s: %v, want an error that names the role", statement, err)
		}
	}
}

// TestManagedPoliciesCount: AWS's own policies grant like those of the template.
func TestManagedPoliciesCount(t *testing.T) {
	t.Parallel()
	m := model("")
	m.Roles[1].ManagedPolicyARNs = []string{"arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}
	report, err := privileges.New(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := report.Count(); got.Grants != 3 || got.Unused != 3 {
		t.Errorf("%+v, want the three grants of the logs", got)
	}
}
