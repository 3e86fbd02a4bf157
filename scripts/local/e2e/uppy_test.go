package e2e_test

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/stowage-dev/stowage/scripts/chromiumtest"
)

// result waits until Uppy says that it is done.
func (b *tab) result() (r uppyResult) {
	b.t.Helper()
	b.sees(`page.result !== null`)
	b.do(chromedp.Evaluate(`page.result`, &r))
	return r
}

type uppyResult struct {
	Objects []string `json:"objects"`
	Errors  []string `json:"errors"`
}

// stored is the object that Uppy says it has stored.
func (b *tab) stored() string {
	b.t.Helper()
	r := b.result()
	if len(r.Objects) != 1 || len(r.Errors) > 0 {
		b.t.Fatalf("Uppy says %+v, want one object\nthe page said:\n%s", r, b.complained())
	}
	return r.Objects[0]
}

// chosen writes a file that is to be uploaded.
func chosen(t *testing.T, name string, size int) (path string, content []byte) {
	t.Helper()
	line := []byte("a line of the file " + name + " that a browser uploads\n")
	content = bytes.Repeat(line, size/len(line)+1)[:size]
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, content
}

// has fails unless an object is available and holds exactly the content.
func (l *local) has(t *testing.T, objectID string, content []byte) {
	t.Helper()
	c := l.client(t, "alpha")
	object, err := c.Object(t.Context(), objectID)
	if err != nil || object.State != "available" {
		t.Fatalf("object %q: %+v, %v", objectID, object, err)
	}
	var got bytes.Buffer
	if _, err := c.Download(t.Context(), objectID, &got); err != nil || !bytes.Equal(got.Bytes(), content) {
		t.Errorf("%d bytes came back, not the %d that were sent (%v)", got.Len(), len(content), err)
	}
}

// held lists the parts that storage has.
func (l *local) held(t *testing.T, uploadID string) []int {
	t.Helper()
	var parts []int
	for part, err := range l.client(t, "alpha").Parts(t.Context(), uploadID) {
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part.PartNumber)
	}
	return parts
}

const (
	uppyPartSize  = 8 << 20
	uppyPartCount = 6
	uppyFileSize  = (uppyPartCount-1)*uppyPartSize + 1234
)

// TestUppy uploads with the real Uppy in a real browser, from another origin than the API's
// and the bucket's, so that both must allow all that it takes.
func TestUppy(t *testing.T) {
	chromium := chromiumtest.Options(t)
	page := httptest.NewUnstartedServer(nil) // its origin goes into the template
	origin := "http://" + page.Listener.Addr().String()
	l := launch(t, t.TempDir(), "--cdk-out", allowing(t, origin), "--source", "../../..")
	page.Config.Handler = pageHandler(t, l)
	page.Start()
	t.Cleanup(page.Close)
	browser := newBrowser(t, chromium)
	for _, test := range []struct {
		name string
		run  func(*local, *tab, string)
	}{
		{"a small file goes in one PUT", uppySingle},
		{"the answer to the PUT is lost", uppyLostAnswer},
		{"a large file goes in parts", uppyMultipart},
		{"pause and resume", uppyPause},
		{"reload and resume", uppyReload},
		{"reload and begin anew", uppyBeginAnew},
		{"cancel", uppyCancel},
		{"a refused file", uppyRefused},
		{"what the bucket lets a page do", uppyCORS},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(l, openTab(t, browser), origin) })
	}
}

func uppySingle(l *local, b *tab, origin string) {
	t := b.t
	for _, size := range []int{0, 1, 1 << 20} {
		path, content := chosen(t, "single-"+strconv.Itoa(size)+".txt", size)
		b.visit(origin)
		b.pick(path)
		l.has(t, b.stored(), content)
	}
	if said := b.complained(); said != "" {
		t.Errorf("the page complained:\n%s", said)
	}
	if parts := b.sent(); len(parts) > 0 {
		t.Errorf("parts %v were sent", parts)
	}
}

// uppyLostAnswer cuts the connection once storage has taken the file. Uppy sends it again,
// which storage refuses: it has the file.
func uppyLostAnswer(l *local, b *tab, origin string) {
	t := b.t
	for _, size := range []int{0, 5000, 16 << 20} {
		path, content := chosen(t, "lost-answer-"+strconv.Itoa(size)+".txt", size)
		b.visit(origin)
		lost := b.loseAnswer(l.dev.S3Endpoint)
		b.pick(path)
		l.has(t, b.stored(), content)
		if !lost() {
			t.Errorf("%d bytes: no answer was lost", size)
		}
	}
}

func uppyMultipart(l *local, b *tab, origin string) {
	t := b.t
	path, content := chosen(t, "multipart.txt", uppyFileSize)
	b.visit(origin)
	b.pick(path)
	l.has(t, b.stored(), content)
	if parts := b.sent(); !slices.Equal(parts, through(1, uppyPartCount)) {
		t.Errorf("parts %v were sent, want each of %d once", parts, uppyPartCount)
	}
	if said := b.complained(); said != "" {
		t.Errorf("the page complained:\n%s", said)
	}
}

