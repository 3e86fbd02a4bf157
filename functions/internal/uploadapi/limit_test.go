package uploadapi_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/functions/internal/uploadapi"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// TestRateOfWrites: what a workspace's members write beyond its rate is refused with the time
// to wait; other workspaces, reads and administrators are not held up, and after that time
// there is room again.
func TestRateOfWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock.freeze()
	writer := member("alpha", "writer")
	refused := reply{}
	through := 0
	for through < 300 {
		got := w.call(t, writer, "POST", "/v1/uploads", "not even JSON") // counts all the same
		if got.status == 429 {
			refused = got
			break
		}
		through++
	}
	if burst := int(workspace.DefaultWrites().Burst); through < burst || through > burst+2 {
		t.Errorf("%d went through at once, the burst is %d", through, burst)
	}
	seconds, err := strconv.Atoi(refused.header.Get("Retry-After"))
	if err != nil || seconds < 1 || seconds > 2 || refused.text("code") != "rate_limited" {
		t.Errorf("refused with %q: %s", refused.header.Get("Retry-After"), refused.body)
	}
	other := w.restarted(nil) // another process knows it, too, but for one request
	other.call(t, writer, "POST", "/v1/uploads", declare("a", "x"))
	other.refused(t, writer, "POST", "/v1/uploads", declare("b", "x"), 429, "rate_limited")
	w.refused(t, writer, "DELETE", "/v1/objects/01KB3Z5V0QJ8W4N6T2M9R7XHCE", nil, 429, "rate_limited")

	w.must(t, writer, "GET", "/v1/objects", nil, 200)
	w.must(t, member("alpha", "owner"), "GET", "/v1/workspaces/alpha/quota", nil, 200)
	w.must(t, member("alpha", "owner"), "PUT", "/v1/workspaces/alpha/members/new", fields{"role": "reader"}, 200)
	w.must(t, member("beta", "writer"), "POST", "/v1/uploads", declare("a", "x"), 201)
	w.clock.advance(time.Duration(seconds) * time.Second)
	opened := w.must(t, writer, "POST", "/v1/uploads", declare("c", "x"), 201)
	w.must(t, writer, "DELETE", "/v1/uploads/"+opened.text("upload.id"), nil, 204)
}

func TestRateIsSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	owner, quota := member("alpha", "owner"), "/v1/workspaces/alpha/quota"
	said := w.must(t, owner, "GET", quota, nil, 200)
	if said.at("writesPerSecond") != 50.0 || said.at("writesBurst") != 200.0 {
		t.Errorf("by default: %s", said.body)
	}
	body := said.json
	for name, bad := range map[string]any{"writesPerSecond": 0, "writesBurst": -1} {
		body[name] = bad
		got := w.refused(t, owner, "PUT", quota, body, 400, "invalid_argument")
		if !strings.Contains(got.body, `"location":"body.`+name+`"`) {
			t.Errorf("%s: %s", name, got.body)
		}
		body[name] = 4
	}
	w.must(t, owner, "PUT", quota, body, 200)
	w.clock.freeze()
	writer := member("alpha", "writer")
	for range 4 {
		w.must(t, writer, "DELETE", "/v1/objects/x", nil, 404)
	}
	w.call(t, writer, "DELETE", "/v1/objects/x", nil) // the one that a process may be behind by
	w.refused(t, writer, "DELETE", "/v1/objects/x", nil, 429, "rate_limited")
	w.clock.advance(time.Second)
	w.must(t, writer, "DELETE", "/v1/objects/x", nil, 404)
}

// TestQuotaIfMatch: a quota that was read is set only if nobody else set it since.
func TestQuotaIfMatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	owner, quota := member("alpha", "owner"), "/v1/workspaces/alpha/quota"
	read := w.must(t, owner, "GET", quota, nil, 200)
	tag := read.header.Get("ETag")
	if other := w.must(t, owner, "GET", "/v1/workspaces/alpha", nil, 200).header.Get("ETag"); other != tag {
		t.Errorf("the workspace's ETag is %s, its quota's %s", other, tag)
	}
	set := w.must(t, owner, "PUT", quota, read.json, 200, "If-Match", tag)
	if next := set.header.Get("ETag"); next == tag || next != w.must(t, owner, "GET", quota, nil, 200).header.Get("ETag") {
		t.Errorf("ETag %s after %s", next, tag)
	}
	w.refused(t, owner, "PUT", quota, read.json, 412, "precondition_failed", "If-Match", tag)
	w.must(t, owner, "PUT", quota, read.json, 200, "If-Match", "*")
	for _, bad := range []string{"1", `"1`, `W/"1"`, `"0"`, `"x"`, `"1", "2"`} {
		got := w.refused(t, owner, "PUT", quota, read.json, 400, "invalid_argument", "If-Match", bad)
		if !strings.Contains(got.body, `"location":"header.If-Match"`) {
			t.Errorf("%s: %s", bad, got.body)
		}
	}
}

// blind is a catalog that cannot tell what a workspace has spent.
type blind struct{ uploadapi.Catalog }

func (blind) Spend(context.Context, string, workspace.Spending, bool) (workspace.Bucket, bool, error) {
	return workspace.Bucket{}, false, errors.New("no answer")
}

// TestUnknownRate: nobody is refused because the rate cannot be told.
func TestUnknownRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w = w.restarted(func(d *uploadapi.Deps) { d.Catalog = blind{d.Catalog} })
	w.must(t, member("alpha", "writer"), "POST", "/v1/uploads", declare("a", "x"), 201)
}
