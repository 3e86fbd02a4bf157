package seed_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/scripts/local/seed"
)

// workspaces is an API that knows workspaces and their owners.
type workspaces struct {
	owners map[string]string
	calls  []string
}

func (a *workspaces) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sub := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer token-of-")
	a.calls = append(a.calls, sub+" "+r.Method+" "+r.URL.Path)
	var body struct{ ID, Name, Role string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch {
	case r.Method == http.MethodPost && a.owners[body.ID] != "":
		w.WriteHeader(http.StatusConflict)
	case r.Method == http.MethodPost:
		a.owners[body.ID] = sub
		w.WriteHeader(http.StatusCreated)
	case a.owners[strings.Split(r.URL.Path, "/")[3]] != sub:
		http.Error(w, `{"code":"forbidden"}`, http.StatusForbidden)
	}
}

func seeder(t *testing.T, a *workspaces) seed.Seeder {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return seed.Seeder{APIURL: server.URL, Mint: func(_ context.Context, sub string) (string, time.Time, error) {
		return "token-of-" + sub, time.Unix(int64(1000+len(sub)), 0), nil
	}}
}

func TestSeedingTwiceChangesNothing(t *testing.T) {
	a := &workspaces{owners: map[string]string{}}
	s := seeder(t, a)
	for range 2 {
		if err := s.Run(t.Context(), seed.Workspaces()); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"alpha": "alpha-user", "beta": "beta-user"}
	if diff := cmp.Diff(want, a.owners); diff != "" {
		t.Error(diff)
	}
	if len(a.calls) != 8 || a.calls[1] != "alpha-user PUT /v1/workspaces/alpha/members/alpha-user" {
		t.Errorf("calls = %q", a.calls)
	}
}

func TestRefusalIsTold(t *testing.T) {
	s := seeder(t, &workspaces{owners: map[string]string{"beta": "somebody"}})
	err := s.Run(t.Context(), seed.Workspaces())
	if err == nil || !strings.Contains(err.Error(), "seed workspace beta") || !strings.Contains(err.Error(), `403 Forbidden: {"code":"forbidden"}`) {
		t.Errorf("err = %v", err)
	}
}

func TestTokensAndTheirFirstEnd(t *testing.T) {
	s := seeder(t, &workspaces{})
	tokens, ends, err := s.Tokens(t.Context(), seed.Workspaces())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"alpha": "token-of-alpha-user", "beta": "token-of-beta-user"}, tokens); diff != "" {
		t.Error(diff)
	}
	if !ends.Equal(time.Unix(1009, 0)) {
		t.Errorf("the first token ends at %s", ends)
	}
}

func TestMinterFails(t *testing.T) {
	broken := errors.New("no key")
	s := seed.Seeder{Mint: func(context.Context, string) (string, time.Time, error) { return "", time.Time{}, broken }}
	if err := s.Run(t.Context(), seed.Workspaces()); !errors.Is(err, broken) {
		t.Errorf("Run: %v", err)
	}
	if _, _, err := s.Tokens(t.Context(), seed.Workspaces()); !errors.Is(err, broken) {
		t.Errorf("Tokens: %v", err)
	}
}
