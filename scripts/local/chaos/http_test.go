package chaos_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/scripts/local/chaos"
)

// engine counts its restarts.
type engine int

// Restart implements chaos.Engine.
func (e *engine) Restart(context.Context) error {
	*e++
	return nil
}

func TestHandler(t *testing.T) {
	var restarted engine
	c := chaos.New(chaos.Config{Engines: map[string]chaos.Engine{"s3": &restarted}})
	server := httptest.NewServer(c.Handler())
	t.Cleanup(server.Close)
	send := func(method, path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
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
	status := func(answer string) chaos.Status {
		t.Helper()
		var s chaos.Status
		if err := json.Unmarshal([]byte(answer), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if code, answer := send("GET", "/", ""); code != http.StatusOK || status(answer).On || len(status(answer).Faults) != len(chaos.Faults()) {
		t.Errorf("at first: %d %s", code, answer)
	}
	code, answer := send("PUT", "/", "kills=0.5,seed=7")
	if s := status(answer); code != http.StatusOK || !s.On || s.Seed != 7 || s.Settings != "seed=7,kills=0.5" {
		t.Errorf("put: %d %s", code, answer)
	}
	c.Throttle("f")
	if code, answer := send("PUT", "/", "kills=2"); code != http.StatusBadRequest || !strings.Contains(answer, "between 0 and 1") || !c.On() {
		t.Errorf("a bad rate: %d %s", code, answer)
	}
	if code, answer := send("PUT", "/", strings.Repeat("x", 1<<20)); code != http.StatusBadRequest {
		t.Errorf("a long text: %d %s", code, answer)
	}
	if code, _ := send("PUT", "/restarts/s3", ""); code != http.StatusNoContent || restarted != 1 {
		t.Errorf("restart: %d, %d restarts", code, restarted)
	}
	if code, answer := send("PUT", "/restarts/ftp", ""); code != http.StatusNotFound || !strings.Contains(answer, "ftp") {
		t.Errorf("restart of what is not there: %d %s", code, answer)
	}
	if code, answer := send("PUT", "/", "off"); code != http.StatusOK || status(answer).On {
		t.Errorf("off: %d %s", code, answer)
	}
	if code, _ := send("POST", "/", "on"); code != http.StatusMethodNotAllowed {
		t.Errorf("post: %d", code)
	}
}
