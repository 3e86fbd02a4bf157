package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/authority"
	"github.com/stowage-dev/stowage/scripts/local/unprivileged"
)

// maxSocketPath is what the shortest limit of a Unix socket's path leaves for the
// directory: 104 bytes on macOS, less the file's name.
const maxSocketPath = 80

// Program is the directory where npm puts the engine for this machine.
func Program(nodeModules string) string {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	return filepath.Join(nodeModules, "@embedded-postgres", runtime.GOOS+"-"+arch, "native")
}

func (e *Engine) data() string { return filepath.Join(e.cfg.Dir, "data") }

// prepare makes all that the server needs before it can start for the first time.
func (e *Engine) prepare(ctx context.Context) error {
	for _, path := range []*string{&e.cfg.Dir, &e.cfg.Program} { // the server runs in another directory
		var err error
		if *path, err = filepath.Abs(*path); err != nil {
			return err //nolint:wrapcheck // it says what failed
		}
	}
	if _, err := os.Stat(filepath.Join(e.cfg.Program, "bin", "postgres")); err != nil {
		return fmt.Errorf("find the engine: %w; run `make setup`", err)
	}
	if err := restoreLinks(e.cfg.Program); err != nil {
		return err
	}
	if err := os.MkdirAll(e.cfg.Dir, 0o700); err != nil {
		return err //nolint:wrapcheck // it names the directory
	}
	var err error
	if e.authority == nil {
		if e.authority, err = authority.Open(filepath.Join(e.cfg.Dir, "authority")); err != nil {
			return err
		}
	}
	if e.socket, err = socketDir(e.cfg.Dir); err != nil {
		return err
	}
	if e.user, err = unprivileged.Choose(ctx, filepath.Join(e.cfg.Program, "bin", "postgres"), "--version"); err != nil {
		return err
	}
	if err := e.user.Take(e.cfg.Dir, e.socket); err != nil {
		return err
	}
	return e.initialize(ctx)
}

// restoreLinks makes the symbolic links of the libraries, which an npm package cannot
// hold and its install script makes, where npm is set to run such scripts.
func restoreLinks(program string) error {
	text, err := os.ReadFile(filepath.Join(program, "pg-symlinks.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	var links []struct{ Source, Target string } // paths below the package
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("read the engine's pg-symlinks.json: %w", err)
	}
	root := filepath.Dir(program)
	for _, link := range links {
		target := filepath.Join(root, filepath.FromSlash(link.Target))
		if _, err := os.Lstat(target); err == nil {
			continue
		}
		source, err := filepath.Rel(filepath.Dir(link.Target), link.Source)
		if err != nil {
			return fmt.Errorf("link %s: %w", link.Target, err)
		}
		if err := os.Symlink(source, target); err != nil && !errors.Is(err, fs.ErrExist) {
			return err //nolint:wrapcheck // it names the file
		}
	}
	return nil
}

// socketDir is a directory for the Unix socket: below dir where its path is short
// enough, else a temporary one.
func socketDir(dir string) (string, error) {
	socket := filepath.Join(dir, "socket")
	if len(socket) <= maxSocketPath {
		return socket, os.MkdirAll(socket, 0o700) //nolint:wrapcheck // it names the directory
	}
	return os.MkdirTemp("", "stowage-pg-") //nolint:wrapcheck // it names the directory
}

// initialize makes the cluster of databases, once. It is made beside where it will
// lie, so that one that was interrupted is not taken for whole.
func (e *Engine) initialize(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(e.data(), "PG_VERSION")); err == nil {
		return nil
	}
	unfinished := e.data() + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return err //nolint:wrapcheck // it names the directory
	}
	// The built-in provider sorts alike on every machine; --no-sync, because what is
	// made here can be made again.
	cmd := exec.CommandContext(ctx, filepath.Join(e.cfg.Program, "bin", "initdb"), "--pgdata", unfinished,
		"--username", Superuser, "--auth", "trust", "--no-sync", "--encoding", "UTF8",
		"--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C")
	e.user.Apply(cmd)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, strings.TrimSpace(string(output)))
	}
	if err := os.Rename(unfinished, e.data()); err != nil {
		return err //nolint:wrapcheck // it names both
	}
	return nil
}

// configure writes the server's certificate and its configuration. Both are written at
// each start: the port and the certificate are new.
func (e *Engine) configure() error {
	issued, err := e.authority.Issue("127.0.0.1", "localhost")
	if err != nil {
		return err
	}
	certificate, key, err := issued.Write(e.data())
	if err != nil {
		return fmt.Errorf("write the server's certificate: %w", err)
	}
	settings := map[string]string{ //nolint:gosec // a method, not a password
		"listen_addresses":         "127.0.0.1",
		"port":                     strconv.Itoa(e.port),
		"unix_socket_directories":  e.socket,
		"unix_socket_permissions":  "0600",
		"ssl":                      "on",
		"ssl_cert_file":            filepath.Base(certificate),
		"ssl_key_file":             filepath.Base(key),
		"ssl_min_protocol_version": "TLSv1.2",
		"password_encryption":      "scram-sha-256",
		"timezone":                 "UTC",
		"log_timezone":             "UTC",
		"log_line_prefix":          "%m [%p] %q%u@%d ",
		"shared_preload_libraries": "pg_stat_statements", // as on Aurora
		// Files of the cluster rather than of the machine: a kill leaves none behind.
		"dynamic_shared_memory_type": "mmap",
		"min_dynamic_shared_memory":  "16MB",
	}
	maps.Copy(settings, e.cfg.Settings)
	var conf strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&conf, "%s = '%s'\n", name, strings.ReplaceAll(settings[name], "'", "''"))
	}
	// hostssl and no host line: whoever comes without TLS is refused.
	const access = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
	for name, content := range map[string]string{"postgresql.conf": conf.String(), "pg_hba.conf": access} {
		if err := os.WriteFile(filepath.Join(e.data(), name), []byte(content), 0o600); err != nil {
			return err //nolint:wrapcheck // it names the file
		}
	}
	return e.user.Take(e.data())
}
