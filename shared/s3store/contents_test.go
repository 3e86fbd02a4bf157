package s3store_test

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/s3store"
	"github.com/stowage-dev/stowage/shared/upload"
)

func putAt(t *testing.T, client *s3.Client, bucket, key, body string) object.Location {
	t.Helper()
	out, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader([]byte(body))})
	if err != nil {
		t.Fatal(err)
	}
	return object.Location{Key: key, VersionID: aws.ToString(out.VersionId)}
}

func TestContentsFromAnyPlace(t *testing.T) {
	client := startEngine(t).client(t)
	contents := s3store.NewContents(client, testBucket)
	want := map[object.Location]int64{}
	for i := range 7 {
		for v := range 1 + i%3 {
			want[putAt(t, client, testBucket, fmt.Sprintf("c/ws/ключ +%d", i), string(make([]byte, v)))] = int64(v)
		}
	}
	putAt(t, client, testBucket, "d/elsewhere", "x")
	gone := putAt(t, client, testBucket, "c/ws/marked", "x")
	want[gone] = 1
	if _, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(testBucket), Key: &gone.Key}); err != nil {
		t.Fatal(err)
	}

	var all []object.Stored
	for v, err := range contents.Versions(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if v.DeleteMarker || v.ModifiedAt.IsZero() {
			t.Errorf("listed %+v", v)
		}
		all = append(all, v)
	}
	got := map[object.Location]int64{}
	for _, v := range all {
		got[v.Location] = v.Size
	}
	if diff := cmp.Diff(want, got); diff != "" || len(all) != len(want) {
		t.Errorf("listed %d (-want +got):\n%s", len(all), diff)
	}
	for i, v := range all {
		var rest []object.Stored
		for v, err := range contents.Versions(t.Context(), v.Mark) {
			if err != nil {
				t.Fatal(err)
			}
			rest = append(rest, v)
		}
		if diff := cmp.Diff(all[i+1:], rest); diff != "" && len(all[i+1:])+len(rest) > 0 {
			t.Errorf("after %d of %d (-want +got):\n%s", i+1, len(all), diff)
		}
	}
	for _, mark := range []string{"nonsense", "%zz x", " x"} {
		for _, err := range contents.Versions(t.Context(), mark) {
			if !fault.Is(err, fault.InvalidArgument) {
				t.Errorf("mark %q: %v", mark, err)
			}
		}
	}
}

func TestMultipartsFromAnyPlace(t *testing.T) {
	client := startEngine(t).client(t)
	contents, multipart := s3store.NewContents(client, testBucket), s3store.NewMultipart(client, testBucket)
	var want []string
	for i := range 5 {
		key := fmt.Sprintf("c/ws/%d", i/2)
		id, err := multipart.CreateMultipart(t.Context(), upload.Upload{S3Key: key, ContentType: "text/plain"})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, key+" "+id)
	}
	slices.Sort(want)
	list := func(after string) (found []object.Parts) {
		for p, err := range contents.Multiparts(t.Context(), after) {
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, p)
		}
		return found
	}
	all := list("")
	var got []string
	for _, p := range all {
		got = append(got, p.Key+" "+p.UploadID)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("listed (-want +got):\n%s", diff)
	}
	for i, p := range all {
		rest := list(p.Mark)
		if len(rest) < len(all)-i-1 || len(rest) > 0 && rest[0].Key != p.Key {
			t.Errorf("after %d of %d: %v", i+1, len(all), rest)
		}
	}
	for range 2 {
		for _, p := range all {
			if err := contents.AbortParts(t.Context(), p); err != nil {
				t.Error(err)
			}
		}
	}
	if left := list(""); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}

// TestAbortUntilGone aborts while parts keep arriving.
func TestAbortUntilGone(t *testing.T) {
	client := startEngine(t).client(t)
	multipart := s3store.NewMultipart(client, testBucket)
	for round := range 10 {
		u := upload.Upload{S3Key: fmt.Sprint("c/ws/", round), ContentType: "text/plain"}
		var err error
		if u.S3UploadID, err = multipart.CreateMultipart(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		send := func(n int32) error {
			_, err := client.UploadPart(t.Context(), &s3.UploadPartInput{
				Bucket: aws.String(testBucket), Key: &u.S3Key, UploadId: &u.S3UploadID, PartNumber: &n, Body: bytes.NewReader(make([]byte, 64<<10)),
			})
			return err
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for n := int32(1); n < 50 && send(n) == nil; n++ {
			}
		}()
		for range 2 {
			if err := multipart.AbortUntilGone(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		}
		<-sent
		if _, err := multipart.AllParts(t.Context(), u); !fault.Is(err, fault.NotFound) {
			t.Errorf("round %d: parts are still there: %v", round, err)
		}
	}
}

// TestInventoryInARealBucket reads a report, and the bucket itself as long as there is none.
func TestInventoryInARealBucket(t *testing.T) {
	client := startEngine(t).client(t)
	now := time.Date(2026, 11, 3, 9, 0, 0, 0, time.UTC)
	inventory := s3store.NewInventory(client, s3store.InventoryConfig{
		Bucket: testBucket, Prefix: "inventory/content/versions", Now: func() time.Time { return now },
	}, s3store.NewContents(client, testBucket))
	list := func(after string) (keys, marks []string) {
		for v, err := range inventory.Versions(t.Context(), after) {
			if err != nil {
				t.Fatal(err)
			}
			keys, marks = append(keys, v.Key), append(marks, v.Mark)
		}
		return keys, marks
	}
	putAt(t, client, testBucket, "c/ws/live-1", "x")
	putAt(t, client, testBucket, "c/ws/live-2", "x")
	keys, live := list("")
	if diff := cmp.Diff([]string{"c/ws/live-1", "c/ws/live-2"}, keys); diff != "" {
		t.Errorf("without a report:\n%s", diff)
	}

	var file bytes.Buffer
	zip := gzip.NewWriter(&file)
	for _, key := range []string{"c%2Fws%2Freported-1", "c%2Fws%2Freported-2"} {
		fmt.Fprintf(zip, "\"content\",\"%s\",\"v\",\"true\",\"false\",\"12\",\"2026-11-02T01:00:00.000Z\"\n", key)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	putAt(t, client, testBucket, "inventory/content/versions/data/1.csv.gz", file.String())
	putAt(t, client, testBucket, "inventory/content/versions/2026-11-03T01-00Z/manifest.json", fmt.Sprintf(
		`{"fileFormat":"CSV","fileSchema":"Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate",
		"files":[{"key":"inventory/content/versions/data/1.csv.gz","size":%d,"MD5checksum":"%x"}]}`, file.Len(), md5.Sum(file.Bytes())))
	keys, marks := list("")
	if diff := cmp.Diff([]string{"c/ws/reported-1", "c/ws/reported-2"}, keys); diff != "" {
		t.Errorf("with a report:\n%s", diff)
	}
	for mark, want := range map[string]string{live[0]: "c/ws/live-2", marks[0]: "c/ws/reported-2"} {
		if keys, _ := list(mark); len(keys) != 1 || keys[0] != want {
			t.Errorf("from %q: %v, want %s: a pass goes on with the listing that it began", mark, keys, want)
		}
	}
}
