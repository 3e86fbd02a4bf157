package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/shared/client"
)

const (
	resumePartSize = 5 << 20
	resumeSize     = 12*resumePartSize + 1234
	resumeWorkers  = 3
)

// resumeContent is the same in every process.
func resumeContent() *bytes.Reader {
	var b bytes.Buffer
	b.Grow(resumeSize + 64)
	for line := 0; b.Len() < resumeSize; line++ {
		fmt.Fprintf(&b, "line %d of a file whose sender is killed\n", line)
	}
	return bytes.NewReader(b.Bytes()[:resumeSize])
}

// sendInParts is the body of the process that gets killed: it says the upload's id, then
// how many parts storage holds, each as it happens.
func sendInParts(api, token string) error {
	c, err := client.New(api, client.StaticToken(token), &client.Options{Workspace: "alpha"})
	if err != nil {
		return err
	}
	_, err = c.Put(context.Background(), client.NewUpload{
		Path: fmt.Sprintf("resume/%d.txt", time.Now().UnixNano()), ContentType: "text/plain", Mode: "multipart", PartSize: resumePartSize,
	}, resumeContent(), resumeSize, &client.PutOptions{
		Workers:  resumeWorkers,
		Opened:   func(u client.Upload) { fmt.Println("id", u.ID) },
		Progress: func(p client.Progress) { fmt.Println("parts", p.PartsSent) },
	})
	return err
}

// TestAKilledClientResumes kills the sending process after some parts and goes on in
// another one. Storage must hold every part that the first one saw acknowledged, so
// that no more than what was under way, one part for each worker, is sent again.
func TestAKilledClientResumes(t *testing.T) {
	l := launch(t, t.TempDir())
	for _, killAfter := range []int{0, 1, 5, 11} {
		t.Run(fmt.Sprintf("after %d parts", killAfter), func(t *testing.T) {
			id, acknowledged := sendAndKill(t, l, killAfter)
			c := l.client(t, "alpha")
			held := 0
			for _, err := range c.Parts(t.Context(), id) {
				if err != nil {
					t.Fatal(err)
				}
				held++
			}
			if held < acknowledged {
				t.Errorf("storage holds %d parts, %d were acknowledged", held, acknowledged)
			}
			reports := 0
			done, err := c.Resume(t.Context(), id, resumeContent(), &client.PutOptions{
				Workers: resumeWorkers, Progress: func(client.Progress) { reports++ },
			})
			if err != nil || done.State != "available" {
				t.Fatalf("resume: %+v, %v", done, err)
			}
			if reports != done.PartCount {
				t.Errorf("%d parts were taken over or sent, there are %d", reports, done.PartCount)
			}
			var got bytes.Buffer
			if _, err := c.Download(t.Context(), done.ObjectID, &got); err != nil {
				t.Fatal(err)
			}
			if want, err := io.ReadAll(resumeContent()); err != nil || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%d bytes came back, not the %d that were sent (%v)", got.Len(), len(want), err)
			}
		})
	}
}

// sendAndKill returns the upload's id and how many parts the killed process had seen acknowledged.
func sendAndKill(t *testing.T, l *local, killAfter int) (id string, acknowledged int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "E2E_SEND_API="+l.dev.APIURL, "E2E_SEND_TOKEN="+l.dev.Tokens["alpha"])
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		what, value, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "id":
			id = value
		case "parts":
			if _, err := fmt.Sscan(value, &acknowledged); err != nil {
				t.Fatalf("the sender said %q", lines.Text())
			}
		}
		if id != "" && acknowledged >= killAfter {
			break
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if id == "" {
		t.Fatal("the sender ended before it had opened an upload")
	}
	return id, acknowledged
}
