package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/stowage-dev/stowage/shared/client"
)

// bundleUppy makes one module of the Uppy that package-lock.json names.
func bundleUppy(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "uppy.js"} {
		raw, err := os.ReadFile(filepath.Join("browser", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range [][]string{
		{"npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"},
		{"node_modules/.bin/esbuild", "uppy.js", "--bundle", "--format=esm", "--target=es2022", "--outfile=bundle.js", "--log-level=warning"},
	} {
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...) // #nosec G204 -- the commands are above
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
		}
	}
	bundle, err := os.ReadFile(filepath.Join(dir, "bundle.js"))
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

// pageHandler serves the page with the strictest policy that the documentation allows:
// scripts of its own, and requests to the API, to storage and to data: URLs.
func pageHandler(t *testing.T, l *local) http.Handler {
	t.Helper()
	config, err := json.Marshal(map[string]string{"api": l.dev.APIURL, "workspace": "alpha", "token": l.dev.Tokens["alpha"]})
	if err != nil {
		t.Fatal(err)
	}
	bundle := bundleUppy(t)
	serve := func(name string, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServer(http.Dir("browser")))
	mux.Handle("GET /uppy.js", serve("uppy.js", bundle))
	mux.Handle("GET /config.json", serve("config.json", config))
	mux.HandleFunc("GET /stowage-uppy.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, "../../../docs/examples/stowage-uppy.js")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src data:; connect-src 'self' data: "+l.dev.APIURL+" "+l.dev.S3Endpoint)
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// allowing is the synthesized assembly as it would be with the setting `origins` naming one origin.
func allowing(t *testing.T, origin string) string {
	t.Helper()
	const assembly, setting = "../../../cdk.out", "http://127.0.0.1:3000"
	from, err := filepath.Abs(assembly)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	dir, replaced := t.TempDir(), 0
	for _, entry := range entries {
		path, to := filepath.Join(from, entry.Name()), filepath.Join(dir, entry.Name())
		if !strings.HasSuffix(entry.Name(), ".template.json") {
			err = os.Symlink(path, to)
		} else {
			var raw []byte
			if raw, err = os.ReadFile(path); err == nil {
				replaced += bytes.Count(raw, []byte(`"`+setting+`"`))
				err = os.WriteFile(to, bytes.ReplaceAll(raw, []byte(`"`+setting+`"`), []byte(`"`+origin+`"`)), 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if replaced < 2 { // the API's and the bucket's
		t.Fatalf("the assembly allows the origin %s %d times, want the API and the bucket to do so: was it synthesized with another setting `origins`?", setting, replaced)
	}
	return dir
}

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
	path := chromium(t)
	page := httptest.NewUnstartedServer(nil) // its origin goes into the template
	origin := "http://" + page.Listener.Addr().String()
	l := launch(t, t.TempDir(), "--cdk-out", allowing(t, origin), "--source", "../../..")
	page.Config.Handler = pageHandler(t, l)
	page.Start()
	t.Cleanup(page.Close)
	browser := newBrowser(t, path)
	for _, test := range []struct {
		name string
		run  func(*local, *tab, string)
	}{
		{"a small file goes in one PUT", uppySingle},
		{"the answer to the PUT is lost", uppyLostAnswer},
		{"a large file goes in parts", uppyMultipart},
		{"pause and resume", uppyPause},
		{"reload and resume", uppyReload},
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
	path, content := chosen(t, "lost-answer.txt", 5000)
	b.visit(origin)
	lost := b.loseAnswer(l.dev.S3Endpoint)
	b.pick(path)
	l.has(t, b.stored(), content)
	if !lost() {
		t.Error("no answer was lost")
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
	program, err := os.ReadFile("/proc/self/exe")
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

// uppyCORS sends to storage from the page's origin and from another, what a page may send
// and what it may not.
func uppyCORS(l *local, b *tab, origin string) {
	t := b.t
	elsewhere := strings.Replace(origin, "127.0.0.1", "localhost", 1)
	for i, test := range []struct {
		name, origin, header string
		want                 string
	}{
		{"what the API says", origin, "", "200 true true true false"},
		{"another header", origin, "x-amz-meta-note", "refused"},
		{"another origin", elsewhere, "", "refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := fmt.Sprintf("body %d", i)
			sum := sha256.Sum256([]byte(body))
			opened, err := l.client(t, "alpha").Open(t.Context(), client.NewUpload{Path: fmt.Sprintf("cors/%d.txt", i),
				Size: int64(len(body)), ContentType: "text/plain", SHA256: base64.StdEncoding.EncodeToString(sum[:])})
			if err != nil {
				t.Fatal(err)
			}
			headers := opened.Put.Headers
			if test.header != "" {
				headers[test.header] = "x"
			}
			arguments, err := json.Marshal([]any{opened.Put.URL, map[string]any{"method": "PUT", "headers": headers, "body": body}})
			if err != nil {
				t.Fatal(err)
			}
			b.visit(test.origin)
			var got string
			b.do(chromedp.Evaluate(`fetch(...`+string(arguments)+`).then((r) => [r.status,
				...["etag", "x-amz-version-id", "x-amz-checksum-sha256", "x-amz-request-id"].map((h) => r.headers.has(h))].join(" "), () => "refused")`,
				&got, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
			if got != test.want {
				t.Errorf("the page got %q, want %q\nthe browser said:\n%s", got, test.want, b.complained())
			}
		})
	}
}
