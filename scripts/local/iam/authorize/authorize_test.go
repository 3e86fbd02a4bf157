package authorize_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/iam"
	"github.com/stowage-dev/stowage/scripts/local/iam/authorize"
)

const (
	region    = "us-east-1"
	account   = "000000000000"
	ingest    = "arn:aws:iam::000000000000:role/ingest"
	api       = "arn:aws:iam::000000000000:role/api"
	signer    = "arn:aws:iam::000000000000:role/signer"
	bounded   = "arn:aws:iam::000000000000:role/bounded"
	developer = "arn:aws:iam::000000000000:user/developer"
	bucket    = "arn:aws:s3:::content"
	table     = "arn:aws:dynamodb:us-east-1:000000000000:table/catalog"
	queue     = "arn:aws:sqs:us-east-1:000000000000:ingest"
	bus       = "arn:aws:events:us-east-1:000000000000:event-bus/bus"
	secret    = "arn:aws:secretsmanager:us-east-1:000000000000:secret:cursor-AbCdEf"
	dataKey   = "arn:aws:kms:us-east-1:000000000000:key/data"
	otherKey  = "arn:aws:kms:us-east-1:000000000000:key/other"
)

func doc(name string, statements ...string) authorize.Document {
	return authorize.Document{Name: name, JSON: []byte(`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`)}
}

func allow(action, resource, condition string) string {
	if condition != "" {
		condition = `,"Condition":{` + condition + `}`
	}
	return fmt.Sprintf(`{"Sid":"S","Effect":"Allow","Action":%s,"Resource":%q%s}`, action, resource, condition)
}

func trust(principal string) authorize.Document {
	return doc("trust", `{"Effect":"Allow","Principal":`+principal+`,"Action":"sts:AssumeRole"}`)
}

// via allows an action on a key when a service asks for it.
func via(service, action, key string) string {
	return allow(action, key, `"StringEquals":{"kms:ViaService":"`+service+`.us-east-1.amazonaws.com"}`)
}

