package s3store_test

import (
	"bytes"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/s3store"
)

func TestPictures(t *testing.T) {
	t.Parallel()
	client := startEngine(t).client(t)
	pictures := s3store.NewPictures(client, testBucket)
	ctx := t.Context()
	const key = "d/alpha/object/version/256"

	first, err := pictures.Write(ctx, key, "image/jpeg", []byte("small"))
	if err != nil || first == "" {
		t.Fatalf("written as %q, %v", first, err)
	}
	tags, err := client.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: aws.String(testBucket), Key: aws.String(key), VersionId: &first})
	if err != nil || len(tags.TagSet) != 1 || aws.ToString(tags.TagSet[0].Key) != object.VerdictTag || aws.ToString(tags.TagSet[0].Value) != object.VerdictAvailable {
		t.Errorf("tagged as %+v, %v", tags, err)
	}
	again, err := pictures.Write(ctx, key, "image/jpeg", []byte("another"))
	if err != nil || again != first {
		t.Errorf("written again as %q, want %q: %v", again, first, err)
	}

	at := object.Location{Key: key, VersionID: first}
	for most, want := range map[int64]fault.Code{4: fault.TooLarge, 5: "", 6: ""} {
		data, err := pictures.Read(ctx, at, most)
		if fault.CodeOf(err) != want || err == nil && !bytes.Equal(data, []byte("small")) {
			t.Errorf("read at most %d bytes: %q, %v", most, data, err)
		}
	}
	head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(testBucket), Key: aws.String(key)})
	if err != nil || aws.ToString(head.ContentType) != "image/jpeg" {
		t.Errorf("stored as %+v, %v", head, err)
	}

	for range 2 {
		if err := pictures.Delete(ctx, at); err != nil {
			t.Error(err)
		}
	}
	if _, err := pictures.Read(ctx, at, 10); !fault.Is(err, fault.NotFound) {
		t.Errorf("read what was deleted: %v", err)
	}
}
