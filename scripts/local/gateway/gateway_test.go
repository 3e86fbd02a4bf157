package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventbridgetypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
)

const (
	region  = "us-east-1"
	account = "000000000000"
	roleARN = "arn:aws:iam::000000000000:role/upload-api-role"
)

// fixture is a gateway with what stands behind it.
type fixture struct {
	*gateway.Gateway
	issuer *identity.Issuer
	creds  identity.Credentials

	mu    sync.Mutex
	calls []seen
}

// seen is what Observe was told.
type seen struct {
	gateway.Call
	status int
}

func newFixture(t *testing.T, change func(*gateway.Config)) *fixture {
	t.Helper()
	issuer, err := identity.New(identity.Config{MasterKey: make([]byte, identity.MasterKeySize)})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{issuer: issuer}
	if f.creds, err = issuer.IssueFor(roleARN, "upload-api"); err != nil {
		t.Fatal(err)
	}
	cfg := gateway.Config{Region: region, Account: account, Credentials: issuer, Services: map[string]http.Handler{}, Observe: f.observe}
	change(&cfg)
	if f.Gateway, err = gateway.New(cfg); err != nil {
		t.Fatalf("new: %v", err)
	}
	if err := f.Start(t.Context()); err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func (f *fixture) observe(c *gateway.Call, status int, took time.Duration) {
	if took <= 0 {
		panic("a call that took no time")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, seen{*c, status})
}

// last is the call that was observed last.
func (f *fixture) last(t *testing.T) seen {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls) == 0 {
		t.Fatal("no call was observed")
	}
	return f.calls[len(f.calls)-1]
}

func provider(c identity.Credentials) aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
}

func (f *fixture) sqs(c identity.Credentials) *sqs.Client {
	return sqs.New(sqs.Options{BaseEndpoint: aws.String(f.Endpoint()), Region: region, Credentials: provider(c), Retryer: aws.NopRetryer{}})
}

func (f *fixture) dynamodb(c identity.Credentials) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{BaseEndpoint: aws.String(f.Endpoint()), Region: region, Credentials: provider(c), Retryer: aws.NopRetryer{}})
}

func (f *fixture) sts(c identity.Credentials) *sts.Client {
	return sts.New(sts.Options{BaseEndpoint: aws.String(f.Endpoint()), Region: region, Credentials: provider(c), Retryer: aws.NopRetryer{}})
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

// answering is a service that answers every call with the same and remembers the last.
type answering struct {
	body string
	call *gateway.Call
	sent []byte
}

func (a *answering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.call = gateway.CallFrom(r.Context())
	a.sent, _ = io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_, _ = io.WriteString(w, a.body)
}

// TestRouting sends one SDK's call to each service.
func TestRouting(t *testing.T) {
	t.Parallel()
	services := map[string]*answering{}
	f := newFixture(t, func(c *gateway.Config) {
		for name, body := range map[string]string{gateway.DynamoDB: `{"TableNames":["dynamodb"]}`, gateway.DynamoDBStreams: `{"Streams":[]}`, "sqs": `{"QueueUrls":["sqs"]}`, "events": `{"Entries":[]}`} {
			services[name] = &answering{body: body}
			c.Services[name] = services[name]
		}
	})
	ctx := t.Context()
	for service, call := range map[string]func() error{
		gateway.DynamoDB: func() error {
			out, err := f.dynamodb(f.creds).ListTables(ctx, &dynamodb.ListTablesInput{})
			if err == nil && out.TableNames[0] != "dynamodb" {
				err = errors.New("answered by another service")
			}
			return err
		},
		gateway.DynamoDBStreams: func() error {
			_, err := dynamodbstreams.New(dynamodbstreams.Options{BaseEndpoint: aws.String(f.Endpoint()), Region: region, Credentials: provider(f.creds)}).ListStreams(ctx, &dynamodbstreams.ListStreamsInput{})
			return err
		},
		"sqs": func() error { _, err := f.sqs(f.creds).ListQueues(ctx, &sqs.ListQueuesInput{}); return err },
		"events": func() error {
			_, err := eventbridge.New(eventbridge.Options{BaseEndpoint: aws.String(f.Endpoint()), Region: region, Credentials: provider(f.creds)}).PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []eventbridgetypes.PutEventsRequestEntry{}})
			return err
		},
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", service, err)
			continue
		}
		got := services[service].call
		if got == nil || got.Service != service || got.Caller == nil || got.Caller.Function != "upload-api" || got.Caller.RoleARN != roleARN || got.Name == "" || got.ID == "" {
			t.Errorf("%s: the handler was given %+v", service, got)
			continue
		}
		if !bytes.Equal(got.Body, services[service].sent) {
			t.Errorf("%s: Body is %q, but the request's body reads %q", service, got.Body, services[service].sent)
		}
		if o := f.last(t); o.Name != got.Name || o.status != http.StatusOK {
			t.Errorf("%s: observed %s, %d", service, o.Name, o.status)
		}
	}
	_, err := f.sts(f.creds).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if code(err) != "NotImplemented" || !strings.Contains(err.Error(), `"sts"`) {
		t.Errorf("a service that is not served: got %v", err)
	}
}

