// Command bigupload holds shared/client against a raw loop of parallel PUTs: the same
// file, in the same parts, with as many workers, to the same S3 server, in one run. The
// raw loop neither verifies nor resumes anything; what it reaches is the limit.
//
//	go run ./scripts/bench/bigupload -local .tools/stowage-local -gib 5
//
// Each sender is a process of its own, so that its memory can be told, and so that one can be
// killed (kill -9) at a random point: another process then goes on, and what was sent twice is
// counted. It exits 1 when a figure is not reached, unless -check=false.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stowage-dev/stowage/scripts/command"
	"github.com/stowage-dev/stowage/scripts/demo/target"
	"github.com/stowage-dev/stowage/shared/client"
)

// Figures to reach.
const (
	leastRatio  = 0.8 // of the raw loop's speed
	mostRSS     = 128 // MiB
	resentParts = 1   // by each worker, after a kill
)

// options are what the command line says.
type options struct {
	local   string
	size    int64
	workers int
	check   bool
}

func main() {
	local := flag.String("local", ".tools/stowage-local", "local runtime `binary`")
	gib := flag.Float64("gib", 5, "size in GiB")
	workers := flag.Int("workers", 4, "parts sent at a time")
	check := flag.Bool("check", true, "fail when a figure is not reached")
	flag.Parse()
	os.Exit(command.Run("bigupload", func(ctx context.Context) error {
		if how := os.Getenv("BIGUPLOAD_SENDER"); how != "" {
			return send(ctx, how, *workers)
		}
		return run(ctx, options{local: *local, size: int64(*gib * (1 << 30)), workers: *workers, check: *check})
	}))
}

func run(ctx context.Context, o options) error {
	if o.size < 1 || o.workers < 1 {
		return fmt.Errorf("%d bytes with %d workers: both must be at least 1", o.size, o.workers)
	}
	file, err := makeFile(o.size)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file) }()
	state := filepath.Join(".stowage", "bench")
	stack, err := target.StartLocal(ctx, o.local, state)
	if err != nil {
		return err
	}
	missed, benchErr := measure(ctx, stack, file, o)
	if benchErr == nil && o.check {
		benchErr = missed
	}
	return errors.Join(benchErr, stack.Stop(), os.RemoveAll(state)) // which holds the file several times
}

// measure returns which figures were missed.
func measure(ctx context.Context, stack *target.Local, file string, o options) (missed, err error) {
	token, err := stack.Alpha(ctx)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	if err := raiseQuota(ctx, stack.API, token, 8*o.size); err != nil {
		return nil, err
	}
	env := append(os.Environ(), "BIGUPLOAD_API="+stack.API, "BIGUPLOAD_TOKEN="+token, "BIGUPLOAD_FILE="+file)
	ratio, rss, err := compare(ctx, o, env)
	if err != nil {
		return nil, err
	}
	if ratio < leastRatio {
		missed = fmt.Errorf("client / raw is %.2f, want at least %.1f", ratio, leastRatio)
	}
	if rss > mostRSS {
		missed = errors.Join(missed, fmt.Errorf("the client took %.0f MiB, want at most %d", rss, mostRSS))
	}
	again, err := killAndResume(ctx, o.workers, env)
	if err != nil {
		return nil, err
	}
	if most := resentParts * o.workers; again > most {
		missed = errors.Join(missed, fmt.Errorf("%d parts were sent again, want at most %d", again, most))
	}
	return missed, nil
}

// raiseQuota lets the workspace hold so many bytes: what is deleted counts until it is purged.
func raiseQuota(ctx context.Context, api, token string, size int64) error {
	body := fmt.Sprintf(`{"bytes":%d,"objects":100,"openUploads":100,"maxObjectBytes":%d}`, size, size)
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, api+"/v1/workspaces/alpha/quota", strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("raise the quota: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Stowage-Workspace", "alpha")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("raise the quota: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		return fmt.Errorf("raise the quota: the API answered %d %s", res.StatusCode, text)
	}
	return nil
}

// compare runs the raw loop, the client and the raw loop again, so that neither gains
// from a warm cache alone. It returns the ratio of the best of each, and the most memory
// that the client took, in MiB.
func compare(ctx context.Context, o options, env []string) (ratio, rss float64, err error) {
	mib := float64(o.size) / (1 << 20)
	var raw, ours float64 // MiB/s, the best of each
	for _, how := range []string{"raw", "client", "raw", "client"} {
		took, kib, err := sender(ctx, how, o.workers, env)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", how, err)
		}
		fmt.Printf("%-8s %8.0f MiB/s   %6.1f MiB RSS\n", how, mib/took.Seconds(), float64(kib)/1024)
		if how == "raw" {
			raw = max(raw, mib/took.Seconds())
		} else {
			ours, rss = max(ours, mib/took.Seconds()), max(rss, float64(kib)/1024)
		}
	}
	fmt.Printf("client / raw = %.2f (at least %.1f), %.0f MiB RSS (at most %d)\n", ours/raw, leastRatio, rss, mostRSS)
	return ours / raw, rss, nil
}

