// Package scanning_test runs the deployed templates whole with each of the scanners, with
// policies enforced: GuardDuty, for which the test puts what it would say on the default
// bus, and a real clamd. It synthesizes the assemblies itself, from the functions in dist:
// run `make synth` first.
package scanning_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/scripts/clamdtest"
	"github.com/stowage-dev/stowage/scripts/local/bus"
	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/seed"
	"github.com/stowage-dev/stowage/scripts/local/stack"
	"github.com/stowage-dev/stowage/shared/client"
	"github.com/stowage-dev/stowage/shared/guarddutyscan"
)

const (
	root = "../../../.."
	// patience is for a machine on which everything is compiled at once.
	patience = 5 * time.Minute
)

// TestMain is the S3 engine when it is started as that.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == s3.Command {
		os.Exit(s3.Main(os.Args, os.Stdin))
	}
	os.Exit(m.Run())
}

// world is the running stacks with a client of workspace alpha.
type world struct {
	*stack.Stack
	client *client.Client
	log    string
}

func start(t *testing.T, settings map[string]string) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, state := t.TempDir(), t.TempDir()
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	synthesize := exec.CommandContext(ctx, "go", "run", "./infra")
	synthesize.Dir = root
	synthesize.Env = append(os.Environ(), "CDK_OUTDIR="+out, "CDK_CONTEXT_JSON="+string(text))
	if said, err := synthesize.CombinedOutput(); err != nil {
		t.Fatalf("synthesize: %v\n%s", err, said)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "runtime.log"))
	if err != nil {
		t.Fatal(err)
	}
	soon := 300 * time.Millisecond
	w := &world{log: log.Name()}
	w.Stack, err = stack.Start(ctx, stack.Config{
		Assembly: out, State: state, Source: root, QueueRetryDelay: &soon,
		RetryDelay: func(int) time.Duration { return soon }, StreamRetryDelay: func(int) time.Duration { return soon },
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.Close(), log.Close()); err != nil {
			t.Error(err)
		}
		raw, err := os.ReadFile(w.log)
		if err != nil {
			t.Error(err)
		}
		if strings.Contains(string(raw), "msg=denied") {
			t.Error("a role lacks a right: see the log")
		}
		if t.Failed() {
			t.Logf("%s", raw[max(0, len(raw)-20_000):])
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
	if w.client, err = client.New(w.APIURL(), client.StaticToken(tokens["alpha"]), &client.Options{Workspace: "alpha"}); err != nil {
		t.Fatal(err)
	}
	return w
}

// send uploads a text, and returns the upload and the key and version of its bytes.
func (w *world) send(t *testing.T, path, body string) (client.Upload, string, string) {
	t.Helper()
	sum := sha256.Sum256([]byte(body))
	opened, err := w.client.Open(t.Context(), client.NewUpload{
		Path: path, Size: int64(len(body)), ContentType: "text/plain", SHA256: base64.StdEncoding.EncodeToString(sum[:]), IfExists: "version",
	})
	if err != nil {
		t.Fatal(err)
	}
	put, err := http.NewRequestWithContext(t.Context(), opened.Put.Method, opened.Put.URL, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range opened.Put.Headers {
		put.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(put)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if said, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("put: %s %s %v", answer.Status, said, err)
	}
	_, key, _ := strings.Cut(put.URL.Path, "/c/")
	return opened.Upload, "c/" + key, answer.Header.Get("X-Amz-Version-Id")
}

// until waits for an upload to come to a state.
func (w *world) until(t *testing.T, u client.Upload, state string) client.Upload {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		now, err := w.client.Upload(ctx, u.ID)
		if err != nil {
			t.Fatalf("upload %s is %s and does not become %s: %v", u.ID, now.State, state, err)
		}
		if now.State == state {
			return now
		}
		if now.Done() {
			t.Fatalf("upload %s is %s, want %s", u.ID, now.State, state)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("upload %s is %s, want %s", u.ID, now.State, state)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// wantState checks an object, and that it can be read only where it is available.
func (w *world) wantState(t *testing.T, id, state string) {
	t.Helper()
	o, err := w.client.Object(t.Context(), id)
	if err != nil || o.State != state {
		t.Errorf("object is %s, %v: want it %s", o.State, err, state)
	}
	if _, err := w.client.Content(t.Context(), id, nil); (err == nil) != (state == "available") {
		t.Errorf("of an object that is %s, reading gives %v", state, err)
	}
}

// TestGuardDuty: what is uploaded waits, also where nobody scans, as here; what GuardDuty
// says on the default bus decides.
func TestGuardDuty(t *testing.T) {
	w := start(t, map[string]string{"scanner": "guardduty"})
	say := func(sample, key, version string) {
		t.Helper()
		var event struct {
			Detail map[string]any `json:"detail"`
		}
		if err := json.Unmarshal(samples.Read("eventbridge/guardduty-"+sample), &event); err != nil {
			t.Fatal(err)
		}
		of := event.Detail["s3ObjectDetails"].(map[string]any)
		of["bucketName"], of["objectKey"], of["versionId"] = w.Dev(nil).Bucket, key, version
		detail, err := json.Marshal(event.Detail)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Bus.Put(t.Context(), bus.Entry{Source: guarddutyscan.Source, DetailType: guarddutyscan.DetailType, Detail: detail}); err != nil {
			t.Fatal(err)
		}
	}
	clean, cleanKey, cleanVersion := w.send(t, "clean.txt", "hello")
	bad, badKey, badVersion := w.send(t, "bad.txt", "not nice")
	odd, oddKey, oddVersion := w.send(t, "odd.txt", "of no known kind")
	for _, u := range []client.Upload{clean, bad, odd} {
		w.until(t, u, "quarantined")
		w.wantState(t, u.ObjectID, "quarantined")
	}
	say("unsupported", oddKey, oddVersion)
	say("threats-found", badKey, badVersion)
	say("no-threats-found", cleanKey, cleanVersion)
	w.until(t, clean, "available")
	w.until(t, bad, "rejected")
	w.wantState(t, clean.ObjectID, "available")
	w.wantState(t, bad.ObjectID, "rejected")

	// Nothing that the scanner has not cleared takes the place of what it has.
	next, nextKey, nextVersion := w.send(t, "clean.txt", "hello again")
	w.until(t, next, "quarantined")
	w.wantState(t, clean.ObjectID, "available")
	say("no-threats-found", nextKey, nextVersion)
	w.until(t, next, "available")
	if o, err := w.client.Object(t.Context(), clean.ObjectID); err != nil || o.Version != next.ID {
		t.Errorf("the object is at %s, %v: want %s", o.Version, err, next.ID)
	}
	w.wantState(t, odd.ObjectID, "quarantined")
}

// TestClamd: a real clamd looks at what is uploaded.
func TestClamd(t *testing.T) {
	address := clamdtest.Start(t, 1<<20)
	w := start(t, map[string]string{"scanner": "clamd", "clamdAddress": address, "clamdMaxMiB": "1"})
	clean, _, _ := w.send(t, "clean.txt", "hello")
	bad, _, _ := w.send(t, "bad.txt", "here: "+clamdtest.Malware)
	large, _, _ := w.send(t, "large.txt", strings.Repeat("a", 1<<20+1))
	w.until(t, clean, "available")
	w.wantState(t, clean.ObjectID, "available")
	w.until(t, bad, "rejected")
	w.wantState(t, bad.ObjectID, "rejected")
	if u, err := w.client.Upload(t.Context(), bad.ID); err != nil || u.Reason == nil || u.Reason.Code != "malware_found" {
		t.Errorf("rejected for %+v, %v", u.Reason, err)
	}
	waits := w.until(t, large, "quarantined")
	for deadline := time.Now().Add(time.Minute); waits.Reason == nil && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		waits = w.until(t, large, "quarantined")
	}
	if waits.Reason == nil || waits.Reason.Code != "scan_inconclusive" {
		t.Errorf("what is too large for the scanner waits for %+v", waits.Reason)
	}
	w.wantState(t, large.ObjectID, "quarantined")
}
