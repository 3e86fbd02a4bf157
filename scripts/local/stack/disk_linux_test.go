package stack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/stowage-dev/stowage/scripts/local/stack"
	"github.com/stowage-dev/stowage/scripts/local/stack/stacktest"
)

// onSmallDisk names the directory on which the test that it is set for mounts a
// disk of its own.
const onSmallDisk = "STACK_TEST_SMALL_DISK"

// smallDisk runs the test again in a process that sees a small disk, and is true
// in that process, with its directory. The kernel makes that disk in a namespace
// of the process alone.
func smallDisk(t *testing.T, megabytes int) (dir string, inside bool) {
	t.Helper()
	if dir := os.Getenv(onSmallDisk); dir != "" {
		if err := syscall.Mount("small", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
			t.Fatalf("mount a small disk: %v", err)
		}
		return dir, true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v=true")
	cmd.Env = append(os.Environ(), onSmallDisk+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || bytes.Contains(out, []byte("mount a small disk: operation not permitted")) {
		t.Skip("this system lets no process mount a disk of its own")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	return "", false
}

// kept is what services have acknowledged.
type kept struct{ messages, items, objects, events map[string]bool }

// records collects what is logged.
type records struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *records) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(b)
}

func (r *records) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

// TestFullDisk: on a full disk the services answer with errors of their own that
// are worth a retry, the log names the directory, and everything that was
// acknowledged is there once there is room again, and after a restart.
func TestFullDisk(t *testing.T) {
	dir, inside := smallDisk(t, 48)
	if !inside {
		return
	}
	a := stacktest.New(t, recorderDir)
	resources := a.Resources()
	for _, mapping := range []string{"FromQueue", "FromStream"} { // so that what is sent stays where it is
		delete(resources, mapping)
	}
	delete(resources["Bucket"].(stacktest.Object)["Properties"].(stacktest.Object), "NotificationConfiguration")
	a.Write(t, resources)
	cfg := config(a, filepath.Join(dir, "state"))
	var log records
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s, err := stack.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	k := kept{messages: map[string]bool{}, items: map[string]bool{}, objects: map[string]bool{}, events: map[string]bool{}}
	k.write(t, s, "before", 3, nil)
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	refused := map[string]error{}
	k.write(t, s, "full", 40, refused)
	// A function works though its log has no room.
	if out, err := s.Host.Invoke(t.Context(), function(t, s, "Recorder"), []byte(`{"n":"on a full disk"}`)); err != nil || out.FunctionError != "" {
		t.Errorf("a function on a full disk: %s, %v", out.Payload, err)
	}
	a.Await(t, "on a full disk")
	select {
	case err := <-s.Failed():
		t.Fatalf("the stack failed: %v", err)
	default:
	}
	for _, service := range []string{"sqs", "dynamodb", "s3", "events"} {
		err := refused[service]
		if err == nil {
			t.Errorf("%s took everything on a full disk", service)
			continue
		}
		if response, ok := errors.AsType[*awshttp.ResponseError](err); ok && response.HTTPStatusCode() < 500 {
			t.Errorf("%s refused with %v", service, err)
		}
		t.Logf("%s: %v", service, err)
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(log.String(), "is full") && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	if !strings.Contains(log.String(), "the disk of the state is full") || !strings.Contains(log.String(), cfg.State) {
		t.Errorf("the log does not name the directory:\n%s", log.String())
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	k.write(t, s, "after", 3, nil)
	k.check(t, s, "once there is room")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = start(t, cfg)
	k.check(t, s, "after a restart")
}

// function is the ARN of one of the template's.
func function(t *testing.T, s *stack.Stack, logicalID string) string {
	t.Helper()
	for _, f := range s.Model.Functions {
		if f.LogicalID == logicalID {
			return f.ARN
		}
	}
	t.Fatalf("the template has no function %s", logicalID)
	return ""
}

// fill leaves no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			block = block[:len(block)/2]
		}
	}
}

