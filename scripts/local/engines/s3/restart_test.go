package s3_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

// TestRestart writes through kills of the engine, which comes back at the same
// address and is not reported as dead: what was acknowledged is held and told.
func TestRestart(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	address, c := e.Endpoint(), e.client()
	ctx, stop := context.WithCancel(t.Context())
	var acknowledged []string
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			out, err := c.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String(fmt.Sprint(n)), Body: strings.NewReader("x")})
			if err == nil {
				acknowledged = append(acknowledged, *out.VersionId)
			}
		}
	})
	for range 3 {
		time.Sleep(50 * time.Millisecond)
		if err := e.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := e.ObjectTags(t.Context(), bucket, "0", ""); err != nil {
			t.Errorf("tags after a restart: %v", err)
		}
	}
	stop()
	writer.Wait()
	if len(acknowledged) == 0 || e.Endpoint() != address {
		t.Fatalf("%d writes, address %s then %s", len(acknowledged), address, e.Endpoint())
	}
	told := map[string]bool{}
	eventually(t, "every acknowledged version is told", func() bool {
		for _, event := range e.take() {
			told[event.VersionID] = true
		}
		for _, version := range acknowledged {
			if !told[version] {
				return false
			}
		}
		return true
	})
	select {
	case err := <-e.Wait():
		t.Errorf("reported as dead: %v", err)
	default:
	}
}
