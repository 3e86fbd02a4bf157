package e2e_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
