package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/deployment"
)

const (
	s3Record = `{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"object":{"key":"c/alpha/my+object/v%2B1"}}}`
	picture  = `{"detail-type":"dev.stowage.object.available","detail":{"subject":"01OBJECT","data":{"path":"holiday/beach.jpeg","version":"01VERSION"}}}`
	change   = `{"eventSource":"aws:dynamodb","dynamodb":{"Keys":{"pk":{"S":"O#alpha#01OBJECT"},"sk":{"S":"OBJECT"}},"SequenceNumber":"7"}}`
)

func TestQueues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 25 {
		w.send("ingest-dead", strings.Replace(`{"Records":[`+s3Record+`]}`, "my+object", fmt.Sprintf("object-%02d", i), 1), nil)
	}
	w.send("pictures-dead", picture, map[string]string{"ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "may not send", "RULE_ARN": "arn"})

	out := w.must("list")
	if !strings.Contains(out, "26 of 26") || !strings.Contains(out, "c/alpha/object-07/v+1") || !strings.Contains(out, "NO_PERMISSIONS: may not send") || !strings.Contains(out, "holiday/beach.jpeg") {
		t.Errorf("listed:\n%s", out)
	}
	if again := w.must("list"); !strings.Contains(again, "26 of 26") {
		t.Errorf("what was listed is hidden:\n%s", again)
	}
	if out := w.must("show", "-key", "object-03"); !strings.Contains(out, "1 of 26") || !strings.Contains(out, `"eventName": "ObjectCreated:Put"`) {
		t.Errorf("shown:\n%s", out)
	}

	// A dry run changes nothing.
	if out := w.must("redrive", "-dry-run", "-from", "ingest"); !strings.Contains(out, "25 of 25 would be redriven") {
		t.Errorf("dry run:\n%s", out)
	}
	if bodies := w.take("ingest"); bodies != nil {
		t.Errorf("a dry run sent %v", bodies)
	}

	if out := w.must("redrive", "-key", "object-1", "-from", "ingest"); !strings.Contains(out, "10 redriven, 0 failed again, of 25 looked at") {
		t.Errorf("redriven:\n%s", out)
	}
	bodies := w.take("ingest")
	slices.Sort(bodies)
	if len(bodies) != 10 || !strings.Contains(bodies[0], "object-10") || !strings.Contains(bodies[9], "object-19") {
		t.Errorf("back in the queue are %v", bodies)
	}
	if out := w.must("redrive", "-error", "no_permissions"); !strings.Contains(out, "1 redriven") {
		t.Errorf("redriven:\n%s", out)
	}
	if bodies := w.take("pictures"); !slices.Equal(bodies, []string{picture}) {
		t.Errorf("back in the queue are %v", bodies)
	}
	if out := w.must("redrive", "-limit", "4"); !strings.Contains(out, "4 redriven") {
		t.Errorf("redriven:\n%s", out)
	}
	if n, left := len(w.take("ingest")), len(w.take("ingest-dead")); n != 4 || left != 11 {
		t.Errorf("%d are back and %d are left, want 4 and 11", n, left)
	}
}

func TestLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	message := `{"messageId":"m1","eventSource":"aws:sqs","body":` + quote(picture) + `}`
	w.put("S3Ingest", "s3/ObjectCreated:Put/c/alpha/my object/v+1/v/0", s3Record, 3*time.Hour, errRefused)
	w.put("ImageDerivatives", "arn/m1", message, time.Minute, errors.New("the moon was full"))
	w.put("StreamFanout", "arn/7", change, 2*time.Minute, errRefused)

	out := w.must("list", "-from", "letters")
	for _, want := range []string{"3 of 3", "-> S3Ingest", "not_found: there is no such upload: no upload is known", "c/alpha/my object/v+1", "holiday/beach.jpeg", "O#alpha#01OBJECT"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing of:\n%s", want, out)
		}
	}
	for filter, want := range map[string]string{
		"-older=1h": "1 of 3", "-newer=1h": "2 of 3", "-error=NOT_found": "2 of 3", "-error=full": "1 of 3", "-key=beach": "1 of 3",
		"-key=O#alpha": "1 of 3", "-key=nothing": "0 of 3", "-id=S3Ingest/": "1 of 3",
	} {
		if out := w.must("list", filter); !strings.Contains(out, want) {
			t.Errorf("%s, want %s:\n%s", filter, want, out)
		}
	}

	for _, name := range []string{"S3Ingest", "ImageDerivatives", "StreamFanout"} {
		w.function(name, done, "")
	}
	if out := w.must("redrive", "-dry-run"); !strings.Contains(out, "3 of 3 would be redriven") || len(w.invoked) != 0 || len(w.keys()) != 3 {
		t.Errorf("dry run:\n%s", out)
	}
	if out := w.must("redrive"); !strings.Contains(out, "3 redriven, 0 failed again") || len(w.keys()) != 0 {
		t.Errorf("left are %v:\n%s", w.keys(), out)
	}
	// Each function got what it got the first time.
	slices.Sort(w.invoked)
	if len(w.invoked) != 3 || !slices.Contains(w.invoked, `{"Records":[`+message+`]}`) || !slices.Contains(w.invoked, `{"Records":[`+change+`]}`) {
		t.Errorf("invoked with %v", w.invoked)
	}
	var event struct {
		Records []struct{ EventSource, Body string }
	}
	for _, payload := range w.invoked {
		if strings.Contains(payload, "ObjectCreated") {
			if err := json.Unmarshal([]byte(payload), &event); err != nil || len(event.Records) != 1 ||
				event.Records[0].EventSource != "aws:sqs" || event.Records[0].Body != `{"Records":[`+s3Record+`]}` {
				t.Errorf("an S3 record came as %s", payload)
			}
		}
	}
}

