package uploadapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/object"
)

// pages walks a list and returns the paths it holds.
func pages(t *testing.T, w *world, query url.Values) (paths []string, cursors []string) {
	t.Helper()
	for range 100 {
		page := w.must(t, member("alpha", "reader"), "GET", "/v1/objects?"+query.Encode(), nil, 200)
		items, _ := page.at("items").([]any)
		for _, item := range items {
			paths = append(paths, fmt.Sprint(item.(fields)["path"]))
		}
		next := page.text("nextCursor")
		if next == "" {
			return paths, cursors
		}
		cursors = append(cursors, next)
		query.Set("cursor", next)
	}
	t.Fatal("the list has no end")
	return nil, nil
}

func TestFoldersInPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := map[string][]string{}
	for _, folder := range []string{"", "a", "a/b", "ü"} {
		for i := range 7 {
			path := strings.TrimPrefix(fmt.Sprintf("%s/%d", folder, i), "/")
			w.publish(t, "alpha", path, path)
			want[folder] = append(want[folder], path)
		}
	}
	w.publish(t, "beta", "a/foreign", "x")
	for folder, paths := range want {
		for limit := 1; limit <= 8; limit++ {
			got, _ := pages(t, w, url.Values{"parent": {folder}, "limit": {fmt.Sprint(limit)}})
			if !slices.Equal(got, paths) {
				t.Errorf("folder %q by %d: %v, want %v", folder, limit, got, paths)
			}
		}
	}

	// A cursor is good for its list only.
	_, cursors := pages(t, w, url.Values{"parent": {"a"}, "limit": {"3"}})
	for _, other := range []url.Values{{"parent": {""}}, {"parent": {"a/b"}}, {"state": {"deleted"}}} {
		other.Set("cursor", cursors[0])
		w.refused(t, member("alpha", "reader"), "GET", "/v1/objects?"+other.Encode(), nil, 400, "invalid_argument")
	}
	if out := w.refused(t, member("alpha", "reader"), "GET", "/v1/objects?cursor="+cursors[0][:20], nil, 400, "invalid_argument"); !strings.Contains(out.body, "cursor") {
		t.Errorf("does not blame the cursor: %s", out.body)
	}
	// The page may be of another size, though.
	w.must(t, member("alpha", "reader"), "GET", "/v1/objects?parent=a&limit=1&cursor="+cursors[0], nil, 200)
}

func TestListsByState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var deleted []string
	for i := range 5 {
		path := fmt.Sprintf("folder-%d/x", i)
		id := w.publish(t, "alpha", path, path)
		w.must(t, member("alpha", "writer"), "DELETE", "/v1/objects/"+id, nil, 204)
		deleted = append([]string{path}, deleted...) // the latest first
		w.clock.advance(time.Second)
	}
	kept := w.publish(t, "alpha", "folder-0/x", "again")
	got, _ := pages(t, w, url.Values{"state": {"deleted"}, "limit": {"2"}})
	if !slices.Equal(got, deleted) {
		t.Errorf("deleted: %v, want %v", got, deleted)
	}
	if out := w.must(t, member("alpha", "reader"), "GET", "/v1/objects?parent=folder-0&state=available", nil, 200); !strings.Contains(out.body, kept) {
		t.Errorf("folder: %s", out.body)
	}
	for _, bad := range []string{"state=gone", "state=deleted&parent=a", "parent=/a", "parent=a/", "parent=a//b", "parent=..", "parent=%ff", "limit=0", "limit=1001", "limit=x", "sort=name"} {
		w.refused(t, member("alpha", "reader"), "GET", "/v1/objects?"+bad, nil, 400, "invalid_argument")
	}
}

