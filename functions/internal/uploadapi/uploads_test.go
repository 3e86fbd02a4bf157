package uploadapi_test

import (
	"encoding/base64"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

// TestRefusedUploads: each is refused with what is wrong, and takes no quota.
func TestRefusedUploads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(t, "alpha", "taken.txt", "x")
	before := w.usage(t, "alpha")
	with := func(changes fields) fields {
		f := declare("new.txt", "content")
		maps.Copy(f, changes)
		return f
	}
	without := func(name string) fields {
		f := declare("new.txt", "content")
		delete(f, name)
		return f
	}
	many := fields{}
	for i := range 51 {
		many[strings.Repeat("k", i+1)] = "v"
	}
	for _, tc := range []struct {
		name     string
		body     any
		status   int
		code     string
		location string
	}{
		{"no path", without("path"), 400, "invalid_argument", "body"},
		{"empty path", with(fields{"path": ""}), 400, "invalid_argument", "body.path"},
		{"absolute path", with(fields{"path": "/a"}), 400, "invalid_argument", "body.path"},
		{"folder", with(fields{"path": "a/"}), 400, "invalid_argument", "body.path"},
		{"empty segment", with(fields{"path": "a//b"}), 400, "invalid_argument", "body.path"},
		{"dot", with(fields{"path": "a/./b"}), 400, "invalid_argument", "body.path"},
		{"dot dot", with(fields{"path": "a/../b"}), 400, "invalid_argument", "body.path"},
		{"control character", with(fields{"path": "a\u0000b"}), 400, "invalid_argument", "body.path"},
		{"line end", with(fields{"path": "a\nb"}), 400, "invalid_argument", "body.path"},
		{"text that runs backwards", with(fields{"path": "gpj.\u202Eexe"}), 400, "invalid_argument", "body.path"},
		{"not NFC", with(fields{"path": "u\u0308"}), 400, "invalid_argument", "body.path"},
		{"long path", with(fields{"path": strings.Repeat("a", 1025)}), 400, "invalid_argument", "body.path"},
		{"path of many bytes", with(fields{"path": strings.Repeat("é", 513)}), 400, "invalid_argument", "body.path"},
		{"taken path", with(fields{"path": "taken.txt"}), 409, "path_taken", ""},
		{"no size", without("size"), 400, "invalid_argument", "body"},
		{"negative size", with(fields{"size": -1}), 400, "invalid_argument", "body.size"},
		{"fractional size", with(fields{"size": 1.5}), 400, "invalid_argument", "body.size"},
		{"size as text", with(fields{"size": "7"}), 400, "invalid_argument", "body.size"},
		{"a size beyond int64", `{"path":"a","size":9223372036854775808,"contentType":"text/plain","sha256":"` + sum("") + `"}`, 400, "invalid_argument", "body"},
		{"a byte more than single carries", with(fields{"size": 100<<20 + 1}), 413, "too_large", ""},
		{"no type", without("contentType"), 400, "invalid_argument", "body"},
		{"empty type", with(fields{"contentType": ""}), 400, "invalid_argument", "body.contentType"},
		{"no type at all", with(fields{"contentType": "text"}), 400, "invalid_argument", "body.contentType"},
		{"type with a line end", with(fields{"contentType": "text/plain\r\nx-amz-tagging: a=b"}), 400, "invalid_argument", "body.contentType"},
		{"type with two spaces", with(fields{"contentType": "text/plain;  charset=utf-8"}), 400, "invalid_argument", "body.contentType"},
		{"type with a space before", with(fields{"contentType": " text/plain"}), 400, "invalid_argument", "body.contentType"},
		{"type beyond ASCII", with(fields{"contentType": `text/plain; name="é"`}), 400, "invalid_argument", "body.contentType"},
		{"denied type", with(fields{"contentType": "application/x-msdownload"}), 415, "unsupported_type", ""},
		{"denied type in capitals", with(fields{"contentType": "Application/X-MSDownload; a=b"}), 415, "unsupported_type", ""},
		{"no checksum", without("sha256"), 400, "invalid_argument", "body.sha256"},
		{"short checksum", with(fields{"sha256": base64.StdEncoding.EncodeToString(make([]byte, 31))}), 400, "invalid_argument", "body.sha256"},
		{"checksum in hex", with(fields{"sha256": strings.Repeat("0", 44)}), 400, "invalid_argument", "body.sha256"},
		{"checksum that is not canonical", with(fields{"sha256": sum("x")[:42] + "B="}), 400, "invalid_argument", "body.sha256"},
		{"other mode", with(fields{"mode": "post"}), 400, "invalid_argument", "body.mode"},
		{"parts of a single put", with(fields{"partSize": 5 << 20}), 400, "invalid_argument", "body.partSize"},
		{"other choice", with(fields{"ifExists": "overwrite"}), 400, "invalid_argument", "body.ifExists"},
		{"too many tags", with(fields{"tags": many}), 400, "invalid_argument", "body.tags"},
		{"long tag", with(fields{"tags": fields{"k": strings.Repeat("v", 257)}}), 400, "invalid_argument", "body.tags"},
		{"tag that is no text", with(fields{"tags": fields{"k": 1}}), 400, "invalid_argument", "body.tags.k"},
		{"much metadata", with(fields{"metadata": fields{"k": strings.Repeat("v", 2048)}}), 400, "invalid_argument", "body.metadata"},
		{"a URL for no time", with(fields{"expiresIn": 0}), 400, "invalid_argument", "body.expiresIn"},
		{"a URL for too long", with(fields{"expiresIn": 3601}), 400, "invalid_argument", "body.expiresIn"},
		{"unknown field", with(fields{"workspace": "beta"}), 400, "invalid_argument", "body.workspace"},
		{"duplicate field", `{"path":"a","path":"b","size":0,"contentType":"text/plain","sha256":"` + sum("") + `"}`, 400, "invalid_argument", "body"},
		{"invalid UTF-8", "{\"path\":\"\xff\"}", 400, "invalid_argument", "body"},
		{"an array", `[]`, 400, "invalid_argument", "body"},
		{"ten megabytes", `{"path":"` + strings.Repeat("a", 10<<20) + `"}`, 413, "too_large", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := w.refused(t, member("alpha", "writer"), "POST", "/v1/uploads", tc.body, tc.status, tc.code)
			if tc.location != "" && !strings.Contains(out.body, `"location":"`+tc.location+`"`) {
				t.Errorf("does not blame %s: %s", tc.location, out.body)
			}
		})
	}
	if after := w.usage(t, "alpha"); after != before {
		t.Errorf("refused uploads took quota: %s, was %s", after, before)
	}
}

func TestWhatIsSigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	out := w.must(t, member("alpha", "writer"), "POST", "/v1/uploads", fields{
		"path": "secret plans.pdf", "size": 100 << 20, "contentType": "application/pdf", "sha256": sum("x"), "expiresIn": 60,
	}, 201)
	signed, err := url.Parse(out.text("put.url"))
	if err != nil {
		t.Fatal(err)
	}
	q := signed.Query()
	if q.Get("X-Amz-SignedHeaders") != "content-length;content-type;host;if-none-match;x-amz-checksum-sha256" || q.Get("X-Amz-Expires") != "60" {
		t.Errorf("query %v", q)
	}
	if key := signed.Path; key != "/"+testBucket+"/"+object.Key("alpha", out.text("upload.objectId"), out.text("upload.id")) {
		t.Errorf("key %s: it should hold ids, and nothing that the client chose", key)
	}
	headers, _ := out.at("put.headers").(fields)
	want := fields{"content-type": "application/pdf", "if-none-match": "*", "x-amz-checksum-sha256": sum("x")}
	if !maps.Equal(headers, want) {
		t.Errorf("headers %v, want %v", headers, want)
	}
	urlEnds, err := time.Parse(time.RFC3339, out.text("put.expiresAt"))
	if err != nil {
		t.Fatal(err)
	}
	uploadEnds, err := time.Parse(time.RFC3339, out.text("upload.expiresAt"))
	if err != nil || uploadEnds.Sub(urlEnds).Truncate(time.Second) != time.Hour {
		t.Errorf("the upload ends at %s, its URL at %s: slow bytes need time", uploadEnds, urlEnds)
	}
	if again := w.must(t, member("alpha", "reader"), "GET", "/v1/uploads/"+out.text("upload.id"), nil, 200); strings.Contains(again.body, "X-Amz") {
		t.Errorf("a reader was given a URL to write with: %s", again.body)
	}
}

func TestPathsThatExist(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer := member("alpha", "writer")
	id := w.publish(t, "alpha", "a.txt", "one")
	taken := w.refused(t, writer, "POST", "/v1/uploads", declare("a.txt", "two"), 409, "path_taken")
	if taken.text("details.objectId") != id {
		t.Errorf("does not name the owner: %s", taken.body)
	}
	next := declare("a.txt", "two")
	next["ifExists"] = "version"
	opened := w.must(t, writer, "POST", "/v1/uploads", next, 201)
	if opened.text("upload.objectId") != id {
		t.Errorf("a version of %s became %s", id, opened.text("upload.objectId"))
	}
	if got := w.settle(t, "alpha", opened.text("upload.id"), "v2", "two"); got != id {
		t.Errorf("published as %s", got)
	}
	if got := w.must(t, writer, "GET", "/v1/objects/"+id, nil, 200); got.text("version") != opened.text("upload.id") || got.at("rev") != 2.0 || got.at("size") != 3.0 {
		t.Errorf("after the second version: %s", got.body)
	}
	w.must(t, writer, "DELETE", "/v1/objects/"+id, nil, 204)
	if other := w.publish(t, "alpha", "a.txt", "three"); other == id {
		t.Error("a deleted object came back with a new upload")
	}
}

