package custom_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/custom"
)

// provider stands for a function: it notes what it is asked and answers as it is told.
type provider struct {
	asked    []map[string]any
	physical string
	status   string // of the answer; empty: none is given
	failure  string
	err      error
}

func (p *provider) invoke(ctx context.Context, _ string, event []byte) (string, error) {
	var req map[string]any
	if err := json.Unmarshal(event, &req); err != nil {
		return "", err
	}
	p.asked = append(p.asked, req)
	if p.status != "" {
		body, err := json.Marshal(map[string]any{"Status": p.status, "Reason": "because", "PhysicalResourceId": p.physical,
			"StackId": req["StackId"], "RequestId": req["RequestId"], "LogicalResourceId": req["LogicalResourceId"]})
		if err != nil {
			return "", err
		}
		put, err := http.NewRequestWithContext(ctx, http.MethodPut, req["ResponseURL"].(string), bytes.NewReader(body))
		if err != nil {
			return "", err
		}
		resp, err := http.DefaultClient.Do(put)
		if err != nil {
			return "", err
		}
		_ = resp.Body.Close()
	}
	return p.failure, p.err
}

func (p *provider) types() []string {
	var types []string
	for _, req := range p.asked {
		types = append(types, req["RequestType"].(string))
	}
	return types
}

func open(t *testing.T, path string, p *provider) *custom.Runner {
	t.Helper()
	r, err := custom.Open(custom.Config{StatePath: path, StackID: func(s string) string { return "arn:" + s }, Invoke: p.invoke})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func resource(id, properties string, dependsOn ...string) custom.Resource {
	return custom.Resource{Stack: "App", LogicalID: id, Path: "App/" + id, Type: "Custom::Schema", FunctionARN: "arn:f",
		Properties: json.RawMessage(properties), Timeout: time.Minute, DependsOn: dependsOn}
}

func TestAResourceIsAskedForOnlyWhenItChanges(t *testing.T) {
	t.Parallel()
	p := &provider{status: "SUCCESS", physical: "one"}
	path := filepath.Join(t.TempDir(), "custom.json")
	steps := [][]custom.Resource{
		{resource("A", `{"v":1}`)}, {resource("A", `{"v":1}`)}, {resource("A", `{"v":2}`)}, {},
	}
	for _, declared := range steps {
		if err := open(t, path, p).Apply(t.Context(), declared); err != nil { // each time as after a restart
			t.Fatal(err)
		}
	}
	if got := p.types(); !slices.Equal(got, []string{"Create", "Update", "Delete"}) {
		t.Fatalf("asked for %v", got)
	}
	if old, ok := p.asked[1]["OldResourceProperties"].(map[string]any); !ok || old["v"] != 1.0 || p.asked[1]["PhysicalResourceId"] != "one" || p.asked[1]["StackId"] != "arn:App" {
		t.Errorf("update = %v", p.asked[1])
	}
}

// TestWhatAFunctionLeaves: who cannot be asked to delete what they made has left it,
// which is told once.
func TestWhatAFunctionLeaves(t *testing.T) {
	t.Parallel()
	p := &provider{status: "SUCCESS", physical: "one"}
	path := filepath.Join(t.TempDir(), "custom.json")
	if err := open(t, path, p).Apply(t.Context(), []custom.Resource{resource("A", `{}`)}); err != nil {
		t.Fatal(err)
	}
	var left []string
	var log bytes.Buffer
	for range 2 {
		r, err := custom.Open(custom.Config{StatePath: path, StackID: func(s string) string { return "arn:" + s }, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Invoke: func(context.Context, string, []byte) (string, error) {
				return "", fmt.Errorf("Migrate: %w", custom.ErrNoFunction)
			},
			Left: func(stack, logicalID string) { left = append(left, stack+"/"+logicalID) }})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(r.Apply(t.Context(), nil), r.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(left, []string{"App/A"}) || log.Len() > 0 {
		t.Errorf("left %v; logged %s", left, &log)
	}
}

func TestAChangedFunctionIsAskedAgain(t *testing.T) {
	t.Parallel()
	p := &provider{status: "SUCCESS", physical: "one"}
	r := open(t, filepath.Join(t.TempDir(), "custom.json"), p)
	declared := []custom.Resource{resource("A", `{"v":1}`)}
	if err := r.Apply(t.Context(), declared); err != nil {
		t.Fatal(err)
	}
	for _, function := range []string{"arn:other", "arn:f"} {
		if err := r.Again(t.Context(), function, declared); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.types(); !slices.Equal(got, []string{"Create", "Update"}) {
		t.Errorf("asked for %v", got)
	}
}

func TestDamagedStateIsNamedWithAWayOut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "custom.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := custom.Open(custom.Config{StatePath: path})
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "RESET=1") {
		t.Errorf("error = %v", err)
	}
}

func TestAReplacedResourceIsDeleted(t *testing.T) {
	t.Parallel()
	p := &provider{status: "SUCCESS", physical: "one"}
	r := open(t, filepath.Join(t.TempDir(), "custom.json"), p)
	if err := r.Apply(t.Context(), []custom.Resource{resource("A", `{"v":1}`)}); err != nil {
		t.Fatal(err)
	}
	p.physical = "two"
	if err := r.Apply(t.Context(), []custom.Resource{resource("A", `{"v":2}`)}); err != nil {
		t.Fatal(err)
	}
	if last := p.asked[len(p.asked)-1]; last["RequestType"] != "Delete" || last["PhysicalResourceId"] != "one" {
		t.Errorf("asked for %v", p.asked)
	}
}

func TestAFailureIsToldAndAskedAgain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		provider provider
		want     string
	}{
		"a refusal":               {provider{status: "FAILED", physical: "x"}, "Create failed: because"},
		"a failure of its own":    {provider{failure: "exit status 2"}, "without an answer, for which CloudFormation would have waited 1m0s: exit status 2"},
		"silence":                 {provider{}, "ended without an answer"},
		"no function":             {provider{err: errors.New("no such function")}, "no such function"},
		"an answer without an id": {provider{status: "SUCCESS"}, "without a PhysicalResourceId"},
	} {
		p := tt.provider
		r := open(t, filepath.Join(t.TempDir(), "custom.json"), &p)
		for range 2 {
			err := r.Apply(t.Context(), []custom.Resource{resource("A", `{}`)})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "App/A (Custom::Schema)") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := p.types(); !slices.Equal(got, []string{"Create", "Create"}) {
			t.Errorf("%s: asked for %v", name, got)
		}
	}
}

