package event_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/event"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
)

func sample(state object.State, rev int64, version string) *object.Object {
	o := &object.Object{
		Workspace: "alpha", ID: "01JBQ8G7Z0Y5X4W3V2T1S0R9QP", Path: "docs/a.txt", Parent: "docs", Name: "a.txt",
		State: state, Rev: rev, Version: version, Size: 3, ContentType: "text/plain", DetectedType: "text/plain",
		SHA256: "c2hh", CRC64NVME: "Y3Jj", ETag: "etag", S3Key: "c/secret", S3VersionID: "s3v", Integrity: object.Verified, Stored: 5,
		Tags:      map[string]string{"k": "v"},
		Picture:   &object.Picture{Width: 4, Height: 3, CapturedAt: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), Derivatives: []string{"256"}},
		CreatedAt: time.Date(2026, 11, 3, 1, 2, 3, 0, time.UTC), CreatedBy: "ann",
		UpdatedAt: time.Date(2026, 11, 3, 4, 5, 6, 7e6, time.UTC), UpdatedBy: "bob",
	}
	switch state {
	case object.Rejected:
		o.Reason = &object.Reason{Code: fault.SizeMismatch, Detail: "too short"}
	case object.Deleted:
		o.DeletedAt = o.UpdatedAt
	default:
	}
	return o
}

func TestFromTransition(t *testing.T) {
	t.Parallel()
	type o = *object.Object
	for _, tc := range []struct {
		name          string
		before, after o
		want          event.Type
		rev           int64
	}{
		{"nothing", nil, nil, "", 0},
		{"published", nil, sample(object.Available, 1, "A"), event.Available, 1},
		{"published for a scanner", nil, sample(object.Quarantined, 1, "A"), event.Quarantined, 1},
		{"refused", nil, sample(object.Rejected, 1, "A"), event.Rejected, 1},
		{"scanned", sample(object.Quarantined, 1, "A"), sample(object.Available, 2, "A"), event.Available, 2},
		{"infected", sample(object.Quarantined, 1, "A"), sample(object.Rejected, 2, "A"), event.Rejected, 2},
		{"new version", sample(object.Available, 1, "A"), sample(object.Available, 2, "B"), event.Versioned, 2},
		{"retagged", sample(object.Available, 2, "B"), sample(object.Available, 3, "B"), event.Updated, 3},
		{"deleted", sample(object.Available, 3, "B"), sample(object.Deleted, 4, "B"), event.Deleted, 4},
		{"undeleted", sample(object.Deleted, 4, "B"), sample(object.Available, 5, "B"), event.Undeleted, 5},
		{"undeleted for a scanner", sample(object.Deleted, 4, "B"), sample(object.Quarantined, 5, "B"), event.Undeleted, 5},
		{"purged", sample(object.Deleted, 4, "B"), nil, event.Purged, 5},
		{"rewritten as it was", sample(object.Available, 2, "A"), sample(object.Available, 2, "A"), "", 0},
		{"rewritten with the same rev", sample(object.Available, 2, "A"), sample(object.Available, 2, "B"), "", 0},
		{"unknown state", nil, sample("lost", 1, "A"), "", 0},
	} {
		e, ok := event.FromTransition(tc.before, tc.after)
		if ok != (tc.want != "") || e.Type != tc.want || e.Rev != tc.rev {
			t.Errorf("%s: %t, %s, rev %d, want %q, rev %d", tc.name, ok, e.Type, e.Rev, tc.want, tc.rev)
		}
		if tc.before != nil && ok && e.Data.Previous != tc.before.State {
			t.Errorf("%s: previous state is %q", tc.name, e.Data.Previous)
		}
	}
}

func TestCloudEventsJSON(t *testing.T) {
	t.Parallel()
	e, _ := event.FromTransition(nil, sample(object.Available, 1, "01JBQ8G7Z0Y5X4W3V2T1S0R9QQ"))
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{
		"specversion": "1.0",
		"id": "01JBQ8G7Z0Y5X4W3V2T1S0R9QP.1",
		"source": "/workspaces/alpha",
		"type": "dev.stowage.object.available",
		"subject": "01JBQ8G7Z0Y5X4W3V2T1S0R9QP",
		"time": "2026-11-03T04:05:06.007Z",
		"datacontenttype": "application/json",
		"workspace": "alpha",
		"rev": 1,
		"data": {
			"id": "01JBQ8G7Z0Y5X4W3V2T1S0R9QP", "workspace": "alpha",
			"path": "docs/a.txt", "parent": "docs", "name": "a.txt",
			"state": "available", "rev": 1, "version": "01JBQ8G7Z0Y5X4W3V2T1S0R9QQ",
			"size": 3, "stored": 5, "contentType": "text/plain", "detectedType": "text/plain",
			"sha256": "c2hh", "crc64nvme": "Y3Jj", "integrity": "verified", "tags": {"k": "v"},
			"picture": {"width": 4, "height": 3, "capturedAt": "2026-05-01T00:00:00Z", "derivatives": ["256"]},
			"createdAt": "2026-11-03T01:02:03Z", "createdBy": "ann",
			"updatedAt": "2026-11-03T04:05:06.007Z", "updatedBy": "bob"
		}
	}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event is:\n%s", diff)
	}
}

func TestJSONRoundTrip(t *testing.T) {
	t.Parallel()
	for _, o := range []*object.Object{sample(object.Rejected, 1, "A"), sample(object.Deleted, 7, "B")} {
		e, _ := event.FromTransition(nil, o)
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var back event.Event
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Errorf("came back as:\n%s", diff)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"specversion":"1.0","id":"a.1","rev":1,"data":{"id":"a"}}`))
	f.Add([]byte(`{"specversion":"0.3"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var e event.Event
		if json.Unmarshal(text, &e) != nil {
			return
		}
		if _, err := json.Marshal(e); err != nil {
			t.Errorf("%s was read and cannot be written: %v", text, err)
		}
	})
}