// config is a small template: roles with what they need, and a quarantined bucket.
func config() authorize.Config {
	everybody := `"Principal":{"AWS":"*"}`
	root := doc("key", `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+account+`:root"},"Action":"kms:*","Resource":"*"}`)
	return authorize.Config{
		Region: region, Account: account,
		Roles: []authorize.Role{
			{
				ARN: ingest, Trust: trust(`{"Service":"lambda.amazonaws.com"}`), Tags: map[string]string{"stowage-quarantine": "writer"},
				Managed: []string{"arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"},
				Policies: []authorize.Document{doc("ingest",
					allow(`["s3:GetObjectVersion","s3:PutObjectVersionTagging","s3:DeleteObjectVersion"]`, bucket+"/c/*", ""),
					via("s3", `"kms:Decrypt"`, dataKey),
					allow(`["dynamodb:GetItem","dynamodb:PutItem","dynamodb:UpdateItem","dynamodb:ConditionCheckItem"]`, table, ""),
					via("dynamodb", `"kms:Decrypt"`, dataKey),
					allow(`["sqs:ReceiveMessage","sqs:DeleteMessage"]`, queue, ""),
					via("sqs", `"kms:Decrypt"`, dataKey))},
			},
			{
				ARN: api, Trust: trust(`{"Service":"lambda.amazonaws.com"}`),
				Policies: []authorize.Document{doc("api",
					allow(`"dynamodb:Query"`, table+"/index/gsi1", ""),
					allow(`"dynamodb:GetItem"`, table, `"ForAllValues:StringLike":{"dynamodb:LeadingKeys":["W#${aws:PrincipalTag/workspace, 'none'}*"]}`),
					via("dynamodb", `"kms:Decrypt"`, dataKey),
					allow(`"events:PutEvents"`, bus, `"ForAllValues:StringEquals":{"events:source":"stowage"}`),
					allow(`"secretsmanager:GetSecretValue"`, secret, ""),
					allow(`"sts:AssumeRole"`, signer, ""))},
			},
			{
				ARN: signer, Trust: trust(`{"AWS":"` + api + `"}`),
				Policies: []authorize.Document{doc("signer",
					allow(`["s3:PutObject","s3:GetObjectVersion"]`, bucket+"/c/*", ""),
					via("s3", `["kms:Decrypt","kms:GenerateDataKey"]`, dataKey))},
			},
			{
				ARN: bounded, Trust: trust(`{"AWS":"` + account + `"}`),
				Policies: []authorize.Document{doc("all", allow(`"*"`, "*", ""))},
				Boundary: &authorize.Document{Name: "boundary", JSON: doc("", allow(`["s3:*","kms:*"]`, "*", `"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}`)).JSON},
			},
		},
		Users: map[string][]authorize.Document{developer: {doc("administrator", allow(`"*"`, "*", ""))}},
		Resources: []authorize.Resource{
			{ARN: bucket, KeyARN: dataKey, BucketKey: true, Policies: []authorize.Document{doc("quarantine",
				`{"Effect":"Deny",`+everybody+`,"Action":["s3:GetObject","s3:GetObjectVersion"],"Resource":"`+bucket+`/*","Condition":{"StringNotEquals":{"aws:PrincipalTag/stowage-quarantine":["reader","writer"],"s3:ExistingObjectTag/stowage":"available"}}}`,
				`{"Effect":"Deny",`+everybody+`,"Action":["s3:PutObjectTagging","s3:PutObjectVersionTagging"],"Resource":"`+bucket+`/*","Condition":{"StringNotEquals":{"aws:PrincipalTag/stowage-quarantine":"writer"}}}`,
				`{"Effect":"Deny",`+everybody+`,"Action":"s3:PutObject","Resource":"`+bucket+`/*","Condition":{"Null":{"s3:RequestObjectTagKeys":"false"},"StringNotEquals":{"aws:PrincipalTag/stowage-quarantine":"writer"}}}`)}},
			{ARN: "arn:aws:s3:::public", Policies: []authorize.Document{doc("public", `{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::public/*"}`)}},
			{ARN: table, KeyARN: dataKey, PartitionKeys: map[string]string{"": "pk", "gsi1": "gsi1pk"}},
			{ARN: queue, KeyARN: dataKey},
			{ARN: secret, KeyARN: dataKey, Tags: map[string]string{"use": "cursors"}},
			{ARN: dataKey, Policies: []authorize.Document{root}},
			{ARN: otherKey, Policies: []authorize.Document{root}},
		},
		ObjectTags: func(_ context.Context, bucket, key, version string) (map[string]string, bool, error) {
			switch bucket + "/" + key + "@" + version {
			case "content/c/ws/available@v1", "content/c/ws/available@":
				return map[string]string{"stowage": "available"}, true, nil
			case "content/c/ws/broken@v1":
				return nil, false, errors.New("the engine is gone")
			}
			return map[string]string{}, true, nil
		},
	}
}

func newAuthorizer(t *testing.T, cfg authorize.Config) *authorize.Authorizer {
	t.Helper()
	a, err := authorize.New(cfg)
	if err != nil {
		t.Fatalf("new: %v", err)
	}
	return a
}

// fixture is a gateway in front of services that answer everything, with an authorizer.
type fixture struct {
	*gateway.Gateway
	issuer *identity.Issuer
	call   *gateway.Call
	got    []authorize.Outcome
}

func start(t *testing.T, a *authorize.Authorizer) *fixture {
	t.Helper()
	issuer, err := identity.New(identity.Config{MasterKey: make([]byte, identity.MasterKeySize)})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{issuer: issuer}
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })
	services := map[string]http.Handler{}
	for _, s := range []string{gateway.S3, gateway.DynamoDB, gateway.DynamoDBStreams, "sqs", "events", "secretsmanager", "sts", "kms"} {
		services[s] = answer
	}
	f.Gateway, err = gateway.New(gateway.Config{Region: region, Account: account, Credentials: issuer, Services: services,
		SecretARN: func(name string) string { return map[string]string{"cursor": secret}[name] },
		Intercept: []gateway.Interceptor{
			func(ctx context.Context, c *gateway.Call) *gateway.Denial {
				f.call = c
				f.got, _ = a.Decide(ctx, c)
				return nil
			},
			a.Intercept,
		}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// as are the credentials of a function of a role, or of a user.
func (f *fixture) as(t *testing.T, arn string, tags map[string]string, policies ...string) aws.CredentialsProvider {
	t.Helper()
	c := f.issuer.IssueUser(arn)
	if strings.Contains(arn, ":role/") {
		var err error
		if c, _, err = f.issuer.IssueSession(identity.Session{RoleARN: arn, Name: "fn", Tags: tags, Policies: policies, Duration: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	return credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
}

func (f *fixture) s3(c aws.CredentialsProvider) *s3.Client {
	return s3.New(s3.Options{BaseEndpoint: aws.String(f.Endpoint()), Region: region, Credentials: c, UsePathStyle: true, Retryer: aws.NopRetryer{}})
}

func (f *fixture) dynamodb(c aws.CredentialsProvider) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{BaseEndpoint: aws.String(f.Endpoint()), Region: region, Credentials: c, Retryer: aws.NopRetryer{}})
}

func (f *fixture) sqs(c aws.CredentialsProvider) *sqs.Client {
	return sqs.New(sqs.Options{BaseEndpoint: aws.String(f.Endpoint()), Region: region, Credentials: c, Retryer: aws.NopRetryer{}})
}

func (f *fixture) events(c aws.CredentialsProvider) *eventbridge.Client {
	return eventbridge.New(eventbridge.Options{BaseEndpoint: aws.String(f.Endpoint()), Region: region, Credentials: c, Retryer: aws.NopRetryer{}})
}

func (f *fixture) secrets(c aws.CredentialsProvider) *secretsmanager.Client {
	return secretsmanager.New(secretsmanager.Options{BaseEndpoint: aws.String(f.Endpoint()), Region: region, Credentials: c, Retryer: aws.NopRetryer{}})
}

func (f *fixture) sts(c aws.CredentialsProvider) *sts.Client {
	return sts.New(sts.Options{BaseEndpoint: aws.String(f.Endpoint()), Region: region, Credentials: c, Retryer: aws.NopRetryer{}})
}

// asked are the actions that were asked for, in order, with their resources.
func (f *fixture) asked() string {
	var list []string
	for _, o := range f.got {
		list = append(list, o.Request.Action+" "+o.Request.Resource)
	}
	return strings.Join(list, ", ")
}

// keys are the condition keys of the request for an action, of some services alone, sorted.
func (f *fixture) keys(action string, prefixes ...string) string {
	var list []string
	for _, o := range f.got {
		if o.Request.Action != action {
			continue
		}
		for k, v := range o.Request.Context {
			for _, p := range prefixes {
				if strings.HasPrefix(k, p) && len(v) > 0 {
					sorted := slices.Sorted(slices.Values(v))
					list = append(list, k+"="+strings.Join(sorted, "|"))
				}
			}
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// denied checks how a call ended: "" is success, otherwise its error has the code and says the text.
func denied(t *testing.T, name string, err error, want string) {
	t.Helper()
	var apiErr smithy.APIError
	if errors.As(err, &apiErr) && (strings.Contains(apiErr.ErrorCode(), "AccessDenied") || apiErr.ErrorCode() == "Forbidden") {
		if want == "" || !strings.Contains(apiErr.ErrorMessage(), want) && apiErr.ErrorCode() != "Forbidden" {
			t.Errorf("%s: denied: %s; want %q", name, apiErr.ErrorMessage(), want)
		}
		return
	}
	if want != "" {
		t.Errorf("%s: not denied (%v), want %q", name, err, want)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := doc("good", allow(`"s3:GetObject"`, "*", ""))
	bad := doc("bad", allow(`"s3:GetObjekt"`, "*", ""))
	t1 := trust(`"*"`)
	for name, test := range map[string]struct {
		cfg  authorize.Config
		want []string
	}{
		"identity policy": {authorize.Config{Roles: []authorize.Role{{ARN: api, Trust: t1, Policies: []authorize.Document{good, bad}}}}, []string{api, "bad", "s3:GetObjekt"}},
		"no trust":        {authorize.Config{Roles: []authorize.Role{{ARN: api}}}, []string{api, "trust policy"}},
		"managed policy":  {authorize.Config{Roles: []authorize.Role{{ARN: api, Trust: t1, Managed: []string{"arn:aws:iam::aws:policy/Nobody"}}}}, []string{"Nobody"}},
		"boundary":        {authorize.Config{Roles: []authorize.Role{{ARN: api, Trust: t1, Boundary: &bad}}}, []string{"permissions boundary bad"}},
		"user":            {authorize.Config{Users: map[string][]authorize.Document{developer: {bad}}}, []string{developer}},
		"resource":        {authorize.Config{Resources: []authorize.Resource{{ARN: bucket, Policies: []authorize.Document{good}}}}, []string{bucket, "Principal"}},
		"all that is wrong": {authorize.Config{Roles: []authorize.Role{{ARN: api, Trust: t1, Policies: []authorize.Document{bad}}},
			Users: map[string][]authorize.Document{developer: {bad}}}, []string{api, developer}},
	} {
		_, err := authorize.New(test.cfg)
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want an error that says %q", name, err, want)
			}
		}
	}
}

// TestManagedPolicies: all that are known can be parsed.
func TestManagedPolicies(t *testing.T) {
	t.Parallel()
	var arns []string
	for _, name := range []string{"AdministratorAccess", "service-role/AWSLambdaBasicExecutionRole", "service-role/AWSLambdaVPCAccessExecutionRole",
		"service-role/AWSLambdaSQSQueueExecutionRole", "service-role/AWSLambdaDynamoDBExecutionRole", "AWSXRayDaemonWriteAccess", "AWSXrayWriteOnlyAccess",
		"CloudWatchLambdaInsightsExecutionRolePolicy", "service-role/AmazonAPIGatewayPushToCloudWatchLogs"} {
		arns = append(arns, "arn:aws:iam::aws:policy/"+name)
	}
	newAuthorizer(t, authorize.Config{Roles: []authorize.Role{{ARN: api, Trust: trust(`"*"`), Managed: arns}}})
}

func TestUnknownOperationAndRole(t *testing.T) {
	t.Parallel()
	a := newAuthorizer(t, config())
	f := start(t, a)
	_, err := f.dynamodb(f.as(t, "arn:aws:iam::000000000000:role/stranger", nil)).ListTables(t.Context(), &dynamodb.ListTablesInput{})
	denied(t, "a role of another template", err, "role/stranger is not in the template")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, f.Endpoint()+"/content/key", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("an operation that cannot be told: got %d", resp.StatusCode)
	}
	if d := a.Intercept(t.Context(), &gateway.Call{Service: gateway.S3}); d == nil || !strings.Contains(d.Message, "cannot be told") {
		t.Errorf("got %+v", d)
	}
}

// TestGlobalKeys are those of a session, of a user, of the account and of nobody.
func TestGlobalKeys(t *testing.T) {
	t.Parallel()
	f := start(t, newAuthorizer(t, config()))
	for arn, want := range map[string]string{
		ingest:                           "aws:multifactorauthpresent=false aws:principalaccount=000000000000 aws:principalarn=" + ingest + " aws:principalisawsservice=false aws:principaltag/stowage-quarantine=reader aws:principaltype=AssumedRole",
		developer:                        "aws:principalaccount=000000000000 aws:principalarn=" + developer + " aws:principalisawsservice=false aws:principaltype=User aws:username=developer",
		"arn:aws:iam::000000000000:root": "aws:principalaccount=000000000000 aws:principalarn=arn:aws:iam::000000000000:root aws:principalisawsservice=false aws:principaltype=Account aws:userid=000000000000",
	} {
		// The session's tag comes before the role's.
		_, _ = f.sqs(f.as(t, arn, map[string]string{"stowage-quarantine": "reader"})).ListQueues(t.Context(), &sqs.ListQueuesInput{})
		prefixes := []string{"aws:principal", "aws:username", "aws:multi"}
		if strings.HasSuffix(arn, ":root") {
			prefixes = append(prefixes, "aws:userid")
		}
		if got := f.keys("sqs:ListQueues", prefixes...); got != want {
			t.Errorf("%s:\n got %s\nwant %s", arn, got, want)
		}
		if got := f.keys("sqs:ListQueues", "aws:sourceip", "aws:secure", "aws:requestedregion", "aws:via"); got != "aws:requestedregion=us-east-1 aws:securetransport=true aws:sourceip=127.0.0.1 aws:viaawsservice=false" {
			t.Errorf("%s: %s", arn, got)
		}
		if !strings.Contains(f.keys("sqs:ListQueues", "aws:useragent"), "aws-sdk-go-v2") || f.keys("sqs:ListQueues", "aws:currenttime", "aws:epochtime") == "" {
			t.Errorf("%s: neither client nor time", arn)
		}
	}
	resp, err := http.Get(f.Endpoint() + "/public/key") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := f.keys("s3:GetObject", "aws:principal"); resp.StatusCode != http.StatusOK || got != "aws:principalisawsservice=false aws:principaltype=Anonymous" {
		t.Errorf("nobody: %d, %s", resp.StatusCode, got)
	}
}

// TestBoundaryAndSession limit what a role's policies allow.
func TestBoundaryAndSession(t *testing.T) {
	t.Parallel()
	f := start(t, newAuthorizer(t, config()))
	_, err := f.sqs(f.as(t, bounded, nil)).ListQueues(t.Context(), &sqs.ListQueuesInput{})
	denied(t, "outside of the boundary", err, "because no permissions boundary allows the sqs:listqueues action")
	_, err = f.s3(f.as(t, bounded, nil)).ListBuckets(t.Context(), &s3.ListBucketsInput{})
	denied(t, "inside of it", err, "")
	read := string(doc("", allow(`"s3:GetObject"`, "*", "")).JSON)
	_, err = f.s3(f.as(t, bounded, nil, read)).ListBuckets(t.Context(), &s3.ListBucketsInput{})
	denied(t, "outside of the session's policy", err, "because no session policy allows the s3:ListAllMyBuckets action")
	if d := f.got[0].Decision; d.Because.Kind != iam.Session {
		t.Errorf("because of %v", d.Because)
	}
}
