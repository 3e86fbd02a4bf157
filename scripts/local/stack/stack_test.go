package stack_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/stowage-dev/stowage/scripts/local/stack"
	"github.com/stowage-dev/stowage/scripts/local/stack/stacktest"
)

// clients call the stack as any tool would: with what dev.json says.
func clients(s *stack.Stack) aws.Config {
	dev := s.Dev(nil)
	return aws.Config{Region: dev.Region, BaseEndpoint: aws.String(dev.S3Endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(dev.AccessKeyID, dev.SecretAccessKey, "")}
}

func putObject(t *testing.T, s *stack.Stack, key, body string) {
	t.Helper()
	client := awss3.NewFromConfig(clients(s), func(o *awss3.Options) { o.UsePathStyle = true })
	if _, err := client.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String(s.Dev(nil).Bucket), Key: &key, Body: strings.NewReader(body)}); err != nil {
		t.Fatal(err)
	}
}

func putItem(t *testing.T, s *stack.Stack, pk string) {
	t.Helper()
	_, err := dynamodb.NewFromConfig(clients(s)).PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(s.Dev(nil).Table),
		Item: map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: pk}}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEventsReachFunctions(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	s := start(t, config(a, t.TempDir()))

	t.Run("an object by its bucket's queue", func(t *testing.T) {
		putObject(t, s, "a b.txt", "hello")
		if line := a.Await(t, `a+b.txt`); !strings.Contains(line, `"eventSource":"aws:sqs"`) || !strings.Contains(line, `ObjectCreated:Put`) {
			t.Errorf("event = %s", line)
		}
	})
	t.Run("an item by its table's stream", func(t *testing.T) {
		putItem(t, s, "item-1")
		if line := a.Await(t, `item-1`); !strings.Contains(line, `arn:aws:dynamodb:eu-west-1:000000000000:table/App-Table/stream/`) {
			t.Errorf("event = %s", line)
		}
	})
	t.Run("an event by its bus's rule", func(t *testing.T) {
		out, err := eventbridge.NewFromConfig(clients(s)).PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []ebtypes.PutEventsRequestEntry{
			{EventBusName: aws.String("events"), Source: aws.String("test"), DetailType: aws.String("Noted"), Detail: aws.String(`{"n":"bus-1"}`)}}})
		if err != nil || out.FailedEntryCount != 0 {
			t.Fatalf("put: %+v, %v", out, err)
		}
		a.Await(t, `bus-1`)
		events, err := os.ReadFile(s.Dev(nil).Events)
		if err != nil || !strings.Contains(string(events), "bus-1") {
			t.Errorf("the events file has %q, %v", events, err)
		}
	})
	t.Run("a message sent to the queue's URL", func(t *testing.T) {
		url := s.Model.Queues[len(s.Model.Queues)-1].URL
		if !strings.HasSuffix(url, "/App-Queue") {
			t.Fatalf("queue is %s", url)
		}
		if _, err := sqs.NewFromConfig(clients(s)).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("message-1")}); err != nil {
			t.Fatal(err)
		}
		a.Await(t, `message-1`)
	})
	t.Run("a request by the API, with a token", func(t *testing.T) {
		token, _, err := s.Mint(t.Context(), "somebody")
		if err != nil {
			t.Fatal(err)
		}
		status, body := get(t, s.APIURL()+"/v1/things?x=1", token)
		if status != http.StatusOK || !strings.Contains(body, `"rawQueryString":"x=1"`) || !strings.Contains(body, `"sub":"somebody"`) {
			t.Errorf("%d %s", status, body)
		}
		if status, _ := get(t, s.APIURL()+"/v1/things", ""); status != http.StatusUnauthorized {
			t.Errorf("without a token: %d", status)
		}
	})
	t.Run("a generated secret", func(t *testing.T) {
		out, err := secretsmanager.NewFromConfig(clients(s)).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String(s.Model.Secrets[0].ARN)})
		if err != nil || len(aws.ToString(out.SecretString)) != 40 {
			t.Errorf("secret: %v", err)
		}
	})
}

func get(t *testing.T, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func countItems(t *testing.T, s *stack.Stack) int {
	t.Helper()
	out, err := dynamodb.NewFromConfig(clients(s)).Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String(s.Dev(nil).Table)})
	if err != nil {
		t.Fatal(err)
	}
	return int(out.Count)
}

