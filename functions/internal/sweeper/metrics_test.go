package sweeper_test

import (
	"bytes"
	"maps"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/functions/internal/sweeper"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
)

// TestWhatSweepsReport: alarms and the dashboard know these metrics by their names.
func TestWhatSweepsReport(t *testing.T) {
	w := newWorld(t, startS3(t))
	counts := func(when string, want map[string]int) {
		t.Helper()
		if got := w.metricsOf(); !maps.Equal(got, want) {
			t.Errorf("%s: counted %v, want %v", when, got, want)
		}
	}
	left, arrived := w.openSingle("left", 10), w.openSingle("arrived", 10)
	w.put(arrived, content(arrived))
	for _, key := range []string{object.Key(alpha, newID(), newID()), object.KeyPrefix + "not/ours"} {
		_, err := w.objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader([]byte("?"))})
		w.check(err)
	}
	lost := w.openMultipart("lost", 10, 2) // its record does not tell of the parts

	w.moveTo(arrived.ExpiresAt)
	if _, err := w.sweeperOver(broken{left.ID}).Handle(t.Context(), sweeper.Request{Sweep: sweeper.Uploads}); err != nil {
		t.Fatal(err)
	}
	counts("storage is down for one", map[string]int{"SweepLooked": 2, "SweepFailures": 1, "SweepUnverifiedUploads": 1, "SweepPasses": 1})
	w.sweep(sweeper.Uploads)
	counts("a client has gone", map[string]int{"SweepLooked": 1, "SweepExpiredUploads": 1, "SweepClosedUploads": 1, "SweepPasses": 1})
	w.move(24 * time.Hour)
	w.sweep(sweeper.Bytes)
	counts("a day later", map[string]int{"SweepLooked": 5, "SweepBytesWithoutUpload": 1, "SweepForeignKeys": 1, "SweepAbortedMultiparts": 1, "SweepRemovedSeals": 1, "SweepPasses": 1})
	w.moveTo(lost.ExpiresAt.Add(limits.UnknownBytes))
	w.sweep(sweeper.Bytes)
	got := w.metricsOf()
	if got["SweepDeletedVersions"] != 1 || got["SweepForeignKeys"] != 1 || got["SweepBytesWithoutUpload"] != 0 {
		t.Errorf("once nobody can claim them: counted %v", got)
	}
}
