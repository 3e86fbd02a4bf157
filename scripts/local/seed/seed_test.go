package seed_test

import (
	"context"
	"encoding/base64"
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
	sub := subject(r)
	a.calls = append(a.calls, sub+" "+r.Method+" "+r.URL.Path)
	if id, asked := strings.CutPrefix(r.URL.Path, "/v1/workspaces/"); asked {
		if r.Method != http.MethodGet || a.owners[id] != sub {
			http.Error(w, `{"code":"forbidden"}`, http.StatusForbidden)
		}
		return
	}
	var body struct{ ID, Name string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if a.owners[body.ID] != "" {
		http.Error(w, `{"code":"conflict"}`, http.StatusConflict)
		return
	}
	a.owners[body.ID] = sub
	w.WriteHeader(http.StatusCreated)
}

// claims are what the tests' tokens say.
type claims struct {
	Sub        string `json:"sub"`
	Workspaces string `json:"stowage:workspaces,omitempty"`
}

func subject(r *http.Request) string {
	var c claims
	_, payload, _ := strings.Cut(r.Header.Get("Authorization"), ".")
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimSuffix(payload, ".signature"))
	if err != nil || json.Unmarshal(raw, &c) != nil {
		return "nobody"
	}
	return c.Sub
}

// token lists the workspaces of a user, as the trigger has it.
func (a *workspaces) token(sub string) string {
	c := claims{Sub: sub}
	for id, owner := range a.owners {
		if owner == sub {
			c.Workspaces += " " + id + ":owner"
		}
	}
	payload, _ := json.Marshal(c) // strings always encode
	return "header." + base64.RawURLEncoding.EncodeToString(payload) + ".signature"
}

func seeder(t *testing.T, a *workspaces) seed.Seeder {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return seed.Seeder{APIURL: server.URL, Mint: func(_ context.Context, sub string) (string, time.Time, error) {
		return a.token(sub), time.Unix(int64(1000+len(sub)), 0), nil
	}}
}

// TestSeedingTwice: what is there is asked for and not created again, which would be
// refused, and shown in red.
func TestSeedingTwice(t *testing.T) {
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
	calls := []string{"alpha-user POST /v1/workspaces", "beta-user POST /v1/workspaces", "alpha-user GET /v1/workspaces/alpha", "beta-user GET /v1/workspaces/beta"}
	if diff := cmp.Diff(calls, a.calls); diff != "" {
		t.Error(diff)
	}
}

func TestRefusalIsTold(t *testing.T) {
	s := seeder(t, &workspaces{owners: map[string]string{"beta": "somebody"}})
	err := s.Run(t.Context(), seed.Workspaces())
	if err == nil || !strings.Contains(err.Error(), "seed workspace beta") || !strings.Contains(err.Error(), `409 Conflict: {"code":"conflict"}`) {
		t.Errorf("err = %v", err)
	}
}

func TestTokensAndTheirFirstEnd(t *testing.T) {
	a := &workspaces{}
	tokens, ends, err := seeder(t, a).Tokens(t.Context(), seed.Workspaces())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"alpha": a.token("alpha-user"), "beta": a.token("beta-user")}, tokens); diff != "" {
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