func TestContent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reader := member("alpha", "reader")
	id := w.publish(t, "alpha", "reports/q3.txt", "x")
	for query, want := range map[string]url.Values{
		"":                                    {"X-Amz-Expires": {"900"}, "response-content-disposition": {`attachment; filename="q3.txt"`}},
		"?expiresIn=1&disposition=inline":     {"X-Amz-Expires": {"1"}, "response-content-disposition": {`inline; filename="q3.txt"`}},
		"?expiresIn=3600&redirect=0":          {"X-Amz-Expires": {"3600"}},
		"?disposition=attachment&expiresIn=5": {"X-Amz-Expires": {"5"}},
	} {
		out := w.must(t, reader, "GET", "/v1/objects/"+id+"/content"+query, nil, 200)
		signed, err := url.Parse(out.text("url"))
		if err != nil {
			t.Fatal(err)
		}
		got := signed.Query()
		if !strings.HasPrefix(got.Get("versionId"), "s3-version-of-") {
			t.Errorf("%q: no version is named", query)
		}
		for name := range want {
			if got.Get(name) != want.Get(name) {
				t.Errorf("%q: %s is %q, want %q", query, name, got.Get(name), want.Get(name))
			}
		}
		if out.text("expiresAt") == "" || out.header.Get("Location") != "" {
			t.Errorf("%q: %v %s", query, out.header, out.body)
		}
	}
	for _, bad := range []string{"expiresIn=0", "expiresIn=3601", "expiresIn=x", "disposition=evil", "redirect=yes", "versionId=x"} {
		w.refused(t, reader, "GET", "/v1/objects/"+id+"/content?"+bad, nil, 400, "invalid_argument")
	}
	w.refused(t, reader, "GET", "/v1/objects/01KB3Z5V0QJ8W4N6T2M9R7XHCE/content", nil, 404, "not_found")
}

// TestWhatABrowserMightRunIsSaved: a page under the bucket's origin could be anybody's.
func TestWhatABrowserMightRunIsSaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for contentType, want := range map[string]string{
		"text/html": "attachment", "image/svg+xml": "attachment", "image/png": "inline", "text/plain; charset=utf-8": "inline",
	} {
		declared := declare(strings.ReplaceAll(contentType, "/", "-"), "x")
		declared["contentType"] = contentType
		opened := w.must(t, member("alpha", "writer"), "POST", "/v1/uploads", declared, 201)
		id := w.settle(t, "alpha", opened.text("upload.id"), "v", "x")
		for _, redirect := range []string{"0", "1"} {
			out := w.call(t, member("alpha", "reader"), "GET", "/v1/objects/"+id+"/content?disposition=inline&redirect="+redirect, nil)
			signed, err := url.Parse(out.text("url"))
			if got := signed.Query().Get("response-content-disposition"); err != nil || !strings.HasPrefix(got, want+";") {
				t.Errorf("%s: %q, want %s", contentType, got, want)
			}
			if out.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("the answer itself may be sniffed: %v", out.header)
			}
		}
	}
}

func TestDeleteIfMatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer := member("alpha", "writer")
	id := w.publish(t, "alpha", "a.txt", "x")
	for _, bad := range []string{"1", `W/"1"`, `"01"`, `"0"`, `"-1"`, `"+1"`, `"x"`, `"1`, `"1", "2"`} {
		w.refused(t, writer, "DELETE", "/v1/objects/"+id, nil, 400, "invalid_argument", "If-Match", bad)
	}
	w.refused(t, writer, "DELETE", "/v1/objects/"+id, nil, 412, "precondition_failed", "If-Match", `"2"`)
	w.must(t, writer, "DELETE", "/v1/objects/"+id, nil, 204, "If-Match", `"1"`)
	got := w.must(t, writer, "GET", "/v1/objects/"+id, nil, 200)
	if got.text("state") != "deleted" || got.at("rev") != 2.0 || got.text("deletedAt") == "" || got.text("updatedBy") != "alpha-writer" {
		t.Errorf("deleted: %s", got.body)
	}
	w.must(t, writer, "DELETE", "/v1/objects/"+id, nil, 204)
	w.must(t, writer, "DELETE", "/v1/objects/"+id, nil, 204, "If-Match", "*")
	if again := w.must(t, writer, "GET", "/v1/objects/"+id, nil, 200); again.body != got.body {
		t.Errorf("deleting twice changed it: %s", again.body)
	}
}

