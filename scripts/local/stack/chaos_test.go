package stack_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/stack/stacktest"
)

// TestFaultsByTheConsole switches faults on and restarts engines over HTTP, as
// tests in other languages do, and sees that the stack goes on.
func TestFaultsByTheConsole(t *testing.T) {
	app := stacktest.New(t, recorderDir)
	s := start(t, config(app, t.TempDir()))
	dev := s.Dev(nil)
	put := func(path, body, token string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, dev.ConsoleURL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Console-Token", token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(answer)
	}
	if code, answer := put("/chaos/", "on", ""); code != http.StatusForbidden || s.Chaos.On() {
		t.Errorf("without the token: %d %s", code, answer)
	}
	if code, answer := put("/chaos/", "nobody.kills=1", dev.ConsoleToken); code != http.StatusBadRequest || !strings.Contains(answer, s.Model.Functions[0].Name) {
		t.Errorf("an unknown function: %d %s", code, answer)
	}
	for _, service := range []string{"dynamodb", "s3"} {
		if code, answer := put("/chaos/restarts/"+service, "", dev.ConsoleToken); code != http.StatusNoContent {
			t.Errorf("restart of %s: %d %s", service, code, answer)
		}
	}
	if code, answer := put("/chaos/", "seed=3,duplicates=1,delays=1,max-delay=50ms", dev.ConsoleToken); code != http.StatusOK || !s.Chaos.On() {
		t.Fatalf("settings: %d %s", code, answer)
	}
	putObject(t, s, "after-the-restart", "bytes")
	app.Await(t, "after-the-restart")
	select {
	case err := <-s.Failed():
		t.Errorf("the stack failed: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
}
