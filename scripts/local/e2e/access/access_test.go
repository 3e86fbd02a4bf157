// Package access_test runs the deployed template whole with its policies enforced:
// it has every function do all that it may ever do, so that a grant that nobody
// needs shows, and tries to read what was not verified. It needs cdk.out: run
// `make synth` first.
package access_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/scripts/local/seed"
	"github.com/stowage-dev/stowage/scripts/local/stack"
	"github.com/stowage-dev/stowage/scripts/local/template"
	"github.com/stowage-dev/stowage/shared/client"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/upload"
)

const root = "../../../.."

// TestMain is the S3 engine when it is started as that.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == s3.Command {
		os.Exit(s3.Main(os.Args, os.Stdin))
	}
	if _, err := os.Stat(filepath.Join(root, "cdk.out", "manifest.json")); err != nil {
		fmt.Fprintln(os.Stderr, "there is no synthesized assembly to run: run `make synth` first")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// world is a running stack with a client of workspace alpha.
type world struct {
	*stack.Stack
	token  string
	client *client.Client

	mu    sync.Mutex
	rules []*rule
}

// rule makes calls of functions wait or fail.
type rule struct {
	matches func(c *gateway.Call) bool
	held    chan struct{} // receives when a call waits
	release chan struct{} // nil: the call fails
}

func startWorld(t *testing.T, usage string) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // the functions are compiled first
	defer cancel()
	state := t.TempDir()
	log, err := os.Create(filepath.Join(t.TempDir(), "runtime.log"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	soon := 300 * time.Millisecond
	w.Stack, err = stack.Start(ctx, stack.Config{
		Assembly: filepath.Join(root, "cdk.out"), State: state, Source: root, Usage: usage, Intercept: []gateway.Interceptor{w.intercept},
		QueueRetryDelay: &soon, RetryDelay: func(int) time.Duration { return soon }, StreamRetryDelay: func(int) time.Duration { return soon },
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.Close(), log.Close()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			warnings(t, log.Name())
		}
	})
	seeder := seed.Seeder{APIURL: w.APIURL(), Mint: w.Mint}
	if err := seeder.Run(ctx, seed.Workspaces()); err != nil {
		t.Fatal(err)
	}
	tokens, _, err := seeder.Tokens(ctx, seed.Workspaces())
	if err != nil {
		t.Fatal(err)
	}
	w.token = tokens["alpha"]
	w.client, err = client.New(w.APIURL(), client.StaticToken(w.token), &client.Options{Workspace: "alpha", PollInterval: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// warnings shows the last of what the runtime complained of.
func warnings(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	lines := slices.DeleteFunc(strings.Split(string(raw), "\n"), func(l string) bool { return !strings.Contains(l, "level=WARN") && !strings.Contains(l, "level=ERROR") })
	t.Logf("the runtime's warnings:\n%s", strings.Join(lines[max(0, len(lines)-40):], "\n"))
}

// intercept applies the first rule that matches.
func (w *world) intercept(ctx context.Context, c *gateway.Call) *gateway.Denial {
	w.mu.Lock()
	i := slices.IndexFunc(w.rules, func(r *rule) bool { return r.matches(c) })
	var r *rule
	if i >= 0 {
		r = w.rules[i]
	}
	w.mu.Unlock()
	switch {
	case r == nil:
		return nil
	case r.release == nil:
		return &gateway.Denial{Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable", Message: "It fails for a while."}
	}
	select {
	case r.held <- struct{}{}:
	default:
	}
	select {
	case <-r.release:
	case <-ctx.Done():
	}
	return nil
}

// fail has the calls that match fail with what is worth another try, until the end is called.
func (w *world) fail(matches func(*gateway.Call) bool) (end func()) {
	return w.add(&rule{matches: matches})
}

// hold has the calls that match wait until the end is called. The channel receives when one does.
func (w *world) hold(matches func(*gateway.Call) bool) (held <-chan struct{}, end func()) {
	r := &rule{matches: matches, held: make(chan struct{}, 1), release: make(chan struct{})}
	remove := w.add(r)
	return r.held, sync.OnceFunc(func() { remove(); close(r.release) })
}

func (w *world) add(r *rule) (remove func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rules = append(w.rules, r)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.rules = slices.DeleteFunc(w.rules, func(o *rule) bool { return o == r })
	}
}

// by says whether a call is made with the role of a construct, and is one of the operations.
func (w *world) by(t *testing.T, construct string, operations ...string) func(*gateway.Call) bool {
	t.Helper()
	role := w.role(t, construct)
	return func(c *gateway.Call) bool {
		return c.Caller != nil && c.Caller.RoleARN == role && slices.Contains(operations, c.Name)
	}
}

// role is the ARN of the role of a construct of the Service stack.
func (w *world) role(t *testing.T, construct string) string {
	t.Helper()
	for _, r := range w.Model.Roles {
		if strings.HasPrefix(r.ConstructPath, "Service/"+construct+"/") {
			return r.ARN
		}
	}
	t.Fatalf("no role belongs to Service/%s", construct)
	return ""
}

// function is the name of a function of the Service stack.
func (w *world) function(t *testing.T, construct string) string {
	t.Helper()
	for _, f := range w.Model.Functions {
		if strings.HasPrefix(f.ConstructPath, "Service/"+construct+"/") {
			return f.Name
		}
	}
	t.Fatalf("no function belongs to Service/%s", construct)
	return ""
}

// send puts a message on the queue that a function reads.
func (w *world) send(t *testing.T, construct, body string) {
	t.Helper()
	name := w.function(t, construct)
	i := slices.IndexFunc(w.Model.Mappings, func(m template.Mapping) bool { return strings.HasSuffix(m.FunctionARN, ":"+name) })
	if i < 0 {
		t.Fatalf("%s reads no queue", construct)
	}
	if _, err := w.Broker.Send(t.Context(), w.Model.Mappings[i].SourceARN, queue.Message{Body: body}); err != nil {
		t.Fatal(err)
	}
}

// developer are the credentials that dev.json holds.
func (w *world) developer() aws.CredentialsProvider {
	d := w.Dev(nil)
	return credentials.NewStaticCredentialsProvider(d.AccessKeyID, d.SecretAccessKey, "")
}

func (w *world) s3(who aws.CredentialsProvider) *awss3.Client {
	return awss3.New(awss3.Options{BaseEndpoint: aws.String(w.GatewayURL()), Region: w.Dev(nil).Region, UsePathStyle: true, Credentials: who, Retryer: aws.NopRetryer{}})
}

func (w *world) tables() *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{BaseEndpoint: aws.String(w.GatewayURL()), Region: w.Dev(nil).Region, Credentials: w.developer()})
}

func (w *world) catalog() *ddbstore.Store {
	return ddbstore.New(w.tables(), ddbstore.Config{Table: w.Dev(nil).Table})
}

// set changes attributes of an upload behind everybody's back.
func (w *world) set(t *testing.T, id string, attributes map[string]string) {
	t.Helper()
	in := &dynamodb.UpdateItemInput{
		TableName: aws.String(w.Dev(nil).Table), Key: map[string]types.AttributeValue{"pk": text("U#alpha#" + id), "sk": text("UPLOAD")},
		ExpressionAttributeNames: map[string]string{}, ExpressionAttributeValues: map[string]types.AttributeValue{},
	}
	var sets []string
	for path, value := range attributes {
		n := len(sets)
		var names []string
		for i, part := range strings.Split(path, ".") {
			name := fmt.Sprintf("#n%d_%d", n, i)
			in.ExpressionAttributeNames[name] = part
			names = append(names, name)
		}
		in.ExpressionAttributeValues[fmt.Sprintf(":v%d", n)] = text(value)
		sets = append(sets, fmt.Sprintf("%s = :v%d", strings.Join(names, "."), n))
	}
	in.UpdateExpression = aws.String("SET " + strings.Join(sets, ", "))
	if _, err := w.tables().UpdateItem(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// document is a small text that no other is.
func document(path string) (client.NewUpload, []byte) {
	body := []byte("The document " + path + " of " + time.Now().String() + ".\n")
	return single(path, "text/plain", body), body
}

// single is an upload of a body with one PUT.
func single(path, contentType string, body []byte) client.NewUpload {
	sum := sha256.Sum256(body)
	return client.NewUpload{Path: path, Size: int64(len(body)), ContentType: contentType, SHA256: base64.StdEncoding.EncodeToString(sum[:]), IfExists: "version"}
}

func (w *world) open(t *testing.T, u client.NewUpload) client.Opened {
	t.Helper()
	opened, err := w.client.Open(t.Context(), u)
	if err != nil {
		t.Fatalf("open %s: %v", u.Path, err)
	}
	return opened
}

func (w *world) sendBytes(t *testing.T, opened client.Opened, body []byte) {
	t.Helper()
	if err := w.client.Send(t.Context(), opened.Put, bytes.NewReader(body), int64(len(body))); err != nil {
		t.Fatalf("send %s: %v", opened.Upload.Path, err)
	}
}

// put uploads a document and waits until it is available.
func (w *world) put(t *testing.T, path string) client.Upload {
	t.Helper()
	u, body := document(path)
	opened := w.open(t, u)
	w.sendBytes(t, opened, body)
	return w.await(t, opened.Upload.ID, upload.Available)
}

// await waits for the end of an upload.
func (w *world) await(t *testing.T, id string, want upload.State) client.Upload {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, err := w.client.Wait(ctx, id)
	if err != nil || got.State != string(want) {
		t.Fatalf("upload %s: %+v, %v; want %s", id, got, err, want)
	}
	return got
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 40 s: %s", what)
		}
	}
}

// api makes a request that the client has no method for, and wants a status.
func (w *world) api(t *testing.T, method, path, body string, want int) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.APIURL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+w.token)
	req.Header.Set("Stowage-Workspace", "alpha")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		t.Fatalf("%s %s: %d %s, %v; want %d", method, path, resp.StatusCode, raw, err, want)
	}
	var answer map[string]any
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer
}

// letters counts what lies in the bucket of dead letters below a prefix.
func (w *world) letters(t *testing.T, prefix string) int {
	t.Helper()
	i := slices.IndexFunc(w.Model.Buckets, func(b *template.Bucket) bool { return strings.HasPrefix(b.ConstructPath, "Data/DeadLetters/Default") })
	if i < 0 {
		t.Fatal("no stack declares the bucket of dead letters")
	}
	out, err := w.s3(w.developer()).ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: &w.Model.Buckets[i].Name, Prefix: &prefix})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Contents)
}
