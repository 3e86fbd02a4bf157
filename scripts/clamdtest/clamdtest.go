// Package clamdtest runs a real clamd with a signature database of its own, for tests.
package clamdtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/child"
	"github.com/stowage-dev/stowage/shared/clamdscan"
)

// Malware is what the database knows, by the name of Signature: no malware at all, as that
// of EICAR is none. It is not EICAR's, which the scanners of those who check this source
// out would take away.
const (
	Malware   = "STOWAGE-STANDARD-MALWARE-TEST-BYTES"
	Signature = "Stowage.Test.Bytes.UNOFFICIAL"
)

// ready is how long clamd may take to start.
const ready = time.Minute

// Program is clamd, or an error that says how to get it.
func Program() (string, error) {
	if program, err := exec.LookPath("clamd"); err == nil {
		return program, nil
	}
	const debian = "/usr/sbin/clamd" // which is in root's path alone
	if _, err := os.Stat(debian); err != nil {
		return "", errors.New("there is no clamd: install the package clamav-daemon, as scripts/setup-ci does")
	}
	return debian, nil
}

// Start runs a clamd that takes streams of at most maxBytes until the test ends, and
// returns its address. Without a clamd the test is skipped; in CI it fails.
func Start(t *testing.T, maxBytes int64) string {
	t.Helper()
	program, err := Program()
	switch {
	case err != nil && os.Getenv("CI") != "":
		t.Fatal(err)
	case err != nil:
		t.Skip(err)
	}
	address, err := Run(t.Context(), program, t.TempDir(), maxBytes, t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// Run starts program with what it keeps in dir and returns its address once it answers.
// It hands cleanup what ends it.
func Run(ctx context.Context, program, dir string, maxBytes int64, cleanup func(func())) (string, error) {
	port, err := freePort(ctx)
	if err != nil {
		return "", err
	}
	database := filepath.Join(dir, "database")
	conf := filepath.Join(dir, "clamd.conf")
	text := fmt.Sprintf("Foreground yes\nDatabaseDirectory %s\nTCPAddr 127.0.0.1\nTCPSocket %d\nTemporaryDirectory %s\nMaxThreads 4\nConcurrentDatabaseReload no\n",
		database, port, dir) + clamdscan.Settings(maxBytes)
	signature := fmt.Sprintf("Stowage.Test.Bytes:0:*:%x\n", Malware)
	err = errors.Join(os.Mkdir(database, 0o755), //nolint:gosec // nothing secret
		os.WriteFile(filepath.Join(database, "test.ndb"), []byte(signature), 0o644), //nolint:gosec // nothing secret
		os.WriteFile(conf, []byte(text), 0o644))                                     //nolint:gosec // nothing secret
	if err != nil {
		return "", fmt.Errorf("prepare clamd: %w", err)
	}
	process, err := child.Start(exec.CommandContext(context.WithoutCancel(ctx), program, "--config-file="+conf))
	if err != nil {
		return "", fmt.Errorf("start clamd: %w", err)
	}
	cleanup(func() { process.Stop(5 * time.Second) }) //nolint:errcheck // it is done with
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	client := clamdscan.New(address)
	ctx, cancel := context.WithTimeout(ctx, ready)
	defer cancel()
	for {
		err := client.Ping(ctx)
		if err == nil {
			return address, nil
		}
		select {
		case <-process.Done():
			return "", fmt.Errorf("clamd ended: %w\n%s", process.Err(), process.Stderr())
		case <-ctx.Done():
			return "", fmt.Errorf("clamd does not answer: %w\n%s", err, process.Stderr())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
