package uploadapi_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestCreateWorkspace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := token{"sub": "ann", "client_id": "web", "scope": everyScope}
	made := w.must(t, ann, "POST", "/v1/workspaces", fields{"id": "gamma", "name": "Gamma Ünit"}, 201)
	if made.header.Get("Location") != "/v1/workspaces/gamma" || made.text("createdBy") != "ann" || made.at("quota.objects") != 100000.0 {
		t.Errorf("created: %v %s", made.header, made.body)
	}
	// Its creator owns it, at once and without a new token.
	read := w.must(t, ann, "GET", "/v1/workspaces/gamma", nil, 200)
	if read.text("name") != "Gamma Ünit" || read.body != made.body {
		t.Errorf("read %s, created %s", read.body, made.body)
	}
	if got := w.must(t, ann, "GET", "/v1/workspaces/gamma/members/ann", nil, 200); got.text("role") != "owner" {
		t.Errorf("creator: %s", got.body)
	}
	w.refused(t, ann, "POST", "/v1/workspaces", fields{"id": "gamma", "name": "again"}, 409, "conflict")
	// Nor can it be taken over by creating it again.
	w.refused(t, token{"sub": "eve", "client_id": "web", "scope": everyScope}, "POST", "/v1/workspaces", fields{"id": "gamma", "name": "mine"}, 409, "conflict")
	w.refused(t, token{"sub": "eve", "client_id": "web", "scope": everyScope}, "GET", "/v1/workspaces/gamma", nil, 403, "forbidden")
	w.refused(t, admin(), "GET", "/v1/workspaces/delta", nil, 404, "not_found")
}

func TestWorkspaceIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range []string{"", "ab", strings.Repeat("a", 41), "-abc", "abc-", "Abc", "a_b", "a b", "a#b", "a/b", "é-é", "abc\n"} {
		out := w.refused(t, admin(), "POST", "/v1/workspaces", fields{"id": id, "name": "x"}, 400, "invalid_argument")
		if !strings.Contains(out.body, `"location":"body.id"`) {
			t.Errorf("%q: %s", id, out.body)
		}
	}
	for _, id := range []string{"abc", "a-c", "0-9", strings.Repeat("a", 40)} {
		w.must(t, admin(), "POST", "/v1/workspaces", fields{"id": id, "name": "x"}, 201)
	}
	w.refused(t, admin(), "POST", "/v1/workspaces", fields{"id": "nameless", "name": ""}, 400, "invalid_argument")
	w.refused(t, admin(), "POST", "/v1/workspaces", fields{"id": "long-name", "name": strings.Repeat("é", 101)}, 400, "invalid_argument")
	w.refused(t, admin(), "POST", "/v1/workspaces", `{"id":"twice","id":"twice2","name":"x"}`, 400, "invalid_argument")
}

func TestMembers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put := func(sub, role string, status int) {
		t.Helper()
		if out := w.call(t, member("alpha", "owner"), "PUT", "/v1/workspaces/alpha/members/"+sub, fields{"role": role}); out.status != status {
			t.Errorf("%s as %s: %d %s, want %d", sub, role, out.status, out.body, status)
		}
	}
	put("auth0%7Cann", "reader", 200)
	put("auth0%7Cann", "writer", 200)
	put("ann", "king", 400)
	put("ann", "", 400)
	put("a%20b", "reader", 400)
	put("%C3%A9", "reader", 400)
	put(strings.Repeat("a", 255), "reader", 200)
	put(strings.Repeat("a", 256), "reader", 400)
	got := w.must(t, member("alpha", "owner"), "GET", "/v1/workspaces/alpha/members/auth0%7Cann", nil, 200)
	if got.text("sub") != "auth0|ann" || got.text("role") != "writer" || got.text("createdBy") != "alpha-owner" {
		t.Errorf("member: %s", got.body)
	}
	w.refused(t, admin(), "PUT", "/v1/workspaces/nowhere/members/ann", fields{"role": "reader"}, 404, "not_found")
	w.refused(t, admin(), "GET", "/v1/workspaces/alpha/members/nobody", nil, 404, "not_found")
	w.must(t, admin(), "DELETE", "/v1/workspaces/alpha/members/nobody", nil, 204)
	w.must(t, admin(), "DELETE", "/v1/workspaces/alpha/members/auth0%7Cann", nil, 204)
	w.refused(t, admin(), "GET", "/v1/workspaces/alpha/members/auth0%7Cann", nil, 404, "not_found")
}

func TestMembersInPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 7 {
		w.must(t, admin(), "PUT", fmt.Sprintf("/v1/workspaces/alpha/members/m-%d", i), fields{"role": "reader"}, 200)
	}
	var subs []string
	cursor := ""
	for range 20 {
		page := w.must(t, admin(), "GET", "/v1/workspaces/alpha/members?limit=3&cursor="+cursor, nil, 200)
		items, _ := page.at("items").([]any)
		if len(items) > 3 {
			t.Fatalf("%d items", len(items))
		}
		for _, item := range items {
			subs = append(subs, fmt.Sprint(item.(fields)["sub"]))
		}
		if cursor = page.text("nextCursor"); cursor == "" {
			break
		}
	}
	if want := "alpha-owner alpha-reader alpha-writer founder m-0 m-1 m-2 m-3 m-4 m-5 m-6"; strings.Join(subs, " ") != want {
		t.Errorf("got %v, want %s", subs, want)
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	owner, writer := member("alpha", "owner"), member("alpha", "writer")
	quota := func(bytes, objects, uploads, largest int) fields {
		return fields{"bytes": bytes, "objects": objects, "openUploads": uploads, "maxObjectBytes": largest}
	}
	set := w.must(t, owner, "PUT", "/v1/workspaces/alpha/quota", quota(100, 3, 2, 50), 200)
	if got := w.must(t, owner, "GET", "/v1/workspaces/alpha/quota", nil, 200); got.body != set.body || got.at("bytes") != 100.0 {
		t.Errorf("read %s, set %s", got.body, set.body)
	}

	large := w.refused(t, writer, "POST", "/v1/uploads", declare("large", strings.Repeat("x", 51)), 413, "too_large")
	if large.at("details.limit") != 50.0 || large.at("details.size") != 51.0 {
		t.Errorf("no figures: %s", large.body)
	}
	w.publish(t, "alpha", "one", strings.Repeat("x", 50))
	first := w.must(t, writer, "POST", "/v1/uploads", declare("two", strings.Repeat("x", 50)), 201).text("upload.id")
	full := w.refused(t, writer, "POST", "/v1/uploads", declare("three", "x"), 402, "quota_exceeded")
	if full.at("details") == nil {
		t.Errorf("no figures: %s", full.body)
	}
	w.must(t, writer, "POST", "/v1/uploads", declare("empty", ""), 201)
	w.refused(t, writer, "POST", "/v1/uploads", declare("third open one", ""), 402, "quota_exceeded")

	inUse := w.refused(t, owner, "PUT", "/v1/workspaces/alpha/quota", quota(99, 3, 2, 50), 409, "quota_in_use")
	if inUse.at("details") == nil {
		t.Errorf("no figures: %s", inUse.body)
	}
	w.must(t, writer, "DELETE", "/v1/uploads/"+first, nil, 204)
	w.must(t, owner, "PUT", "/v1/workspaces/alpha/quota", quota(99, 3, 2, 50), 200)
	w.refused(t, owner, "PUT", "/v1/workspaces/alpha/quota", quota(-1, 3, 2, 50), 400, "invalid_argument")
	w.refused(t, admin(), "PUT", "/v1/workspaces/nowhere/quota", quota(1, 1, 1, 1), 404, "not_found")
}