// TestCredentials calls services of each kind with credentials that are wrong in each way: the SDK reads
// the code that the service would have given.
func TestCredentials(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *gateway.Config) {
		for _, s := range []string{gateway.DynamoDB, "sqs", "sts"} {
			c.Services[s] = &answering{body: "{}"}
		}
	})
	expired, _, err := f.issuer.IssueSession(identity.Session{RoleARN: roleARN, Name: "late", Duration: -time.Second})
	if err != nil {
		t.Fatal(err)
	}
	wrongSecret, noToken, unknown := f.creds, f.creds, f.creds
	wrongSecret.SecretAccessKey += "x"
	noToken.SessionToken = ""
	unknown.AccessKeyID = "AKIAIOSFODNN7EXAMPLE"
	unknown.SessionToken = ""
	for name, test := range map[string]struct {
		creds                identity.Credentials
		wantJSON, wantOthers string
	}{
		"wrong secret":    {wrongSecret, "InvalidSignatureException", "SignatureDoesNotMatch"},
		"no token":        {noToken, "UnrecognizedClientException", "InvalidClientTokenId"},
		"unknown key":     {unknown, "UnrecognizedClientException", "InvalidClientTokenId"},
		"expired session": {expired, "ExpiredTokenException", "ExpiredToken"},
	} {
		_, err := f.dynamodb(test.creds).ListTables(t.Context(), &dynamodb.ListTablesInput{})
		if code(err) != test.wantJSON {
			t.Errorf("%s: DynamoDB says %v, want %s", name, err, test.wantJSON)
		}
		if _, err = f.sqs(test.creds).ListQueues(t.Context(), &sqs.ListQueuesInput{}); code(err) != test.wantOthers {
			t.Errorf("%s: SQS says %v, want %s", name, err, test.wantOthers)
		}
		if _, err = f.sts(test.creds).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}); code(err) != test.wantOthers {
			t.Errorf("%s: STS says %v, want %s", name, err, test.wantOthers)
		}
		if o := f.last(t); o.status != http.StatusForbidden || o.Caller != nil {
			t.Errorf("%s: observed %d by %v", name, o.status, o.Caller)
		}
	}
}

func TestRequestsWithoutASignatureToRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *gateway.Config) {
		for _, s := range []string{gateway.DynamoDB, gateway.DynamoDBStreams, "sqs", "sts", "events", gateway.S3} {
			c.Services[s] = &answering{body: "{}"}
		}
	})
	for name, test := range map[string]struct {
		target, contentType, authorization string
		status                             int
		want                               string
	}{
		"DynamoDB":         {"DynamoDB_20120810.GetItem", "application/x-amz-json-1.0", "", 400, `"__type":"com.amazon.coral.service#MissingAuthenticationTokenException"`},
		"streams":          {"DynamoDBStreams_20120810.GetRecords", "application/x-amz-json-1.0", "", 400, `MissingAuthenticationTokenException`},
		"events":           {"AWSEvents.PutEvents", "application/x-amz-json-1.1", "", 400, `"__type":"MissingAuthenticationTokenException"`},
		"SQS":              {"AmazonSQS.SendMessage", "application/x-amz-json-1.0", "", 403, `#MissingAuthenticationToken"`},
		"STS":              {"", "application/x-www-form-urlencoded; charset=utf-8", "", 403, "<Code>MissingAuthenticationToken</Code>"},
		"malformed":        {"DynamoDB_20120810.GetItem", "application/x-amz-json-1.0", "AWS4-HMAC-SHA256 nonsense", 400, "IncompleteSignatureException"},
		"no such service":  {"Kinesis_20131202.PutRecord", "application/x-amz-json-1.1", "", 501, "kinesis_20131202"},
		"anonymous, to S3": {"", "", "", 200, "{}"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.Endpoint()+"/", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range map[string]string{"X-Amz-Target": test.target, "Content-Type": test.contentType, "Authorization": test.authorization} {
			if v != "" {
				r.Header.Set(k, v)
			}
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != test.status || !strings.Contains(string(body), test.want) {
			t.Errorf("%s: got %d %s, want %d with %s", name, resp.StatusCode, body, test.status, test.want)
		}
	}
}

func TestClockSkewAndRegion(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f := newFixture(t, func(c *gateway.Config) {
		c.Services[gateway.DynamoDB] = &answering{body: "{}"}
		c.Now = func() time.Time { return now.Add(6 * time.Minute) }
	})
	_, err := f.dynamodb(f.creds).ListTables(t.Context(), &dynamodb.ListTablesInput{})
	if code(err) != "InvalidSignatureException" || !strings.Contains(err.Error(), "Signature expired") {
		t.Errorf("six minutes late: got %v", err)
	}
	elsewhere := dynamodb.New(dynamodb.Options{BaseEndpoint: aws.String(f.Endpoint()), Region: "eu-west-1", Credentials: provider(f.creds), Retryer: aws.NopRetryer{}})
	if _, err := elsewhere.ListTables(t.Context(), &dynamodb.ListTablesInput{}); code(err) != "InvalidSignatureException" || !strings.Contains(err.Error(), "'eu-west-1'") {
		t.Errorf("another region: got %v", err)
	}
}

// TestDenial has an interceptor refuse calls; the SDKs read its errors as those of the service.
func TestDenial(t *testing.T) {
	t.Parallel()
	var denial *gateway.Denial
	var order []string
	reached := &answering{body: "{}"}
	f := newFixture(t, func(c *gateway.Config) {
		for _, s := range []string{gateway.DynamoDB, "sqs", "sts", gateway.S3} {
			c.Services[s] = reached
		}
		c.Intercept = []gateway.Interceptor{
			func(context.Context, *gateway.Call) *gateway.Denial { order = append(order, "first"); return nil },
			func(context.Context, *gateway.Call) *gateway.Denial { order = append(order, "second"); return denial },
			func(context.Context, *gateway.Call) *gateway.Denial { order = append(order, "third"); return nil },
		}
	})
	ctx := t.Context()
	denial = &gateway.Denial{Message: "User: x is not authorized to perform: y"}
	for service, want := range map[string]string{gateway.DynamoDB: "AccessDeniedException", "sqs": "AccessDenied", "sts": "AccessDenied"} {
		var err error
		switch service {
		case gateway.DynamoDB:
			_, err = f.dynamodb(f.creds).ListTables(ctx, &dynamodb.ListTablesInput{})
		case "sqs":
			_, err = f.sqs(f.creds).ListQueues(ctx, &sqs.ListQueuesInput{})
		case "sts":
			_, err = f.sts(f.creds).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		}
		if code(err) != want || !strings.Contains(err.Error(), denial.Message) {
			t.Errorf("%s: got %v, want %s", service, err, want)
		}
	}
	if reached.call != nil {
		t.Error("a refused call reached its service")
	}
	if got := strings.Join(order[:2], " "); got != "first second" || len(order) != 6 {
		t.Errorf("interceptors ran in the order %v", order)
	}

	// A fault with members of its own.
	denial = &gateway.Denial{Status: 400, Code: "TransactionCanceledException", Message: "Transaction cancelled", Fields: map[string]any{
		"CancellationReasons": []map[string]string{{"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}},
	}}
	_, err := f.dynamodb(f.creds).TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []dynamodbtypes.TransactWriteItem{}})
	var cancelled *dynamodbtypes.TransactionCanceledException
	if !errors.As(err, &cancelled) || len(cancelled.CancellationReasons) != 1 || *cancelled.CancellationReasons[0].Code != "TransactionConflict" {
		t.Errorf("an injected conflict: got %v", err)
	}
	denial = &gateway.Denial{Code: "ProvisionedThroughputExceededException", Status: 400}
	var exceeded *dynamodbtypes.ProvisionedThroughputExceededException
	if _, err := f.dynamodb(f.creds).ListTables(ctx, &dynamodb.ListTablesInput{}); !errors.As(err, &exceeded) {
		// ListTables declares no such error, so that the SDK gives a generic one with its code.
		if code(err) != "ProvisionedThroughputExceededException" {
			t.Errorf("an injected throttle: got %v", err)
		}
	}
}

func TestLargestBody(t *testing.T) {
	t.Parallel()
	service := &answering{body: "{}"}
	f := newFixture(t, func(c *gateway.Config) { c.Services[gateway.DynamoDB] = service })
	for _, test := range []struct {
		size int
		want int
	}{{17<<20 + 1, http.StatusRequestEntityTooLarge}, {17 << 20, http.StatusBadRequest}} { // the latter is read, and has no signature
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.Endpoint()+"/", bytes.NewReader(make([]byte, test.size)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Target", "DynamoDB_20120810.PutItem")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != test.want {
			t.Errorf("%d bytes: got %d, want %d", test.size, resp.StatusCode, test.want)
		}
	}
}

func TestEngineThatIsGone(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	f := newFixture(t, func(c *gateway.Config) {
		proxy, err := gateway.NewProxy(gone.URL)
		if err != nil {
			t.Fatal(err)
		}
		c.Services[gateway.DynamoDB] = proxy
	})
	if _, err := f.dynamodb(f.creds).ListTables(t.Context(), &dynamodb.ListTablesInput{}); code(err) != "ServiceUnavailable" || !strings.Contains(err.Error(), "dynamodb") {
		t.Errorf("got %v", err)
	}
	for _, url := range []string{"", "127.0.0.1:80", "https://127.0.0.1:80", "http://", "http://\x00"} {
		if _, err := gateway.NewProxy(url); err == nil {
			t.Errorf("made a proxy to %q", url)
		}
	}
}

func TestLifecycle(t *testing.T) {
	t.Parallel()
	issuer, err := identity.New(identity.Config{MasterKey: make([]byte, identity.MasterKeySize)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.New(gateway.Config{}); err == nil {
		t.Error("made a gateway without credentials")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	blocked := make(chan struct{})
	released := make(chan struct{})
	g, err := gateway.New(gateway.Config{Listener: l, Region: region, Credentials: issuer, Services: map[string]http.Handler{
		gateway.S3: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(blocked)
			<-r.Context().Done() // a long poll
			close(released)
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := g.Endpoint(), "http://"+l.Addr().String(); got != want {
		t.Errorf("endpoint %s, want %s", got, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := g.Start(ctx); err != nil {
		t.Fatal(err)
	}
	go func() {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, g.Endpoint()+"/bucket", nil)
		if resp, err := http.DefaultClient.Do(r); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-blocked
	cancel()
	select {
	case err := <-g.Wait():
		if err != nil {
			t.Errorf("stopped with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not stop")
	}
	<-released
	if err := g.Close(); err != nil {
		t.Errorf("close after the end: %v", err)
	}

	unstarted, err := gateway.New(gateway.Config{Credentials: issuer})
	if err != nil {
		t.Fatal(err)
	}
	if err := unstarted.Close(); err != nil {
		t.Errorf("close before the start: %v", err)
	}
}

func TestErrorWithMembersThatJSONCannotExpress(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	gateway.WriteError(w, &gateway.Call{ID: "id", Service: "events", Request: httptest.NewRequest(http.MethodPost, "/", nil)},
		&gateway.Denial{Code: "X", Message: "m", Fields: map[string]any{"f": func() {}}})
	var got map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got["__type"] != "X" || got["message"] != "m" || w.Header().Get("X-Amzn-Requestid") != "id" {
		t.Errorf("got %s, %v", w.Body, err)
	}
}