// TestThroughTheGateway sends a sample event of API Gateway, as Lambda would.
func TestThroughTheGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.publish(t, "alpha", "a.txt", "x")
	var in events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(samples.Read("apigatewayv2/get-object"), &in); err != nil {
		t.Fatal(err)
	}
	in.RawPath = "/v1/objects/" + id
	gateway := httpapi.NewGateway(w.handler)

	out, err := gateway.Handle(t.Context(), in)
	if err != nil || out.StatusCode != http.StatusForbidden {
		t.Errorf("not a member: %+v, %v", out, err)
	}
	sub := in.RequestContext.Authorizer.JWT.Claims["sub"]
	w.must(t, admin(), "PUT", "/v1/workspaces/alpha/members/"+sub, fields{"role": "reader"}, 200)
	out, err = gateway.Handle(t.Context(), in)
	if err != nil || out.StatusCode != http.StatusOK || !strings.Contains(out.Body, id) || out.Headers["etag"] != `"1"` || out.Headers["x-request-id"] != in.RequestContext.RequestID {
		t.Errorf("member: %+v, %v", out, err)
	}
}

func TestDerivative(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reader := member("alpha", "reader")
	id := w.publish(t, "alpha", "holiday/beach.jpeg", "x")
	w.refused(t, reader, "GET", "/v1/objects/"+id+"/content?derivative=256", nil, 404, "not_found")
	w.refused(t, reader, "GET", "/v1/objects/"+id+"/content?derivative=512", nil, 400, "invalid_argument")

	o, err := w.store.Object(t.Context(), "alpha", id)
	if err != nil {
		t.Fatal(err)
	}
	taken := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	picture := object.Picture{Width: 4000, Height: 3000, CapturedAt: taken, Derivatives: []string{"256"}}
	derivative := object.Derivative{
		Workspace: "alpha", ObjectID: id, Name: "256", Version: o.Version, ContentType: "image/jpeg",
		S3Key: object.DerivativeKey("alpha", id, o.Version, "256"), S3VersionID: "thumbnail",
	}
	if _, err := w.store.RecordPicture(t.Context(), o, picture, []object.Derivative{derivative}, "derivatives"); err != nil {
		t.Fatal(err)
	}
	got := w.must(t, reader, "GET", "/v1/objects/"+id, nil, 200)
	if got.at("picture.width") != 4000.0 || got.text("picture.capturedAt") != "2026-05-01T10:00:00Z" || got.at("rev") != 2.0 {
		t.Errorf("object: %s", got.body)
	}
	out := w.must(t, reader, "GET", "/v1/objects/"+id+"/content?derivative=256", nil, 200)
	signed, err := url.Parse(out.text("url"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(signed.Path, derivative.S3Key) || signed.Query().Get("versionId") != "thumbnail" ||
		signed.Query().Get("response-content-disposition") != `attachment; filename="beach-256.jpg"` {
		t.Errorf("signed %s", signed)
	}
	w.refused(t, reader, "GET", "/v1/objects/"+id+"/content?derivative=1024", nil, 404, "not_found")
	w.refused(t, member("beta", "reader"), "GET", "/v1/objects/"+id+"/content?derivative=256", nil, 404, "not_found")
}

func TestWhyThereIsNoDerivative(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.publish(t, "alpha", "huge.png", "x")
	o, err := w.store.Object(t.Context(), "alpha", id)
	if err != nil {
		t.Fatal(err)
	}
	picture := object.Picture{Width: 50_000, Height: 50_000, Reason: &object.Reason{Code: fault.TooLarge, Detail: "the picture has 2500000000 pixels"}}
	if _, err := w.store.RecordPicture(t.Context(), o, picture, nil, "derivatives"); err != nil {
		t.Fatal(err)
	}
	out := w.refused(t, member("alpha", "reader"), "GET", "/v1/objects/"+id+"/content?derivative=256", nil, 404, "not_found")
	if !strings.Contains(out.text("detail"), "2500000000 pixels") || out.text("details.reason") != "too_large" {
		t.Errorf("does not say why: %s", out.body)
	}
	if got := w.must(t, member("alpha", "reader"), "GET", "/v1/objects/"+id, nil, 200); got.text("picture.reason.code") != "too_large" {
		t.Errorf("object: %s", got.body)
	}
}