// sender runs one sending process. It reports how long the bytes took and the peak of
// its resident memory in KiB.
func sender(ctx context.Context, how string, workers int, env []string) (time.Duration, int64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, 0, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, "-workers", fmt.Sprint(workers))
	cmd.Env = append(env[:len(env):len(env)], "BIGUPLOAD_SENDER="+how)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, 0, fmt.Errorf("the sender failed: %w", err)
	}
	var took time.Duration
	if err := json.Unmarshal(out, &took); err != nil {
		return 0, 0, fmt.Errorf("the sender said %q: %w", out, err)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, 0, errors.New("this system does not tell a process's memory")
	}
	return took, usage.Maxrss, nil
}

func connect(sender *http.Client) (*client.Client, error) {
	return client.New(os.Getenv("BIGUPLOAD_API"), client.StaticToken(os.Getenv("BIGUPLOAD_TOKEN")), &client.Options{Workspace: "alpha", HTTPClient: sender})
}

func send(ctx context.Context, how string, workers int) error {
	c, err := connect(nil)
	if err != nil {
		return err
	}
	file, err := os.Open(os.Getenv("BIGUPLOAD_FILE"))
	if err != nil {
		return fmt.Errorf("open the file to send: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("size of the file: %w", err)
	}
	if how == "doomed" || how == "resume" {
		return sendTold(ctx, how, file, info.Size(), workers)
	}
	upload := client.NewUpload{
		Path: fmt.Sprintf("bench/%s-%d.bin", how, time.Now().UnixNano()), ContentType: "application/octet-stream", Mode: "multipart",
	}
	start, sent := time.Now(), time.Time{}
	var object, id string
	switch how {
	case "raw":
		id, err = sendRaw(ctx, c, upload, file, info.Size(), workers)
		sent = time.Now()
		if err == nil { // what it sent is not an object yet: give the space back
			err = c.Abort(ctx, id)
		}
	default:
		var done client.Upload
		done, err = c.Put(ctx, upload, file, info.Size(), &client.PutOptions{Workers: workers, Progress: func(p client.Progress) {
			if p.PartsSent == p.Parts {
				sent = time.Now()
			}
		}})
		object = done.ObjectID
		if err == nil && done.State != "available" {
			err = fmt.Errorf("the upload ended as %s: %+v", done.State, done.Reason)
		}
		if err == nil {
			err = c.Delete(ctx, object)
		}
	}
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(sent.Sub(start)); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// sendRaw is what anybody would write first: every part signed, then PUT by workers.
func sendRaw(ctx context.Context, c *client.Client, upload client.NewUpload, file *os.File, size int64, workers int) (string, error) {
	upload.Size = size
	opened, err := c.Open(ctx, upload)
	if err != nil {
		return "", err
	}
	var parts []client.SignedPart
	for first := 1; first <= opened.Upload.PartCount; first += 1000 {
		var numbers []int
		for n := first; n <= min(first+999, opened.Upload.PartCount); n++ {
			numbers = append(numbers, n)
		}
		signed, err := c.SignParts(ctx, opened.Upload.ID, numbers...)
		if err != nil {
			return opened.Upload.ID, err
		}
		parts = append(parts, signed...)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.WriteBufferSize = workers, 256<<10
	sender := &http.Client{Transport: transport}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, part := range parts {
		group.Go(func() error {
			body := io.NewSectionReader(file, int64(part.PartNumber-1)*opened.Upload.PartSize, part.Size)
			req, err := http.NewRequestWithContext(ctx, part.Method, part.URL, body)
			if err != nil {
				return errors.New("a signed part has no usable URL")
			}
			req.ContentLength = part.Size
			res, err := sender.Do(req)
			if err != nil {
				return fmt.Errorf("part %d could not be sent", part.PartNumber)
			}
			defer func() { _ = res.Body.Close() }()
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
				return fmt.Errorf("part %d: status %d: %w", part.PartNumber, res.StatusCode, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return opened.Upload.ID, fmt.Errorf("send: %w", err)
	}
	return opened.Upload.ID, nil
}

// makeFile writes a file in which no two MiB are alike.
func makeFile(size int64) (name string, err error) {
	file, err := os.CreateTemp("", "bigupload-*")
	if err != nil {
		return "", fmt.Errorf("make the file to send: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	block := bytes.Repeat([]byte("stowage benchmark "), 1<<20/18+1)[:1<<20]
	for at := int64(0); at < size; at += int64(len(block)) {
		copy(block, fmt.Sprintf("block %020d", at))
		if _, err := file.Write(block[:min(int64(len(block)), size-at)]); err != nil {
			return "", errors.Join(fmt.Errorf("write the file to send: %w", err), os.Remove(file.Name()))
		}
	}
	return file.Name(), nil
}
