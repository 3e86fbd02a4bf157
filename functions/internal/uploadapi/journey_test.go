package uploadapi_test

import (
	"strings"
	"testing"
)

// TestJourney takes bytes all the way: opened, put into S3, published as ingest does, found,
// downloaded and deleted, with the quota right at each step.
func TestJourney(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer, content := member("alpha", "writer"), "the third quarter was fine\n"

	opened := w.must(t, writer, "POST", "/v1/uploads", fields{
		"path": "reports/2026/Übersicht q3.txt", "size": len(content), "contentType": "text/plain; charset=utf-8", "sha256": sum(content),
		"tags": fields{"quarter": "3"}, "metadata": fields{"author": "Ann"},
	}, 201)
	id := opened.text("upload.id")
	if opened.header.Get("Location") != "/v1/uploads/"+id || opened.text("upload.state") != "open" || opened.text("upload.mode") != "single" {
		t.Errorf("opened: %s", opened.body)
	}
	if got := w.usage(t, "alpha"); !strings.Contains(got, `"bytes":{"limit":10737418240,"reserved":27,"stored":0,"available":10737418213}`) ||
		!strings.Contains(got, `"openUploads":{"limit":1000,"reserved":1,"stored":0,"available":999}`) {
		t.Errorf("usage while open: %s", got)
	}

	headers, _ := opened.at("put.headers").(fields)
	status, answer, header := storage(t, opened.text("put.method"), opened.text("put.url"), headers, content)
	if status != 200 {
		t.Fatalf("put: %d %s", status, answer)
	}
	objectID := w.settle(t, "alpha", id, header.Get("X-Amz-Version-Id"), content)
	if got := w.must(t, writer, "GET", "/v1/uploads/"+id, nil, 200); got.text("state") != "available" || got.text("objectId") != objectID {
		t.Errorf("upload: %s", got.body)
	}

	found := w.must(t, writer, "GET", "/v1/objects?parent=reports/2026", nil, 200)
	if !strings.Contains(found.body, objectID) || found.at("nextCursor") != nil {
		t.Errorf("list: %s", found.body)
	}
	got := w.must(t, writer, "GET", "/v1/objects/"+objectID, nil, 200)
	if got.text("name") != "Übersicht q3.txt" || got.text("sha256") != sum(content) || got.text("tags.quarter") != "3" || got.text("metadata.author") != "Ann" || got.header.Get("ETag") != `"1"` {
		t.Errorf("object: %s %s", got.header.Get("ETag"), got.body)
	}

	read := w.must(t, writer, "GET", "/v1/objects/"+objectID+"/content", nil, 200)
	status, answer, header = storage(t, "GET", read.text("url"), nil, "")
	if status != 200 || answer != content || header.Get("Content-Disposition") != `attachment; filename="_bersicht q3.txt"; filename*=UTF-8''%C3%9Cbersicht%20q3.txt` {
		t.Errorf("download: %d %q %s", status, answer, header.Get("Content-Disposition"))
	}
	moved := w.must(t, writer, "GET", "/v1/objects/"+objectID+"/content?redirect=1&disposition=inline", nil, 307)
	if status, answer, header = storage(t, "GET", moved.header.Get("Location"), nil, ""); status != 200 || answer != content || !strings.HasPrefix(header.Get("Content-Disposition"), "inline") {
		t.Errorf("redirected: %d %q", status, answer)
	}

	w.must(t, writer, "DELETE", "/v1/objects/"+objectID, nil, 204)
	w.refused(t, writer, "GET", "/v1/objects/"+objectID+"/content", nil, 409, "not_available")
	if got := w.usage(t, "alpha"); !strings.Contains(got, `"reserved":0,"stored":27`) {
		t.Errorf("usage after a soft delete: %s", got)
	}

	for _, secret := range []string{"X-Amz-Signature", "bersicht", "Ann", w.creds.SessionToken[:20]} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
	if !strings.Contains(w.log.String(), `"workspace":"alpha"`) {
		t.Error("the log does not name the workspace")
	}
}
