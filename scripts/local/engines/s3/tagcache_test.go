package s3_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
)

// TestTagsAreNeverThoseOfBefore: whoever has changed an object, and has heard so, finds its tags changed,
// however many ask for them meanwhile.
func TestTagsAreNeverThoseOfBefore(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	c, ctx := e.client(), t.Context()
	key := aws.String("watched")
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_, _ = e.ObjectTags(ctx, bucket, *key, "") // whatever it is at the moment
				}
			}
		})
	}
	defer readers.Wait()
	defer close(done)
	want := func(step string, n int, value string) {
		t.Helper()
		tags, err := e.ObjectTags(ctx, bucket, *key, "")
		if value == "" && !errors.Is(err, s3.ErrNoObject) || value != "" && (err != nil || tags["n"] != value) {
			t.Fatalf("round %d, after %s: %v, %v; want %q", n, step, tags, err, value)
		}
	}
	for n := range 30 {
		value := fmt.Sprint("put-", n)
		if _, err := c.PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: key, Body: strings.NewReader("x"), Tagging: aws.String("n=" + value)}); err != nil {
			t.Fatal(err)
		}
		want("put", n, value)
		value = fmt.Sprint("tagged-", n)
		if _, err := c.PutObjectTagging(ctx, &awss3.PutObjectTaggingInput{Bucket: aws.String(bucket), Key: key,
			Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("n"), Value: &value}}}}); err != nil {
			t.Fatal(err)
		}
		want("tagging", n, value)
		if _, err := c.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: aws.String(bucket), Key: key}); err != nil {
			t.Fatal(err)
		}
		want("deletion", n, "")
	}
}
