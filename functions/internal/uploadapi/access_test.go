package uploadapi_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/functions/internal/uploadapi"
	"github.com/stowage-dev/stowage/shared/httpapi"
)

type route struct{ method, path, scope string }

// routes lists every operation of the document, with ids filled in.
func routes(t *testing.T) []route {
	t.Helper()
	text, err := uploadapi.Document()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Security []map[string][]string
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("{ws}", "alpha", "{sub}", "alpha-reader", "{id}", "01KB3Z5V0QJ8W4N6T2M9R7XHCE")
	var all []route
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for method, op := range doc.Paths[path] {
			all = append(all, route{strings.ToUpper(method), fill.Replace(path), op.Security[0]["token"][0]})
		}
	}
	if len(all) != 21 {
		t.Fatalf("the document holds %d operations", len(all))
	}
	return all
}

// TestEveryRouteIsGuarded takes the routes from the document, so that none is forgotten.
func TestEveryRouteIsGuarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, r := range routes(t) {
		w.refused(t, nil, r.method, r.path, "not even JSON", 401, "unauthenticated")
		w.refused(t, token{"scope": everyScope}, r.method, r.path, nil, 401, "unauthenticated")

		without := member("alpha", "owner")
		without["scope"] = strings.ReplaceAll(everyScope, r.scope, r.scope+"er")
		w.refused(t, without, r.method, r.path, "not even JSON", 403, "forbidden")

		if r.method == "POST" && r.path == "/v1/workspaces" {
			continue // is about no workspace
		}
		// Members of another workspace, whatever they ask for and their token says.
		stranger := member("beta", "owner")
		w.refused(t, stranger, r.method, r.path, "not even JSON", 403, "forbidden", "Stowage-Workspace", "alpha")
		stranger["stowage:workspaces"] = "beta:owner alpha:owner" // from before they were removed
		w.refused(t, stranger, r.method, r.path, "not even JSON", 403, "forbidden", "Stowage-Workspace", "alpha")
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.publish(t, "alpha", "a.txt", "a")
	for role, want := range map[string][3]int{ // read, write, administer
		"owner":  {200, 201, 200},
		"writer": {200, 201, 403},
		"reader": {200, 403, 403},
	} {
		who := member("alpha", role)
		got := [3]int{
			w.call(t, who, "GET", "/v1/objects/"+id, nil).status,
			w.call(t, who, "POST", "/v1/uploads", declare(role, "x")).status,
			w.call(t, who, "GET", "/v1/workspaces/alpha/quota", nil).status,
		}
		if got != want {
			t.Errorf("%s: %v, want %v", role, got, want)
		}
	}
	// A machine administers everything, and reads nothing without being a member.
	w.must(t, admin(), "GET", "/v1/workspaces/beta/quota", nil, 200)
	w.refused(t, admin(), "GET", "/v1/objects", nil, 403, "forbidden")
	liar := admin()
	liar["stowage:workspaces"] = "alpha:owner"
	w.refused(t, liar, "GET", "/v1/objects", nil, 403, "forbidden")
}

func TestWhichWorkspace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(t, admin(), "PUT", "/v1/workspaces/beta/members/alpha-reader", fields{"role": "reader"}, 200)
	both := member("alpha", "reader")
	both["stowage:workspaces"] = "alpha:reader beta:reader"
	none := member("alpha", "reader")
	delete(none, "stowage:workspaces")

	w.refused(t, both, "GET", "/v1/usage", nil, 400, "workspace_required")
	w.must(t, both, "GET", "/v1/usage", nil, 200, "Stowage-Workspace", "beta")
	w.refused(t, both, "GET", "/v1/usage", nil, 403, "forbidden", "Stowage-Workspace", "gamma")
	w.refused(t, both, "GET", "/v1/usage", nil, 403, "forbidden", "Stowage-Workspace", "alpha:reader")
	w.refused(t, both, "GET", "/v1/usage", nil, 403, "forbidden", "Stowage-Workspace", "alpha beta")
	w.refused(t, none, "GET", "/v1/usage", nil, 403, "forbidden")
	w.refused(t, none, "GET", "/v1/usage", nil, 403, "forbidden", "Stowage-Workspace", "alpha")
}

