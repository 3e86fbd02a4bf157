package subject

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// BuildFunction builds a function below dir as it is deployed, but for this machine's
// processor, and returns the command that runs it.
func BuildFunction(ctx context.Context, dir, name string) (command []string, err error) {
	if err := execute(ctx, ".", "go", "run", "./scripts/build", "-arch", runtime.GOARCH, "-out", dir, name); err != nil {
		return nil, err
	}
	return []string{filepath.Join(dir, name, "bootstrap")}, nil
}

// BuildPeer bundles the peer of files, whose program is peer/runtime.ts, below dir as one
// deploys it, and returns the command that runs it. InstallPeer says where.
func BuildPeer(ctx context.Context, dir, name string, files embed.FS) (command []string, err error) {
	installed, err := InstallPeer(ctx, name, files, "peer")
	if err != nil {
		return nil, err
	}
	bundle := filepath.Join(dir, "peer.cjs")
	if err := execute(ctx, installed, filepath.Join("node_modules", ".bin", "esbuild"), "runtime.ts",
		"--bundle", "--minify", "--platform=node", "--target=node20", "--log-level=error", "--outfile="+bundle); err != nil {
		return nil, err
	}
	return []string{"node", bundle}, nil
}

// InstallPeer writes the files of a directory to .tools/<name>, which it returns, and
// installs what they need there with npm, once.
func InstallPeer(ctx context.Context, name string, files embed.FS, from string) (dir string, err error) {
	if _, err := os.Stat("go.mod"); err != nil {
		return "", errors.New("no go.mod here: run it from the top of the repository")
	}
	sources, err := fs.Sub(files, from)
	if err != nil {
		return "", fmt.Errorf("read the peer: %w", err)
	}
	dir = filepath.Join(".tools", name)
	fresh, err := unpack(dir, sources)
	if err != nil || !fresh {
		return dir, err
	}
	return dir, execute(ctx, dir, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
}

// unpack writes a peer's files to dir, and reports whether what they need is still to be
// installed.
func unpack(dir string, files fs.FS) (fresh bool, err error) {
	const lockfile = "package-lock.json"
	lock, err := fs.ReadFile(files, lockfile)
	if err != nil {
		return false, fmt.Errorf("read the peer: %w", err)
	}
	held, err := os.ReadFile(filepath.Join(dir, lockfile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("read the peer's lockfile: %w", err)
	}
	_, installed := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	fresh = installed != nil || !bytes.Equal(held, lock)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // nothing secret
		return false, fmt.Errorf("make a directory for the peer: %w", err)
	}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return false, fmt.Errorf("list the peer's files: %w", err)
	}
	for _, e := range entries {
		text, err := fs.ReadFile(files, e.Name())
		if err != nil {
			return false, fmt.Errorf("read %s: %w", e.Name(), err)
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), text, 0o644); err != nil { //nolint:gosec // nothing secret
			return false, fmt.Errorf("write the peer: %w", err)
		}
	}
	return fresh, nil
}

func execute(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s in %s: %w", name, dir, err)
	}
	return nil
}
