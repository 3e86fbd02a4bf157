package s3store_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/s3store"
)

func TestReader(t *testing.T) {
	client := startEngine(t).client(t)
	key, body := "c/a/b/c", bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	var first object.Location
	for i, content := range [][]byte{body, []byte("a later version")} {
		out, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(testBucket), Key: &key, Body: bytes.NewReader(content)})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = object.Location{Key: key, VersionID: aws.ToString(out.VersionId)}
		}
	}
	r := s3store.NewReader(client, testBucket)
	stream, err := r.Open(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if got, err := io.ReadAll(stream); err != nil || !bytes.Equal(got, body) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	for _, gone := range []object.Location{{Key: key, VersionID: "01KB3Z5V0QJ8W4N6T2M9R7XHCE"}, {Key: "c/a/b/none", VersionID: first.VersionID}} {
		if _, err := r.Open(t.Context(), gone); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v, want not_found", gone, err)
		}
	}
}