func TestDependenciesComeFirst(t *testing.T) {
	t.Parallel()
	p := &provider{status: "SUCCESS", physical: "one"}
	declared := []custom.Resource{resource("A", `{}`, "B", "SomethingElse"), resource("B", `{}`, "C"), resource("C", `{}`)}
	if err := open(t, filepath.Join(t.TempDir(), "custom.json"), p).Apply(t.Context(), declared); err != nil {
		t.Fatal(err)
	}
	var order []any
	for _, req := range p.asked {
		order = append(order, req["LogicalResourceId"])
	}
	if !slices.Equal(order, []any{"C", "B", "A"}) {
		t.Errorf("order = %v", order)
	}
}

func TestAnAnswerThatNobodyWaitsForIsRefused(t *testing.T) {
	t.Parallel()
	p := &provider{status: "SUCCESS", physical: "one"}
	if err := open(t, filepath.Join(t.TempDir(), "custom.json"), p).Apply(t.Context(), []custom.Resource{resource("A", `{}`)}); err != nil {
		t.Fatal(err)
	}
	put, err := http.NewRequestWithContext(t.Context(), http.MethodPut, p.asked[0]["ResponseURL"].(string), strings.NewReader(`{"Status":"SUCCESS"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(put)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("status = %d", resp.StatusCode)
	}
}