// TestRemovalTakesEffect: within a minute where a membership was just used, at once where
// this process removed it.
func TestRemovalTakesEffect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reader := member("alpha", "reader")
	w.must(t, reader, "GET", "/v1/usage", nil, 200)
	if err := w.store.RemoveMember(t.Context(), "alpha", "alpha-reader"); err != nil { // another process does
		t.Fatal(err)
	}
	w.clock.advance(50 * time.Second)
	w.must(t, reader, "GET", "/v1/usage", nil, 200)
	w.clock.advance(11 * time.Second)
	w.refused(t, reader, "GET", "/v1/usage", nil, 403, "forbidden")

	w.must(t, admin(), "PUT", "/v1/workspaces/alpha/members/alpha-reader", fields{"role": "reader"}, 200)
	w.must(t, reader, "GET", "/v1/usage", nil, 200)
	w.must(t, admin(), "DELETE", "/v1/workspaces/alpha/members/alpha-reader", nil, 204)
	w.refused(t, reader, "GET", "/v1/usage", nil, 403, "forbidden")
}

// TestWorkspacesDoNotMeet tries to reach alpha's things as a member of beta.
func TestWorkspacesDoNotMeet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ids []string
	for _, name := range []string{"a", "b", "c"} {
		ids = append(ids, w.publish(t, "alpha", name, name))
	}
	upload := w.must(t, member("alpha", "writer"), "POST", "/v1/uploads", declare("open", "x"), 201).text("upload.id")
	cursor := w.must(t, member("alpha", "reader"), "GET", "/v1/objects?limit=1", nil, 200).text("nextCursor")
	stranger := member("beta", "owner")

	for _, id := range ids {
		w.refused(t, stranger, "GET", "/v1/objects/"+id, nil, 404, "not_found")
		w.refused(t, stranger, "GET", "/v1/objects/"+id+"/content", nil, 404, "not_found")
		w.refused(t, stranger, "DELETE", "/v1/objects/"+id, nil, 404, "not_found")
	}
	w.refused(t, stranger, "GET", "/v1/uploads/"+upload, nil, 404, "not_found")
	w.refused(t, stranger, "DELETE", "/v1/uploads/"+upload, nil, 404, "not_found")
	w.refused(t, stranger, "GET", "/v1/objects?limit=1&cursor="+cursor, nil, 400, "invalid_argument")
	if got := w.must(t, stranger, "GET", "/v1/objects", nil, 200); got.body != `{"items":[],"nextCursor":null}`+"\n" {
		t.Errorf("beta sees %s", got.body)
	}
	// The same path is free in beta, and the upload that was tried on is untouched.
	w.publish(t, "beta", "a", "other")
	if got := w.must(t, member("alpha", "writer"), "GET", "/v1/uploads/"+upload, nil, 200); got.text("state") != "open" {
		t.Errorf("alpha's upload: %s", got.body)
	}
}

// TestStrangeNames: no name of a workspace or subject reaches the catalog's keys unlooked at.
func TestStrangeNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, ws := range []string{"alpha%23USAGE", "ALPHA", "%20", "alpha%2Fbeta", strings.Repeat("a", 3000), "%FF", "%00"} {
		for _, who := range []token{admin(), member("alpha", "owner")} {
			w.refused(t, who, "GET", "/v1/workspaces/"+ws, nil, 404, "not_found")
			w.refused(t, who, "GET", "/v1/workspaces/"+ws+"/members/x", nil, 404, "not_found")
		}
		who := member("alpha", "owner")
		who["stowage:workspaces"] = ws + ":owner"
		w.refused(t, who, "GET", "/v1/usage", nil, 403, "forbidden")
	}
	for _, sub := range []string{strings.Repeat("s", 3000), "a b", "\x00", "é"} {
		who := member("alpha", "owner")
		who["sub"] = sub
		w.refused(t, who, "GET", "/v1/usage", nil, 403, "forbidden")
		w.refused(t, who, "GET", "/v1/workspaces/alpha", nil, 403, "forbidden")
		w.refused(t, who, "POST", "/v1/workspaces", fields{"id": "gamma", "name": "x"}, 400, "invalid_argument")
	}
}

func TestPrincipalOfMachineNeedsBothClaims(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// A user whose subject is made to look like a client is one only if the token says so.
	p, _ := httpapi.NewPrincipal(token{"sub": "ops", "client_id": "web", "scope": everyScope})
	if p.Machine() {
		t.Error("a user passes for a machine")
	}
	w.refused(t, token{"sub": "ops", "client_id": "web", "scope": everyScope}, "GET", "/v1/workspaces/beta", nil, 403, "forbidden")
}
