package iam_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/scripts/local/iam"
)

// TestParseRefuses: what would silently not apply is refused, and named.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const rest = `"Action":"s3:GetObject","Resource":"*"`
	statement := func(s string) string { return `{"Version":"2012-10-17","Statement":[` + s + `]}` }
	condition := func(c string) string {
		return statement(`{"Sid":"Mine","Effect":"Allow",` + rest + `,"Condition":{` + c + `}}`)
	}
	for name, test := range map[string]struct {
		kind     iam.Kind
		document string
		want     string
	}{
		"not JSON":                    {iam.Identity, `{"Version" "x"}`, "not JSON"},
		"cut off":                     {iam.Identity, `{"Statement":[`, "not a policy"},
		"a list":                      {iam.Identity, `[]`, "not a policy"},
		"two documents":               {iam.Identity, statement(`{"Effect":"Allow",`+rest+`}`) + `{}`, "follows"},
		"no statement":                {iam.Identity, `{"Version":"2012-10-17"}`, "no Statement"},
		"version":                     {iam.Identity, `{"Version":"2017-08-17","Statement":[]}`, `"2017-08-17"`},
		"unknown element":             {iam.Identity, statement(`{"Effect":"Allow",` + rest + `,"Resources":"*"}`), "Resources"},
		"duplicate":                   {iam.Identity, statement(`{"Effect":"Deny","Effect":"Allow",` + rest + `}`), `"Effect" occurs twice`},
		"duplicate but for case":      {iam.Identity, statement(`{"Effect":"Deny","effect":"Allow",` + rest + `}`), `occurs twice`},
		"duplicate operator":          {iam.Identity, condition(`"Bool":{"aws:SecureTransport":"true"},"Bool":{"aws:ViaAWSService":"true"}`), `"Bool" occurs twice`},
		"no effect":                   {iam.Identity, statement(`{` + rest + `}`), "Effect"},
		"effect":                      {iam.Identity, statement(`{"Effect":"allow",` + rest + `}`), `"allow"`},
		"no action":                   {iam.Identity, statement(`{"Effect":"Allow","Resource":"*"}`), "Action or NotAction"},
		"action and not":              {iam.Identity, statement(`{"Effect":"Allow",` + rest + `,"NotAction":"s3:*"}`), "Action or NotAction"},
		"empty action":                {iam.Identity, statement(`{"Effect":"Allow","Action":[],"Resource":"*"}`), "names no action"},
		"action with a typo":          {iam.Identity, statement(`{"Effect":"Allow","Action":"s3:GetObejct","Resource":"*"}`), `"s3:GetObejct"`},
		"action of the API":           {iam.Identity, statement(`{"Effect":"Allow","Action":"s3:HeadObject","Resource":"*"}`), `"s3:HeadObject"`},
		"batch action":                {iam.Identity, statement(`{"Effect":"Allow","Action":"sqs:SendMessageBatch","Resource":"*"}`), `"sqs:SendMessageBatch"`},
		"wildcard that matches none":  {iam.Identity, statement(`{"Effect":"Allow","Action":"dynamodb:Getitems*","Resource":"*"}`), `"dynamodb:Getitems*"`},
		"unknown service":             {iam.Identity, statement(`{"Effect":"Allow","Action":"s4:GetObject","Resource":"*"}`), `"s4:GetObject"`},
		"wildcard service":            {iam.Identity, statement(`{"Effect":"Allow","Action":"s*:GetObject","Resource":"*"}`), "wildcard in its service"},
		"no service":                  {iam.Identity, statement(`{"Effect":"Allow","Action":"GetObject","Resource":"*"}`), `"GetObject"`},
		"action not text":             {iam.Identity, statement(`{"Effect":"Allow","Action":{"a":1},"Resource":"*"}`), "not a string"},
		"no resource":                 {iam.Identity, statement(`{"Effect":"Allow","Action":"s3:*"}`), "Resource or NotResource"},
		"empty resource":              {iam.Identity, statement(`{"Effect":"Allow","Action":"s3:*","Resource":[]}`), "names no resource"},
		"resource no ARN":             {iam.Identity, statement(`{"Effect":"Allow","Action":"s3:*","Resource":"bucket/*"}`), `"bucket/*"`},
		"principal in identity":       {iam.Identity, statement(`{"Effect":"Allow","Principal":"*",` + rest + `}`), "must not name a principal"},
		"principal in boundary":       {iam.Boundary, statement(`{"Effect":"Allow","Principal":"*",` + rest + `}`), "must not name a principal"},
		"no principal in resource":    {iam.Resource, statement(`{"Effect":"Allow",` + rest + `}`), "Principal or NotPrincipal"},
		"principal kind":              {iam.Resource, statement(`{"Effect":"Allow","Principal":{"Aws":"*"},` + rest + `}`), `"Aws"`},
		"principal text":              {iam.Resource, statement(`{"Effect":"Allow","Principal":"111122223333",` + rest + `}`), `"111122223333"`},
		"empty principal":             {iam.Resource, statement(`{"Effect":"Allow","Principal":{},` + rest + `}`), "principal is empty"},
		"principal list":              {iam.Resource, statement(`{"Effect":"Allow","Principal":["*"],` + rest + `}`), "principal"},
		"principal wildcard":          {iam.Resource, statement(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/*"},` + rest + `}`), "wildcard"},
		"principal nobody":            {iam.Resource, statement(`{"Effect":"Allow","Principal":{"AWS":"Carlos"},` + rest + `}`), `"Carlos"`},
		"service principal":           {iam.Resource, statement(`{"Effect":"Allow","Principal":{"Service":"lambda"},` + rest + `}`), `"lambda"`},
		"resource in trust":           {iam.Trust, statement(`{"Effect":"Allow","Principal":"*",` + rest + `}`), "must not have Resource"},
		"unknown operator":            {iam.Identity, condition(`"StringContains":{"aws:username":"a"}`), `"StringContains"`},
		"operator's case":             {iam.Identity, condition(`"stringEquals":{"aws:username":"a"}`), `"stringEquals"`},
		"quantifier's case":           {iam.Identity, condition(`"forAllValues:StringEquals":{"aws:username":"a"}`), `forAllValues`},
		"relation":                    {iam.Identity, condition(`"NumericAbout":{"s3:max-keys":"1"}`), `"NumericAbout"`},
		"unknown key":                 {iam.Identity, condition(`"StringEquals":{"aws:UserName2":"a"}`), `"aws:UserName2"`},
		"unknown service's key":       {iam.Identity, condition(`"StringEquals":{"s4:prefix":"a"}`), `"s4:prefix"`},
		"key without service":         {iam.Identity, condition(`"StringEquals":{"username":"a"}`), `"username"`},
		"tag key without name":        {iam.Identity, condition(`"StringEquals":{"aws:PrincipalTag/":"a"}`), `"aws:PrincipalTag/"`},
		"no value":                    {iam.Identity, condition(`"StringEquals":{"aws:username":[]}`), "no value"},
		"no key":                      {iam.Identity, condition(`"StringEquals":{}`), "names no key"},
		"bool":                        {iam.Identity, condition(`"Bool":{"aws:SecureTransport":"yes"}`), `"yes"`},
		"number":                      {iam.Identity, condition(`"NumericEquals":{"s3:max-keys":"ten"}`), `"ten"`},
		"date":                        {iam.Identity, condition(`"DateEquals":{"aws:CurrentTime":"soon"}`), `"soon"`},
		"IP":                          {iam.Identity, condition(`"IpAddress":{"aws:SourceIp":"10.0.0.0/33"}`), `"10.0.0.0/33"`},
		"binary":                      {iam.Identity, condition(`"BinaryEquals":{"aws:PrincipalTag/k":"%"}`), `"%"`},
		"ARN":                         {iam.Identity, condition(`"ArnLike":{"aws:SourceArn":"arn:aws:sns"}`), `"arn:aws:sns"`},
		"null":                        {iam.Identity, condition(`"Null":{"aws:username":"maybe"}`), `"maybe"`},
		"null, two values":            {iam.Identity, condition(`"Null":{"aws:username":["true","false"]}`), "one value"},
		"null if exists":              {iam.Identity, condition(`"NullIfExists":{"aws:username":"true"}`), "IfExists"},
		"null of a set":               {iam.Identity, condition(`"ForAnyValue:Null":{"aws:username":"true"}`), "quantifier"},
		"variable with a number":      {iam.Identity, condition(`"NumericEquals":{"s3:max-keys":"${aws:username}"}`), "string and ARN operators"},
		"variable with a date":        {iam.Identity, condition(`"DateEquals":{"aws:CurrentTime":"${aws:username}"}`), "string and ARN operators"},
		"variable with a bool":        {iam.Identity, condition(`"Bool":{"aws:SecureTransport":"${aws:username}"}`), "string and ARN operators"},
		"variable with an IP":         {iam.Identity, condition(`"IpAddress":{"aws:SourceIp":"${aws:username}"}`), "string and ARN operators"},
		"variable with a binary":      {iam.Identity, condition(`"BinaryEquals":{"aws:PrincipalTag/k":"${aws:username}"}`), "string and ARN operators"},
		"variable that is not closed": {iam.Identity, condition(`"StringEquals":{"aws:username":"${aws:username"}`), "closing brace"},
		"unknown variable":            {iam.Identity, condition(`"StringEquals":{"aws:username":"${aws:nobody}"}`), `"aws:nobody"`},
		"empty variable":              {iam.Identity, condition(`"StringEquals":{"aws:username":"${}"}`), "no name"},
		"default without quotes":      {iam.Identity, condition(`"StringEquals":{"aws:username":"${aws:userid, x}"}`), "single quotes"},
		"unknown variable, resource":  {iam.Identity, statement(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:nobody}"}`), `"aws:nobody"`},
		"statement's place":           {iam.Identity, condition(`"X":{"aws:username":"a"}`), "identity-based policy test: statement 0 (Mine): condition X on aws:username"},
	} {
		if _, err := iam.Parse(test.kind, "test", []byte(test.document)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want an error that says %q", name, err, test.want)
		}
	}
}

func TestParseAccepts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind     iam.Kind
		document string
	}{
		"one statement, no list":  {iam.Identity, `{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`},
		"no version, with an id":  {iam.Identity, `{"Id":"x","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["*"]}]}`},
		"other services":          {iam.Identity, `{"Statement":[{"Effect":"Allow","Action":["xray:PutTraceSegments","logs:CreateLogStream"],"Resource":"*"}]}`},
		"federated and canonical": {iam.Resource, `{"Statement":[{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com","CanonicalUser":"79a5"},"Action":"s3:GetObject","Resource":"*"}]}`},
		"trust":                   {iam.Trust, `{"Statement":[{"Effect":"Allow","Principal":{"Federated":"*"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"x"}}}]}`},
		"nothing":                 {iam.Session, `{"Statement":[]}`},
		"families of keys":        {iam.Identity, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:tenant":"a","s3:ExistingObjectTag/a b":"c"}}}]}`},
	} {
		if _, err := iam.Parse(test.kind, name, []byte(test.document)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprint(iam.Identity, iam.Resource, iam.Trust, iam.Boundary, iam.Session, iam.Kind(9)); got != "identity-based policy resource-based policy role trust policy permissions boundary session policy policy kind 9" {
		t.Errorf("got %s", got)
	}
}

// FuzzEvaluate: whatever the document, Parse answers; and what it takes can be evaluated, the same way
// twice, and never allows what a statement of the same policy denies outright.
func FuzzEvaluate(f *testing.F) {
	f.Add(uint8(0), `{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::${aws:username, 'x'}/*"}}`, "s3:GetObject", object, "David")
	f.Add(uint8(1), `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","NotPrincipal":{"AWS":"111122223333"},"NotAction":"s3:*","NotResource":"*","Condition":{"ForAllValues:StringNotLikeIfExists":{"aws:username":["a?","*"]}}}]}`, "s3:GetObject", object, "")
	f.Add(uint8(2), `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{"DateLessThan":{"aws:username":"2020"},"IpAddress":{"aws:SourceIp":"::/0"}}}]}`, "sts:AssumeRole", "*", "1")
	f.Fuzz(func(t *testing.T, kind uint8, document, action, resource, value string) {
		k := iam.Kind(kind % 5)
		p, err := iam.Parse(k, "fuzz", []byte(document))
		if err != nil {
			return
		}
		r := iam.Request{Principal: aRole(), Action: action, Resource: resource, Context: iam.Context{"aws:username": {value}, "aws:sourceip": {value}, "aws:tagkeys": {value, value}}}
		var all iam.Policies
		switch k {
		case iam.Identity:
			all.Identity = []*iam.Policy{p}
		case iam.Resource, iam.Trust:
			all.Resource = []*iam.Policy{p}
		case iam.Boundary:
			all.Boundary = p
		case iam.Session:
			all.Session = []*iam.Policy{p}
		}
		first, second := iam.Evaluate(r, all), iam.Evaluate(r, all)
		if fmt.Sprint(first) != fmt.Sprint(second) {
			t.Fatalf("%+v, then %+v", first, second)
		}
		all.Identity = append(all.Identity, parse(t, iam.Identity, `{"Effect":"Deny","Action":"*","Resource":"*"}`))
		if iam.Evaluate(r, all).Allowed {
			t.Fatal("allowed in spite of a Deny")
		}
	})
}
