package s3store_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/s3store"
)

func TestQuarantine(t *testing.T) {
	client := startEngine(t).client(t)
	q := s3store.NewQuarantine(client, testBucket)
	body := []byte("the bytes of an object")
	sum := sha256.Sum256(body)
	digest := base64.StdEncoding.EncodeToString(sum[:])
	put := func(t *testing.T, key string) object.Location {
		t.Helper()
		out, err := client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: aws.String(testBucket), Key: &key, Body: bytes.NewReader(body), ChecksumSHA256: &digest,
		})
		if err != nil {
			t.Fatal(err)
		}
		return object.Location{Key: key, VersionID: aws.ToString(out.VersionId)}
	}

	t.Run("inspect", func(t *testing.T) {
		at := put(t, "a")
		put(t, "a") // a later version changes nothing
		got, err := q.Inspect(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		if got.ETag == "" || got.ETag[0] == '"' {
			t.Errorf("ETag is %s", got.ETag)
		}
		got.ETag = ""
		want := object.Facts{Size: int64(len(body)), SHA256: digest, S3VersionID: at.VersionID}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("inspect what was uploaded in parts", func(t *testing.T) {
		for checksum, want := range map[types.ChecksumAlgorithm]bool{types.ChecksumAlgorithmCrc64nvme: true, types.ChecksumAlgorithmSha256: false} {
			got, err := q.Inspect(t.Context(), inParts(t, client, string(checksum), checksum, body))
			if err != nil {
				t.Fatal(err)
			}
			if whole := got.CRC64NVME != "" || got.SHA256 != ""; whole != want || got.Size != int64(len(body)) {
				t.Errorf("%s: %+v, want a checksum of all bytes: %t", checksum, got, want)
			}
		}
	})

	t.Run("first bytes", func(t *testing.T) {
		at := put(t, "b")
		for _, n := range []int{1, len(body) - 1, len(body), len(body) + 1, 3072} {
			got, err := q.FirstBytes(t.Context(), at, n)
			if err != nil {
				t.Fatal(err)
			}
			if want := body[:min(n, len(body))]; !bytes.Equal(got, want) {
				t.Errorf("first %d bytes are %q, want %q", n, got, want)
			}
		}
	})

	t.Run("verdict", func(t *testing.T) {
		at, other := put(t, "c"), put(t, "c")
		for _, verdict := range []string{object.VerdictRejected, object.VerdictAvailable} {
			if err := q.SetVerdict(t.Context(), at, verdict); err != nil {
				t.Fatal(err)
			}
		}
		for at, want := range map[object.Location]int{at: 1, other: 0} {
			out, err := client.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: aws.String(testBucket), Key: &at.Key, VersionId: &at.VersionID})
			if err != nil && want > 0 {
				t.Fatal(err)
			}
			if out != nil && len(out.TagSet) != want {
				t.Errorf("%s has the tags %v, want %d", at, out.TagSet, want)
			}
		}
	})

	t.Run("delete", func(t *testing.T) {
		at, other := put(t, "d"), put(t, "d")
		for range 2 { // the second finds nothing, which is what was wanted
			if err := q.Delete(t.Context(), at); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := q.Inspect(t.Context(), at); !fault.Is(err, fault.NotFound) {
			t.Errorf("inspecting what was deleted: %v, want not found", err)
		}
		if _, err := q.FirstBytes(t.Context(), at, 1); !fault.Is(err, fault.NotFound) {
			t.Errorf("reading what was deleted: %v, want not found", err)
		}
		if err := q.SetVerdict(t.Context(), at, object.VerdictAvailable); !fault.Is(err, fault.NotFound) {
			t.Errorf("tagging what was deleted: %v, want not found", err)
		}
		if _, err := q.Inspect(t.Context(), other); err != nil {
			t.Errorf("the other version: %v", err)
		}
	})

	t.Run("a delete marker", func(t *testing.T) {
		put(t, "e")
		out, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(testBucket), Key: aws.String("e")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.Inspect(t.Context(), object.Location{Key: "e", VersionID: aws.ToString(out.VersionId)}); !fault.Is(err, fault.NotFound) {
			t.Errorf("got %v, want not found", err)
		}
	})
}

// inParts uploads body as the one part of a multipart upload.
func inParts(t *testing.T, client *s3.Client, key string, algorithm types.ChecksumAlgorithm, body []byte) object.Location {
	t.Helper()
	bucket := aws.String(testBucket)
	up, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: &key, ChecksumAlgorithm: algorithm})
	if err != nil {
		t.Fatal(err)
	}
	part, err := client.UploadPart(t.Context(), &s3.UploadPartInput{
		Bucket: bucket, Key: &key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: bytes.NewReader(body), ChecksumAlgorithm: algorithm,
	})
	if err != nil {
		t.Fatal(err)
	}
	done, err := client.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{
		Bucket: bucket, Key: &key, UploadId: up.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{
			ETag: part.ETag, PartNumber: aws.Int32(1), ChecksumCRC64NVME: part.ChecksumCRC64NVME, ChecksumSHA256: part.ChecksumSHA256,
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return object.Location{Key: key, VersionID: aws.ToString(done.VersionId)}
}

// TestQuarantineFaults: what may pass later is transient; what an operator has to mend
// is neither that nor the fault of the object.
func TestQuarantineFaults(t *testing.T) {
	for status, want := range map[int]fault.Code{
		http.StatusForbidden:           fault.Internal,
		http.StatusBadRequest:          fault.Internal,
		http.StatusNotFound:            fault.NotFound,
		http.StatusMethodNotAllowed:    fault.NotFound,
		http.StatusTooManyRequests:     fault.Unavailable,
		http.StatusInternalServerError: fault.Unavailable,
		http.StatusServiceUnavailable:  fault.Unavailable,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		q := s3store.NewQuarantine(newClientWithoutRetries(srv.URL), testBucket)
		if _, err := q.Inspect(t.Context(), object.Location{Key: "k", VersionID: "v"}); fault.CodeOf(err) != want {
			t.Errorf("status %d gives %v, want %s", status, err, want)
		}
		srv.Close()
	}
	q := s3store.NewQuarantine(newClientWithoutRetries("http://127.0.0.1:1"), testBucket)
	if _, err := q.Inspect(t.Context(), object.Location{Key: "k", VersionID: "v"}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("no answer gives %v, want unavailable", err)
	}
}

func newClientWithoutRetries(endpoint string) *s3.Client {
	return s3.New(newClient(endpoint, aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b", CanExpire: true, Expires: time.Now().Add(time.Hour)}).Options(),
		func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
}