// uploadID is the upload of the only file on the page.
func (b *tab) uploadID() (id string) {
	b.t.Helper()
	b.do(chromedp.Evaluate(`page.uppy.getFiles()[0].s3Multipart.uploadId`, &id))
	return id
}

func uppyPause(l *local, b *tab, origin string) {
	t := b.t
	path, content := chosen(t, "paused.txt", uppyFileSize)
	b.visit(origin)
	b.do(chromedp.Evaluate(`page.pauseAfter = 2`, nil))
	b.pick(path)
	b.sees(`page.parts.length === 2`)
	time.Sleep(time.Second) // for parts that come although they should not
	if parts := b.sent(); !slices.Equal(parts, through(1, 2)) {
		t.Errorf("parts %v were sent, want none after the pause at 2", parts)
	}
	if held := l.held(t, b.uploadID()); !slices.Equal(held, through(1, 2)) {
		t.Errorf("storage has parts %v, want 1 and 2", held)
	}
	b.do(chromedp.Evaluate(`page.uppy.resumeAll()`, nil))
	l.has(t, b.stored(), content)
	if parts := b.sent(); !slices.Equal(parts, through(3, uppyPartCount)) {
		t.Errorf("parts %v were sent after the pause, want the rest", parts)
	}
	if said := b.complained(); said != "" {
		t.Errorf("the page complained:\n%s", said)
	}
}

// uppyReload leaves the page in the middle of a part, comes back and picks the file again.
func uppyReload(l *local, b *tab, origin string) {
	t := b.t
	path, content := chosen(t, "reloaded.txt", uppyFileSize)
	b.visit(origin)
	b.do(slow(2 << 20))
	b.pick(path)
	b.sees(`page.parts.length === 2`)
	id := b.uploadID()
	b.do(chromedp.Navigate("about:blank"), slow(-1))
	held, began := l.held(t, id), b.sent()
	if len(held) < 2 || len(began) == uppyPartCount || !slices.Equal(held, through(1, len(held))) {
		t.Fatalf("storage has parts %v, and %v were sent before the page was left; want some of %d", held, began, uppyPartCount)
	}
	b.visit(origin)
	b.pick(path)
	l.has(t, b.stored(), content)
	if parts := b.sent(); !slices.Equal(parts, through(len(held)+1, uppyPartCount)) {
		t.Errorf("storage had parts %v, parts %v were sent", held, parts)
	}
	if upload, err := l.client(t, "alpha").Upload(t.Context(), id); err != nil || upload.State != "available" {
		t.Errorf("the upload that was begun before the reload is %+v, %v; want it to have been finished", upload, err)
	}
}

// uppyBeginAnew comes back to an upload that has ended in the meantime.
func uppyBeginAnew(l *local, b *tab, origin string) {
	t := b.t
	path, content := chosen(t, "ended.txt", uppyFileSize)
	b.visit(origin)
	b.do(chromedp.Evaluate(`page.pauseAfter = 1`, nil))
	b.pick(path)
	b.sees(`page.parts.length === 1`)
	if err := l.client(t, "alpha").Abort(t.Context(), b.uploadID()); err != nil {
		t.Fatal(err)
	}
	b.sent()
	b.visit(origin)
	b.pick(path)
	l.has(t, b.stored(), content)
	if parts := b.sent(); !slices.Equal(parts, through(1, uppyPartCount)) {
		t.Errorf("parts %v were sent, want all of them again", parts)
	}
}

func uppyCancel(l *local, b *tab, origin string) {
	t := b.t
	path, _ := chosen(t, "cancelled.txt", uppyFileSize)
	b.visit(origin)
	b.do(chromedp.Evaluate(`page.pauseAfter = 1`, nil))
	b.pick(path)
	b.sees(`page.parts.length === 1`)
	id := b.uploadID()
	b.do(chromedp.Evaluate(`page.uppy.cancelAll()`, nil))
	deadline := time.Now().Add(time.Minute)
	for c := l.client(t, "alpha"); ; time.Sleep(50 * time.Millisecond) {
		upload, err := c.Upload(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if upload.State == "aborted" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the upload is %s, want it aborted", upload.State)
		}
	}
}

// uppyRefused uploads a program, which the workspace does not take, under an innocent name.
func uppyRefused(_ *local, b *tab, origin string) {
	t := b.t
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self) // #nosec G304 -- this test's own binary
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "harmless.txt")
	if err := os.WriteFile(path, program[:1<<20], 0o600); err != nil {
		t.Fatal(err)
	}
	b.visit(origin)
	b.pick(path)
	if r := b.result(); len(r.Errors) != 1 || len(r.Objects) != 0 {
		t.Errorf("Uppy says %+v, want the file refused", r)
	}
}

// through gives the whole numbers from first to last.
func through(first, last int) []int {
	var all []int
	for n := first; n <= last; n++ {
		all = append(all, n)
	}
	return all
}
