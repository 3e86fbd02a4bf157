package s3_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
)

// eventually waits until a condition holds; in vain, it shows what is in the way.
func eventually(t *testing.T, what string, holds func() bool, inTheWay ...func() []string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	for _, show := range inTheWay {
		t.Log(show())
	}
	t.Fatalf("in vain: %s", what)
}

// TestKill kills the engine with -9 while it is written to, again and again: every version that the
// bucket then holds has been told, and every acknowledged put is held.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := start(t, dir)
	acknowledged := map[string]bool{}
	told := map[string]bool{}
	for round := range 5 {
		var (
			mu sync.Mutex
			wg sync.WaitGroup
			c  = e.client()

			done   int
			enough = make(chan struct{})
		)
		for w := range 4 {
			wg.Go(func() {
				for n := 0; ; n++ {
					out, err := c.PutObject(context.Background(), &awss3.PutObjectInput{Bucket: aws.String(bucket),
						Key: aws.String(fmt.Sprintf("%d/%d/%d", round, w, n%7)), Body: strings.NewReader("x")})
					if err != nil {
						return
					}
					mu.Lock()
					acknowledged[*out.VersionId] = true
					if done++; done == 15+round {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		if err := syscall.Kill(e.PID(), syscall.SIGKILL); err != nil {
			t.Fatalf("kill: %v", err)
		}
		wg.Wait()
		select {
		case err := <-e.Wait():
			if err == nil || !strings.Contains(err.Error(), "killed") {
				t.Errorf("Wait said %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("Wait did not say that the engine died")
		}
		e.start(t, dir)
	}
	held := versions(t, e)
	missing := func() (missing []string) {
		for _, ev := range e.take() {
			told[ev.VersionID] = true
		}
		for v, key := range held {
			if !told[v] {
				missing = append(missing, key+" "+v)
			}
		}
		return missing
	}
	eventually(t, "every version is told of", func() bool { return len(missing()) == 0 }, missing)
	for v := range acknowledged {
		if held[v] == "" {
			t.Errorf("the acknowledged version %s is gone", v)
		}
	}
}

// versions are the keys of all versions that the bucket holds.
func versions(t *testing.T, e *engine) map[string]string {
	t.Helper()
	held := map[string]string{}
	p := awss3.NewListObjectVersionsPaginator(e.client(), &awss3.ListObjectVersionsInput{Bucket: aws.String(bucket)})
	for p.HasMorePages() {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatalf("list versions: %v", err)
		}
		for _, v := range page.Versions {
			held[*v.VersionId] = *v.Key
		}
	}
	return held
}

// TestEventIsToldUntilItIsTaken has the runtime refuse an event, then take it, in the same run and
// after a restart.
func TestEventIsToldUntilItIsTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := start(t, dir)
	e.setRefuse(errors.New("the queue is full"))
	put := e.put(t, "now", "x") // the client is not made to pay
	e.setRefuse(nil)
	eventually(t, "the event is told again", func() bool {
		events := e.take()
		return len(events) == 1 && events[0].VersionID == *put.VersionId
	})

	e.setRefuse(errors.New("the queue is full"))
	put = e.put(t, "later", "x")
	if err := e.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	e.setRefuse(nil)
	e.take()
	e.start(t, dir)
	eventually(t, "the event is told after a restart", func() bool {
		events := e.take()
		return len(events) == 1 && events[0].VersionID == *put.VersionId && events[0].Sequencer != ""
	})
	if left, err := os.ReadDir(filepath.Join(dir, "outbox")); err != nil || len(left) != 0 {
		t.Errorf("left in the outbox: %v, %v", left, err)
	}
}

// TestIntentsAreFollowedUp leaves behind what a kill between a change and its event leaves behind.
func TestIntentsAreFollowedUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := start(t, dir)
	ctx, c := t.Context(), e.client()
	old := e.put(t, "key", "before")
	longer := e.put(t, "key2", "another key that begins so")
	time.Sleep(200 * time.Millisecond) // beyond the doubt about when something happened
	begun := time.Now().UTC().Format(time.RFC3339Nano)
	put := e.put(t, "key", "after")
	marker, err := c.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("key2")})
	if err != nil {
		t.Fatalf("delete: %v", err)
	}
	if _, err := c.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("key"), VersionId: old.VersionId}); err != nil {
		t.Fatalf("delete a version: %v", err)
	}
	for _, k := range []string{"gone", "put"} {
		if _, err := c.PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(flat), Key: &k, Body: strings.NewReader("1")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: aws.String(flat), Key: aws.String("gone")}); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	e.take()
	for n, intent := range []string{
		`{"Event":"ObjectCreated:Put","Bucket":"content","Targets":[{"Key":"key"}],"Started":"` + begun + `"}`,
		`{"Bucket":"content","Targets":[{"Key":"key2","Delete":true}],"Started":"` + begun + `"}`,
		`{"Bucket":"content","Targets":[{"Key":"key","VersionID":"` + *old.VersionId + `","Delete":true},{"Key":"key","VersionID":"` + *put.VersionId + `","Delete":true}],"Started":"` + begun + `"}`,
		`{"Bucket":"flat","Targets":[{"Key":"gone","Delete":true},{"Key":"put","Delete":true}],"Started":"` + begun + `"}`,
		`{"Event":"ObjectCreated:Put","Bucket":"flat","Targets":[{"Key":"put"}],"Started":"` + begun + `"}`,
		`{"Event":"ObjectCreated:Put","Bucket":"content","Targets":[{"Key":"never"}],"Started":"` + begun + `"}`,
		`{"Event":"ObjectTagging:Put","Bucket":"content","Targets":[{"Key":"key"}],"Started":"` + begun + `"}`,
		`{"Event":"ObjectCreated:Put","Buck`,
	} {
		if err := os.WriteFile(filepath.Join(dir, "outbox", fmt.Sprintf("%020d.intent", n+100)), []byte(intent), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e.start(t, dir)
	want := []string{
		"ObjectCreated:Put content/key " + *put.VersionId,
		"ObjectRemoved:DeleteMarkerCreated content/key2 " + *marker.VersionId,
		"ObjectRemoved:Delete content/key " + *old.VersionId,
		"ObjectRemoved:Delete flat/gone ",
		"ObjectCreated:Put flat/put ",
		"ObjectTagging:Put content/key ",
	}
	var got []string
	for _, ev := range e.take() {
		got = append(got, fmt.Sprintf("%s %s/%s %s", ev.Name, ev.Bucket, ev.Key, ev.VersionID))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("told\n%s\nwant\n%s\n(the other key's first version is %s)", strings.Join(got, "\n"), strings.Join(want, "\n"), *longer.VersionId)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "outbox")); err != nil || len(left) != 0 {
		t.Errorf("left in the outbox: %v, %v", left, err)
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	pid := e.PID()
	e.put(t, "x", "x")
	begun := time.Now()
	if err := e.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("stopping took %v", took)
	}
	if err := <-e.Wait(); err != nil {
		t.Errorf("Wait said %v of an engine that was stopped", err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the engine's process is still there (%v)", err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := s3.Config{Dir: t.TempDir(), Region: region, MasterKey: masterKey(), Buckets: []s3.Bucket{{Name: bucket}}}
	for name, test := range map[string]struct {
		change func(*s3.Config)
		want   string
	}{
		"short master key": {func(c *s3.Config) { c.MasterKey = c.MasterKey[1:] }, "the master key has 31 bytes"},
		"no directory":     {func(c *s3.Config) { c.Dir = filepath.Join(file, "x") }, "not a directory"},
		"bad CORS method": {func(c *s3.Config) {
			c.Buckets = []s3.Bucket{{Name: bucket, CORS: []s3.CORSRule{{AllowedOrigins: []string{"*"}, AllowedMethods: []string{"PATCH"}}}}}
		}, "bucket content: CORS rules"},
		"no such binary": {func(c *s3.Config) { c.Argv = []string{file} }, "permission denied"},
		"argument":       {func(c *s3.Config) { c.Argv = []string{os.Args[0], s3.Command, "--verbose"} }, "standard input alone"},
	} {
		cfg := good
		test.change(&cfg)
		e, err := s3.Start(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), test.want) || e != nil {
			t.Errorf("%s: got %v, want an error that says %q", name, err, test.want)
		}
	}
}
