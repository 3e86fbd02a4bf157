package claims_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/functions/internal/claims"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/workspace"
)

type members map[string][]workspace.Member

func (m members) MembershipsOf(_ context.Context, sub string) ([]workspace.Member, error) {
	if sub == "broken" {
		return nil, errors.New("the catalog is away")
	}
	return m[sub], nil
}

const (
	user   = "8f6c1a52-0c3e-4b2f-9f61-3a5f5e1f7c11"
	client = "1example23456789"
)

func handler(m members) *claims.Handler {
	return claims.New(m, observe.NewMetrics(io.Discard, "test", time.Now), slog.New(slog.DiscardHandler))
}

func sample(t *testing.T, name string) claims.Event {
	t.Helper()
	var ev claims.Event
	dec := json.NewDecoder(bytes.NewReader(samples.Read(name)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&ev); err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestClaim(t *testing.T) {
	two := []workspace.Member{{Workspace: "beta", Role: workspace.Reader}, {Workspace: "alpha", Role: workspace.Owner}}
	for name, tc := range map[string]struct {
		sample  string
		members members
		want    string
	}{
		"a user":                       {"cognito/pre-token-generation-user", members{user: two}, "alpha:owner beta:reader"},
		"a client":                     {"cognito/pre-token-generation-client", members{client: two[:1]}, "beta:reader"},
		"a user is not its client":     {"cognito/pre-token-generation-user", members{client: two}, ""},
		"a stranger gets an empty one": {"cognito/pre-token-generation-user", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ev := sample(t, tc.sample)
			got, err := handler(tc.members).Handle(t.Context(), ev)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]string{workspace.Claim: tc.want}, got.Response.Details.AccessToken.Claims); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
			got.Response = ev.Response
			if diff := cmp.Diff(ev, got); diff != "" {
				t.Errorf("the rest of the event changed (-sent +returned):\n%s", diff)
			}
		})
	}
}

// TestAnswerKeepsTheGroups: what Cognito reads as "no groups" must never be sent.
func TestAnswerKeepsTheGroups(t *testing.T) {
	ev := sample(t, "cognito/pre-token-generation-user")
	got, err := handler(nil).Handle(t.Context(), ev)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Request  struct{ GroupConfiguration any }
		Response struct {
			ClaimsAndScopeOverrideDetails map[string]any
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	details := answer.Response.ClaimsAndScopeOverrideDetails
	if diff := cmp.Diff(answer.Request.GroupConfiguration, details["groupOverrideDetails"]); diff != "" || details["groupOverrideDetails"] == nil {
		t.Errorf("groups (-asked +answered):\n%s", diff)
	}
	if _, ok := details["idTokenGeneration"]; ok {
		t.Error("the ID token is changed, too")
	}
}

func TestNoTokenWithoutAnAnswer(t *testing.T) {
	ev := sample(t, "cognito/pre-token-generation-user")
	ev.Request.UserAttributes["sub"] = "broken"
	if _, err := handler(nil).Handle(t.Context(), ev); err == nil {
		t.Error("a token would be issued although the catalog is away")
	}
	delete(ev.Request.UserAttributes, "sub")
	if _, err := handler(nil).Handle(t.Context(), ev); err == nil {
		t.Error("a token would be issued for nobody")
	}
}

// TestManyMemberships: a token that no header can carry would lock its owner out.
func TestManyMemberships(t *testing.T) {
	many := members{}
	for i := range 500 {
		many[user] = append(many[user], workspace.Member{Workspace: fmt.Sprintf("workspace-%04d", i), Role: workspace.Reader})
	}
	got, err := handler(many).Handle(t.Context(), sample(t, "cognito/pre-token-generation-user"))
	if err != nil {
		t.Fatal(err)
	}
	claim := got.Response.Details.AccessToken.Claims[workspace.Claim]
	fields := strings.Fields(claim)
	if len(claim) > 4096 || len(claim) < 4000 || fields[0] != "workspace-0000:reader" || !strings.HasSuffix(fields[len(fields)-1], ":reader") {
		t.Errorf("claim of %d bytes: %s", len(claim), claim)
	}
}