func TestStateOutlivesARestartButNotAReset(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	cfg := config(a, t.TempDir())
	run := func(cfg stack.Config, f func(*stack.Stack)) {
		t.Helper()
		s, err := stack.Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		f(s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	var key, secret string
	run(cfg, func(s *stack.Stack) {
		putItem(t, s, "kept")
		a.Await(t, "kept")
		key, secret = s.Dev(nil).AccessKeyID, s.Dev(nil).SecretAccessKey
	})
	run(cfg, func(s *stack.Stack) {
		if n := countItems(t, s); n != 1 {
			t.Errorf("%d items after a restart, want 1", n)
		}
		if d := s.Dev(nil); d.AccessKeyID != key || d.SecretAccessKey != secret {
			t.Error("a restart changed the credentials")
		}
	})
	cfg.Reset = true
	run(cfg, func(s *stack.Stack) {
		if n := countItems(t, s); n != 0 {
			t.Errorf("%d items after a reset, want 0", n)
		}
	})
}

func TestDevFileIsThereOnlyWhileReady(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	s, err := stack.Start(t.Context(), config(a, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WriteDev(s.Dev(map[string]string{"alpha": "token"})); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(s.DevPath())
	if err != nil {
		t.Fatal(err)
	}
	var dev map[string]any
	if err := json.Unmarshal(raw, &dev); err != nil {
		t.Fatal(err)
	}
	for _, member := range []string{"apiUrl", "tokens", "bucket", "table", "s3Endpoint", "dynamodbEndpoint", "accessKeyId", "secretAccessKey", "events"} {
		if dev[member] == nil || dev[member] == "" {
			t.Errorf("dev.json lacks %s", member)
		}
	}
	if info, err := os.Stat(s.DevPath()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("dev.json: %v, %v", info.Mode(), err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.DevPath()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("dev.json after Close: %v", err)
	}
}

func TestTwoRuntimesInOneDirectory(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	cfg := config(a, t.TempDir())
	start(t, cfg)
	_, err := stack.Start(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "another runtime (process ") || !strings.Contains(err.Error(), "--state") {
		t.Errorf("err = %v", err)
	}
}

func TestBusyPortsAreNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	a := stacktest.New(t, recorderDir)
	for flag, set := range map[string]func(*stack.Config){
		"--gateway-port": func(c *stack.Config) { c.GatewayPort = port },
		"--console-port": func(c *stack.Config) { c.ConsolePort = port },
		"--api-port":     func(c *stack.Config) { c.APIPort = port },
		"--issuer-port":  func(c *stack.Config) { c.IssuerPort = port },
	} {
		cfg := config(a, t.TempDir())
		set(&cfg)
		_, err := stack.Start(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), flag) || !strings.Contains(err.Error(), "is taken") {
			t.Errorf("%s: err = %v", flag, err)
		}
	}
}

func TestTheConsoleMoves(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := config(stacktest.New(t, recorderDir), t.TempDir())
	cfg.ConsolePort, cfg.ConsoleMayMove = taken.Addr().(*net.TCPAddr).Port, true
	if s := start(t, cfg); s.ConsoleURL() == "" || strings.HasSuffix(s.ConsoleURL(), taken.Addr().String()) {
		t.Errorf("the console is at %q", s.ConsoleURL())
	}
	cfg.State, cfg.ConsoleMayMove = t.TempDir(), false
	if _, err := stack.Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "--console-port") {
		t.Errorf("err = %v", err)
	}
}

func TestDeadEnginesAreNamed(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	for want, pid := range map[string]func(*stack.Stack) int{
		"DynamoDB engine": func(s *stack.Stack) int { return s.DynamoDB.PID() },
		"S3 engine":       func(s *stack.Stack) int { return s.S3.PID() },
	} {
		t.Run(want, func(t *testing.T) {
			s := start(t, config(a, t.TempDir()))
			if err := syscall.Kill(pid(s), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-s.Failed():
				if !strings.Contains(err.Error(), want) {
					t.Errorf("err = %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("nobody noticed")
			}
		})
	}
}

func TestMissingEngineSaysWhatToDo(t *testing.T) {
	cfg := config(stacktest.New(t, recorderDir), t.TempDir())
	cfg.NodeModules = t.TempDir()
	_, err := stack.Start(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "make setup") {
		t.Errorf("err = %v", err)
	}
}

// TestBrokenFunctionLeavesTheOthers: its source no longer compiles, so its
// callers are told so, and the other functions go on.
func TestBrokenFunctionLeavesTheOthers(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	source := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.com/app\n\ngo 1.24\n")
	write("functions/broken/main.go", "package main\n\nfunc main() {}\n")
	goarch, architecture := "arm64", "arm64"
	if runtime.GOARCH == "arm64" {
		goarch, architecture = "amd64", "x86_64"
	}
	build := exec.Command("go", "build", "-o", filepath.Join(a.Dir, "asset.broken", "bootstrap"), "./functions/broken")
	build.Dir, build.Env = source, append(os.Environ(), "GOOS=linux", "GOARCH="+goarch, "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	write("functions/broken/main.go", "package main\n\nfunc main() { missing() }\n")
	resources := a.Resources()
	broken := a.Function("")
	properties := broken["Properties"].(stacktest.Object)
	properties["Code"], properties["Architectures"] = stacktest.Object{"S3Key": "broken.zip"}, []string{architecture}
	resources["Broken"] = broken
	a.Write(t, resources)

	var said strings.Builder
	cfg := config(a, t.TempDir())
	cfg.Source, cfg.Progress = source, &said
	s := start(t, cfg)
	if !strings.Contains(said.String(), "function App-Broken does not build") || !strings.Contains(said.String(), "undefined: missing") {
		t.Errorf("progress said %q", said.String())
	}
	r, err := s.Host.Invoke(t.Context(), "App-Broken", []byte(`{}`))
	if err != nil || r.FunctionError == "" || !strings.Contains(string(r.Payload), "undefined: missing") {
		t.Errorf("broken function: %s, %v", r.Payload, err)
	}
	if r, err := s.Host.Invoke(t.Context(), "App-Recorder", []byte(`{}`)); err != nil || r.FunctionError != "" {
		t.Errorf("other function: %s, %v", r.Payload, err)
	}
}

func TestUndeliverableTargetsAreRefusedAtTheStart(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	resources := a.Resources()
	resources["Topic"] = stacktest.Resource("AWS::SNS::Topic", stacktest.Object{})
	rule := resources["Rule"].(stacktest.Object)["Properties"].(stacktest.Object)
	rule["Targets"] = []stacktest.Object{{"Id": "T", "Arn": stacktest.Ref("Topic")}}
	a.Write(t, resources)
	_, err := stack.Start(t.Context(), config(a, t.TempDir()))
	if err == nil || !strings.Contains(err.Error(), "App/Rule") || !strings.Contains(err.Error(), "arn:aws:sns:") {
		t.Errorf("err = %v", err)
	}
}

func TestAnInterruptedStartLeavesNothing(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cfg := config(a, t.TempDir())
	if _, err := stack.Start(ctx, cfg); err == nil {
		t.Fatal("it started")
	}
	start(t, cfg) // the lock is free
}