func TestAbort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer := member("alpha", "writer")
	before := w.usage(t, "alpha")
	id := w.must(t, writer, "POST", "/v1/uploads", declare("a.txt", "one"), 201).text("upload.id")
	w.must(t, writer, "DELETE", "/v1/uploads/"+id, nil, 204)
	w.must(t, writer, "DELETE", "/v1/uploads/"+id, nil, 204)
	if got := w.must(t, writer, "GET", "/v1/uploads/"+id, nil, 200); got.text("state") != string(upload.Aborted) || got.text("endedAt") == "" {
		t.Errorf("aborted: %s", got.body)
	}
	if after := w.usage(t, "alpha"); after != before {
		t.Errorf("usage %s, was %s", after, before)
	}

	done := w.must(t, writer, "POST", "/v1/uploads", declare("b.txt", "one"), 201).text("upload.id")
	w.settle(t, "alpha", done, "v", "one")
	w.refused(t, writer, "DELETE", "/v1/uploads/"+done, nil, 409, "upload_ended")

	for _, id := range []string{"x", "01KB3Z5V0QJ8W4N6T2M9R7XHCE", strings.ToLower(id), "%00", "..%2f"} {
		w.refused(t, writer, "DELETE", "/v1/uploads/"+id, nil, 404, "not_found")
		w.refused(t, writer, "GET", "/v1/uploads/"+id, nil, 404, "not_found")
	}
}

func TestRejectedUploadTellsWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer := member("alpha", "writer")
	opened := w.must(t, writer, "POST", "/v1/uploads", declare("a.txt", "one"), 201)
	u, err := w.store.Upload(t.Context(), "alpha", opened.text("upload.id"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.RejectUpload(t.Context(), u, object.Facts{Size: 3, S3VersionID: "v"}, object.Reason{Code: "checksum_mismatch", Detail: "other bytes"}); err != nil {
		t.Fatal(err)
	}
	got := w.must(t, writer, "GET", "/v1/uploads/"+u.ID, nil, 200)
	if got.text("state") != "rejected" || got.text("reason.code") != "checksum_mismatch" || got.text("reason.detail") != "other bytes" {
		t.Errorf("upload: %s", got.body)
	}
	got = w.must(t, writer, "GET", "/v1/objects/"+u.ObjectID, nil, 200)
	if got.text("state") != "rejected" || got.text("reason.code") != "checksum_mismatch" {
		t.Errorf("object: %s", got.body)
	}
	w.refused(t, writer, "GET", "/v1/objects/"+u.ObjectID+"/content", nil, 409, "not_available")
	w.refused(t, writer, "DELETE", "/v1/objects/"+u.ObjectID, nil, 409, "conflict")
	if got := w.must(t, writer, "GET", "/v1/objects?state=rejected", nil, 200); !strings.Contains(got.body, u.ObjectID) {
		t.Errorf("rejected ones: %s", got.body)
	}
}

// FuzzPath opens an upload for any path: it is opened under exactly that path, or refused
// with the path blamed; never half.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"a", "a/b.txt", "/", "a//b", "..", "ü", "u\u0308", "\u202E", "a\x00", "\xff", "CON", strings.Repeat("a/", 512) + "b", "c/alpha/x"} {
		f.Add(seed)
	}
	w := newWorld(f)
	writer := member("alpha", "writer")
	f.Fuzz(func(t *testing.T, path string) {
		if !utf8.ValidString(path) {
			return // cannot be said in JSON; TestRefusedUploads sends it raw
		}
		out := w.call(t, writer, "POST", "/v1/uploads", declare(path, "x"))
		switch out.status {
		case 201:
			if out.text("upload.path") != path || object.ValidatePath(path) != nil {
				t.Errorf("%q was opened as %q", path, out.text("upload.path"))
			}
			w.must(t, writer, "DELETE", "/v1/uploads/"+out.text("upload.id"), nil, 204)
		case 400:
			if object.ValidatePath(path) == nil || !strings.Contains(out.body, `"location":"body.path"`) {
				t.Errorf("%q: %s", path, out.body)
			}
		default:
			t.Errorf("%q: %d %s", path, out.status, out.body)
		}
	})
}