// TestFailedAgain: a letter stays when its function fails, hands its record back, cannot be
// found, or writes the letter anew.
func TestFailedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	message := func(id string) string { return `{"messageId":"` + id + `","eventSource":"aws:sqs","body":"{}"}` }
	for _, name := range []string{"Crashes", "HandsBack", "Gone", "GivesUp", "Works"} {
		w.put(name, "arn/"+name, message(name), time.Hour, errRefused)
	}
	w.function("Crashes", `{"errorType":"Runtime.ExitError","errorMessage":"exit status 2"}`, "Unhandled")
	w.function("HandsBack", `{"batchItemFailures":[{"itemIdentifier":"HandsBack"}]}`, "")
	w.on("GivesUp", func([]byte) (string, string) {
		w.put("GivesUp", "arn/GivesUp", message("GivesUp"), time.Hour, errors.New("the moon is still full"))
		return done, ""
	})
	w.function("Works", done, "")

	out, err := w.run("redrive")
	if err == nil || !strings.Contains(err.Error(), "4 of 5 failed again") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, want := range []string{"exit status 2", "HandsBack handed 1 records back", "ResourceNotFoundException", "given up again: internal the moon is still full", "1 redriven, 4 failed again"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing of:\n%s", want, out)
		}
	}
	if keys := w.keys(); len(keys) != 4 || strings.Contains(fmt.Sprint(keys), "Works") {
		t.Errorf("left are %v", keys)
	}
}

func TestStreamBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	payload := `{"Records":[` + change + `]}`
	w.giveUp("StreamFanout", "mapping/shard/2026/11/22/2026-11-22T10.00.00-id", payload)
	w.giveUp("Broken", "mapping/shard/2026/11/22/2026-11-22T10.00.01-id", payload)

	out := w.must("list", "-from", "stream", "-key", "O#alpha#01OBJECT")
	if !strings.Contains(out, "2 of 2") || !strings.Contains(out, "RetryAttemptsExhausted: 1 records after 11 tries Unhandled") || !strings.Contains(out, "-> StreamFanout") {
		t.Errorf("listed:\n%s", out)
	}
	w.function("StreamFanout", done, "")
	w.function("Broken", `{"batchItemFailures":[{"itemIdentifier":"7"}]}`, "")
	out, err := w.run("redrive", "-from", "stream")
	if err == nil || !strings.Contains(out, "1 redriven, 1 failed again") || len(w.keys()) != 1 || w.invoked[0] != payload {
		t.Errorf("%v, left are %v:\n%s", err, w.keys(), out)
	}
}

