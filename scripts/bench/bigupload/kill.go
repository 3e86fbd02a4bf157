package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/shared/client"
)

// killAndResume kills a sending process at a random point, has another one go on, and returns how many
// parts were sent twice.
func killAndResume(ctx context.Context, workers int, env []string) (again int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("find this program: %w", err)
	}
	at, sent, parts, id := rand.Float64(), 0, 0, ""
	for _, how := range []string{"doomed", "resume"} {
		cmd := exec.CommandContext(ctx, self, "-workers", fmt.Sprint(workers))
		cmd.Env = append(env[:len(env):len(env)], "BIGUPLOAD_SENDER="+how, "BIGUPLOAD_ID="+id)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return 0, fmt.Errorf("listen to the sender: %w", err)
		}
		if err := cmd.Start(); err != nil {
			return 0, fmt.Errorf("start the sender: %w", err)
		}
		killed := false
		for lines := bufio.NewScanner(out); lines.Scan(); { // to the end: what it began before it died counts
			if n, _ := fmt.Sscanf(lines.Text(), "upload %s of %d", &id, &parts); n == 0 {
				sent++
			}
			if how == "doomed" && !killed && parts > 0 && float64(sent) > at*float64(parts) {
				killed = true
				_ = cmd.Process.Kill()
			}
		}
		if err := cmd.Wait(); err != nil && !killed {
			return 0, fmt.Errorf("the sender failed: %w", err)
		}
		if how == "doomed" {
			fmt.Printf("killed    when it had begun part %d of %d\n", sent, parts)
		}
	}
	again = sent - parts
	fmt.Printf("resumed   %d parts were sent again (at most %d: one by each worker)\n", again, resentParts*workers)
	return again, nil
}

// told says on standard output when a part is about to be sent.
type told struct{ http.RoundTripper }

func (t told) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPut && strings.Contains(r.URL.RawQuery, "partNumber=") {
		fmt.Println("part")
	}
	return t.RoundTripper.RoundTrip(r) //nolint:wrapcheck // as it is
}

// sendTold is the body of the process that is killed, and of the one that goes on.
func sendTold(ctx context.Context, how string, file *os.File, size int64, workers int) error {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.WriteBufferSize = workers, 256<<10
	c, err := connect(&http.Client{Transport: told{transport}})
	if err != nil {
		return err
	}
	options := &client.PutOptions{Workers: workers, Opened: func(u client.Upload) { fmt.Println("upload", u.ID, "of", u.PartCount) }}
	var done client.Upload
	if id := os.Getenv("BIGUPLOAD_ID"); how == "resume" {
		done, err = c.Resume(ctx, id, file, options)
	} else {
		done, err = c.Put(ctx, client.NewUpload{
			Path: fmt.Sprintf("bench/killed-%d.bin", time.Now().UnixNano()), ContentType: "application/octet-stream", Mode: "multipart",
		}, file, size, options)
	}
	if err == nil && done.State != "available" {
		err = fmt.Errorf("the upload ended as %s: %+v", done.State, done.Reason)
	}
	if err == nil {
		err = c.Delete(ctx, done.ObjectID)
	}
	return err
}
