package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/scripts/local/api"
)

func TestConfigureReplacesTheRoutes(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	f := &function{answer: func(_ context.Context, event []byte) ([]byte, string, error) {
		if strings.Contains(string(event), "/old") {
			close(entered)
			<-release
		}
		return []byte(`{"statusCode":200,"body":"ok"}`), "", nil
	}}
	cfg := config(f)
	integration := api.Integration{FunctionARN: functionARN}
	cfg.Routes = []api.Route{{Key: "GET /old", Integration: integration}}
	s := start(t, cfg)
	underWay := make(chan int, 1)
	go func() {
		resp, err := http.Get(s.URL() + "/old")
		if err != nil {
			t.Error(err)
			underWay <- 0
			return
		}
		resp.Body.Close()
		underWay <- resp.StatusCode
	}()
	<-entered
	if err := s.Configure(api.Config{Routes: []api.Route{{Key: "GET /new", Integration: integration}}, Stages: []api.Stage{{Name: "$default"}}}); err != nil {
		t.Fatal(err)
	}
	if resp, body := do(t, "GET", s.URL()+"/new", ""); resp.StatusCode != http.StatusOK || body != "ok" {
		t.Errorf("/new: %d %s", resp.StatusCode, body)
	}
	if resp, _ := do(t, "GET", s.URL()+"/old", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("/old: %d", resp.StatusCode)
	}
	close(release)
	if status := <-underWay; status != http.StatusOK {
		t.Errorf("the request under way got %d", status)
	}
}

func TestConfigureRefusesAsAWhole(t *testing.T) {
	s := start(t, config(&function{answer: returning(`{"statusCode":200}`)}))
	err := s.Configure(api.Config{Routes: []api.Route{{Key: "FETCH /x"}}, Stages: []api.Stage{{Name: "$default"}}})
	if err == nil || !strings.Contains(err.Error(), `route "FETCH /x"`) {
		t.Errorf("err = %v", err)
	}
	if resp, _ := do(t, "GET", s.URL()+"/anything", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("the old route is gone: %d", resp.StatusCode)
	}
}
