package uploadapi_test

import (
	"context"
	"errors"
	"strconv"
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
