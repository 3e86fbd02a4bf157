// Package chromiumtest finds the Chromium in which tests look at pages.
package chromiumtest

import (
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// ready is how long Chromium may take to start, on a machine that has much else to do.
const ready = 2 * time.Minute

// Program is Chromium, or an error that says how to get it. STOWAGE_CHROMIUM goes before
// what is in the path. scripts/setup-ci looks for the same names.
func Program() (string, error) {
	if path := os.Getenv("STOWAGE_CHROMIUM"); path != "" {
		return path, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no Chromium: install it (Debian: apt-get install chromium), or name it in STOWAGE_CHROMIUM")
}

// Options start a Chromium without a window. Without one the test is skipped; in CI it
// fails.
func Options(t *testing.T) []chromedp.ExecAllocatorOption {
	t.Helper()
	program, err := Program()
	switch {
	case err != nil && os.Getenv("CI") != "":
		t.Fatal(err)
	case err != nil:
		t.Skip(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.WSURLReadTimeout(ready))
	if os.Getuid() == 0 { // Chromium's sandbox refuses root
		options = append(options, chromedp.NoSandbox)
	}
	return options
}