// TestUnreadable: what is no letter is shown and never redriven.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("S3Ingest", "id-1", "not json", time.Hour, errRefused)
	w.put("S3Ingest", "id-2", `{"eventSource":"aws:kafka"}`, time.Hour, errRefused)
	w.put("S3Ingest", "id-3", `[]`, time.Hour, errRefused)
	w.giveUp("", "mapping/a", "")
	w.function("S3Ingest", done, "")
	if out := w.must("list"); strings.Count(out, "unreadable") != 4 {
		t.Errorf("listed:\n%s", out)
	}
	out, err := w.run("redrive")
	if err == nil || !strings.Contains(out, "0 redriven, 4 failed again") || len(w.invoked) != 0 || len(w.keys()) != 4 {
		t.Errorf("%v:\n%s", err, out)
	}
}

// TestInterrupted: what was not sent back is visible again.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 12 {
		w.send("ingest-dead", "{}", nil)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out := writer(func(p []byte) {
		if bytes.Contains(p, []byte("redriven ")) {
			cancel()
		}
	})
	err := run(ctx, []string{"redrive", "-dev", w.dev, "-wait", "0s"}, out, io.Discard, time.Now)
	if err == nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if back, left := len(w.take("ingest")), len(w.take("ingest-dead")); back != 1 || left != 11 {
		t.Errorf("%d are back and %d are left, want 1 and 11", back, left)
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

func TestProgress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 5 {
		w.send("ingest-dead", "{}", nil)
	}
	at := time.Now()
	var progress bytes.Buffer
	err := run(t.Context(), []string{"redrive", "-dev", w.dev, "-wait", "0s"}, io.Discard, &progress, func() time.Time {
		at = at.Add(time.Second)
		return at
	})
	if err != nil || !strings.Contains(progress.String(), "looked at, 3 redriven, 0 failed again") {
		t.Errorf("%v: %s", err, progress.String())
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "say what to do"},
		{[]string{"purge"}, `"purge" is none of`},
		{[]string{"list", "more"}, `unexpected argument "more"`},
		{[]string{"list", "-dry-run"}, "changes nothing"},
		{[]string{"list", "-limit", "-1"}, "negative"},
		{[]string{"list", "-wait", "21s"}, "want 0s to 20s"},
		{[]string{"list", "-older", "2h", "-newer", "1h"}, "nothing is older than 2h0m0s and newer than 1h0m0s"},
		{[]string{"list", "-dev", "a", "-outputs", "b"}, "give one of them"},
		{[]string{"list", "-dev", filepath.Join(t.TempDir(), "none.json")}, "is `make dev` running?"},
	} {
		err := run(t.Context(), tc.args, io.Discard, io.Discard, time.Now)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v: %v, want %q", tc.args, err, tc.want)
		}
	}
	w := newWorld(t)
	if _, err := w.run("list", "-from", "nobody"); err == nil || !strings.Contains(err.Error(), "ingest-dead, pictures-dead, letters, stream") {
		t.Errorf("%v", err)
	}
}

// TestDeployedStage reads what the CDK wrote of a deployment.
func TestDeployedStage(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "config"))
	file := filepath.Join(t.TempDir(), "outputs-prod.json")
	text := `{"stowage-prod-Data":{"DeadLetterBucket":"the-bucket","IngestDeadLetterQueue":"https://sqs.eu-west-1.amazonaws.com/123456789012/a","ContentBucket":"x"},
		"stowage-prod-Service":{"PicturesDeadLetterQueue":"https://sqs.eu-west-1.amazonaws.com/123456789012/b"}}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	prod := deployment.Where{Outputs: file}
	p, err := where{stack: prod}.places(t.Context())
	if err != nil || p.bucket != "the-bucket" || p.aws.Region != "eu-west-1" || len(p.queues) != 2 || deployment.ByPath(p.aws) {
		t.Errorf("%+v, %v", p, err)
	}
	sources, err := where{stack: prod}.sources(t.Context(), "")
	if err != nil || len(sources) != 4 {
		t.Errorf("%v, %v", sources, err)
	}
	sources, err = where{queue: "https://sqs.eu-west-1.amazonaws.com/123456789012/c", stack: prod}.sources(t.Context(), "")
	if err != nil || len(sources) != 1 || sources[0].name() != "c" {
		t.Errorf("%v, %v", sources, err)
	}
}

func FuzzAbout(f *testing.F) {
	f.Add([]byte(`{"Records":[` + s3Record + `]}`))
	f.Add([]byte(picture))
	f.Add([]byte(change))
	f.Add([]byte(`{"body":` + quote(`{"body":"{}"}`) + `}`))
	f.Fuzz(func(_ *testing.T, payload []byte) { about(payload) })
}

func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(quoted)
}
