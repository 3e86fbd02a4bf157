package uploadapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestUndelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer := member("alpha", "writer")
	id := w.publish(t, "alpha", "a/b.txt", "hello")
	path := "/v1/objects/" + id
	undelete := path + "/undelete"
	usage := w.usage(t, "alpha")

	if got := w.must(t, writer, "POST", undelete, nil, 200); got.at("rev") != 1.0 { // it is not deleted
		t.Errorf("answered %s", got.body)
	}
	w.must(t, writer, "DELETE", path, nil, 204)
	w.refused(t, writer, "POST", undelete, nil, 412, "precondition_failed", "If-Match", `"1"`)
	w.refused(t, writer, "POST", undelete, nil, 400, "invalid_argument", "If-Match", "1")
	back := w.must(t, writer, "POST", undelete, nil, 200, "If-Match", `"2"`)
	if back.text("state") != "available" || back.header.Get("ETag") != `"3"` || back.at("deletedAt") != nil || back.text("updatedBy") != fmt.Sprint(writer["sub"]) {
		t.Errorf("brought back: %s %s", back.header.Get("ETag"), back.body)
	}
	w.must(t, writer, "GET", path+"/content", nil, 200)
	if got := w.must(t, writer, "GET", "/v1/objects?parent=a", nil, 200); !strings.Contains(got.body, id) {
		t.Errorf("the folder holds %s", got.body)
	}
	if got := w.usage(t, "alpha"); got != usage {
		t.Errorf("usage is %s, was %s", got, usage)
	}

	// One key, one effect: the object is deleted again in between, and stays so.
	w.must(t, writer, "DELETE", path, nil, 204)
	w.must(t, writer, "POST", undelete, nil, 200, "Idempotency-Key", "k")
	w.must(t, writer, "DELETE", path, nil, 204)
	if got := w.must(t, writer, "POST", undelete, nil, 200, "Idempotency-Key", "k"); got.text("state") != "deleted" {
		t.Errorf("repeated: %s", got.body)
	}

	other := w.publish(t, "alpha", "a/b.txt", "another")
	w.refused(t, writer, "POST", undelete, nil, 409, "path_taken")
	w.must(t, writer, "DELETE", "/v1/objects/"+other, nil, 204)
	w.must(t, writer, "POST", undelete, nil, 200)
	w.refused(t, writer, "POST", "/v1/objects/"+other+"/undelete", nil, 409, "path_taken")

	w.refused(t, member("alpha", "reader"), "POST", undelete, nil, 403, "forbidden")
	w.refused(t, member("beta", "writer"), "POST", undelete, nil, 404, "not_found")
	w.refused(t, writer, "POST", "/v1/objects/nonsense/undelete", nil, 404, "not_found")
}

func TestVersionsOfAnObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reader := member("alpha", "reader")
	id := w.publish(t, "alpha", "a", "one")
	got := w.must(t, reader, "GET", "/v1/objects/"+id+"/versions", nil, 200)
	items, _ := got.at("items").([]any)
	if len(items) != 1 || items[0].(fields)["state"] != "available" || items[0].(fields)["size"] != 3.0 || items[0].(fields)["sha256"] != sum("one") || got.at("nextCursor") != nil {
		t.Errorf("versions: %s", got.body)
	}
	w.refused(t, member("beta", "reader"), "GET", "/v1/objects/"+id+"/versions", nil, 404, "not_found")
	w.refused(t, reader, "GET", "/v1/objects/x/versions", nil, 404, "not_found")
	w.refused(t, reader, "GET", "/v1/objects/"+id+"/versions?cursor=x", nil, 400, "invalid_argument")
}

func TestContentOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer, reader := member("alpha", "writer"), member("alpha", "reader")
	opened := w.must(t, writer, "POST", "/v1/uploads", declare("a.txt", "one"), 201)
	first := opened.text("upload.id")
	id := w.settle(t, "alpha", first, "s3-first", "one")
	content := "/v1/objects/" + id + "/content?version="
	reads := func(version, s3Version string) {
		t.Helper()
		signed, err := url.Parse(w.must(t, reader, "GET", content+version, nil, 200).text("url"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(signed.Path, "/"+id+"/"+version) || signed.Query().Get("versionId") != s3Version {
			t.Errorf("version %s is read at %s", version, signed.Path)
		}
	}
	reads(first, "s3-first")

	next := declare("a.txt", "second")
	next["ifExists"] = "version"
	second := w.must(t, writer, "POST", "/v1/uploads", next, 201).text("upload.id")
	w.refused(t, reader, "GET", content+second, nil, 404, "not_found") // not verified yet
	w.settle(t, "alpha", second, "s3-second", "second")
	reads(first, "s3-first")
	reads(second, "s3-second")

	w.refused(t, reader, "GET", content+"x", nil, 404, "not_found")
	w.refused(t, reader, "GET", content+first+"&derivative=256", nil, 400, "invalid_argument")
	w.refused(t, member("beta", "reader"), "GET", content+first, nil, 404, "not_found")
	other := w.publish(t, "alpha", "b.txt", "other")
	w.refused(t, reader, "GET", "/v1/objects/"+other+"/content?version="+first, nil, 404, "not_found")
}