// write has each service take n things and remembers those that it acknowledged.
// What is refused goes into refused, or fails the test.
func (k kept) write(t *testing.T, s *stack.Stack, name string, n int, refused map[string]error) {
	t.Helper()
	cfg := clients(s)
	cfg.RetryMaxAttempts = 1
	queues, tables, buses := sqs.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg), eventbridge.NewFromConfig(cfg)
	buckets := awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = true })
	dev := s.Dev(nil)
	bucket := s.Model.Buckets[0].Name
	queueURL := s.GatewayURL() + "/000000000000/App-Queue"
	body := strings.Repeat("x", 64<<10)
	note := func(service string, acknowledged map[string]bool, id string, err error) {
		t.Helper()
		switch {
		case err == nil:
			acknowledged[id] = true
		case refused == nil:
			t.Errorf("%s, %s: %v", service, name, err)
		default:
			refused[service] = err
		}
	}
	for i := range n {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		id := fmt.Sprintf("%s-%d", name, i)
		_, err := queues.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &queueURL, MessageBody: aws.String(id + " " + body)})
		note("sqs", k.messages, id, err)
		_, err = tables.PutItem(ctx, &dynamodb.PutItemInput{TableName: &dev.Table, Item: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: id}, "body": &types.AttributeValueMemberS{Value: body}}})
		note("dynamodb", k.items, id, err)
		_, err = buckets.PutObject(ctx, &awss3.PutObjectInput{Bucket: &bucket, Key: &id, Body: strings.NewReader(id + body)})
		note("s3", k.objects, id, err)
		out, err := buses.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []ebtypes.PutEventsRequestEntry{{
			EventBusName: aws.String("events"), Source: aws.String("disk"), DetailType: aws.String("Noted"), Detail: aws.String(`{"id":"` + id + `","body":"` + body + `"}`)}}})
		if err == nil && out.FailedEntryCount > 0 {
			err = fmt.Errorf("%s: %s", aws.ToString(out.Entries[0].ErrorCode), aws.ToString(out.Entries[0].ErrorMessage))
		}
		note("events", k.events, id, err)
		cancel()
	}
}

// check looks for everything that was acknowledged.
func (k kept) check(t *testing.T, s *stack.Stack, when string) {
	t.Helper()
	tables := dynamodb.NewFromConfig(clients(s))
	buckets := awss3.NewFromConfig(clients(s), func(o *awss3.Options) { o.UsePathStyle = true })
	messages, err := s.Broker.Peek(s.Model.Queues[len(s.Model.Queues)-1].ARN, 1000)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, m := range messages {
		id, _, _ := strings.Cut(m.Body, " ")
		found[id] = true
	}
	for id := range k.messages {
		if !found[id] {
			t.Errorf("%s: message %s is lost", when, id)
		}
	}
	for id := range k.items {
		out, err := tables.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String(s.Dev(nil).Table), ConsistentRead: aws.Bool(true),
			Key: map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: id}}})
		if err != nil || out.Item == nil {
			t.Errorf("%s: item %s is lost: %v", when, id, err)
		}
	}
	for id := range k.objects {
		out, err := buckets.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String(s.Model.Buckets[0].Name), Key: aws.String(id)})
		if err != nil {
			t.Errorf("%s: object %s is lost: %v", when, id, err)
			continue
		}
		var body bytes.Buffer
		if _, err := body.ReadFrom(out.Body); err != nil || !strings.HasPrefix(body.String(), id) || body.Len() != len(id)+64<<10 {
			t.Errorf("%s: object %s has %d bytes, %v", when, id, body.Len(), err)
		}
	}
	raw, err := os.ReadFile(s.Dev(nil).Events)
	if err != nil {
		t.Fatal(err)
	}
	for id := range k.events {
		if !bytes.Contains(raw, []byte(`"id":"`+id+`"`)) {
			t.Errorf("%s: event %s is lost", when, id)
		}
	}
	for line := range bytes.Lines(raw) {
		if !bytes.HasPrefix(line, []byte("{")) || !bytes.HasSuffix(line, []byte("}\n")) {
			t.Errorf("%s: the events file has the line %.80q", when, line)
		}
	}
}

func TestStartOnAFullDisk(t *testing.T) {
	dir, inside := smallDisk(t, 2)
	if !inside {
		return
	}
	fill(t, filepath.Join(dir, "ballast"))
	cfg := config(stacktest.New(t, recorderDir), dir)
	_, err := stack.Start(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "is full") || !strings.Contains(err.Error(), "--state") {
		t.Errorf("err = %v", err)
	}
}
