package main

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
)

//go:embed peer
var peerFiles embed.FS

// buildFunction compiles the function as it is deployed, for this machine.
func buildFunction(ctx context.Context, into string) error {
	return execute(ctx, ".", "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc,grpcnotrace,nethttpomithttp2",
		"-gcflags", "github.com/aws/aws-sdk-go-v2/service/...=-l", "-ldflags", "-s -w", "-o", into, "./functions/upload-api")
}

// buildPeer bundles the handler in TypeScript as one deploys it. What it needs is installed
// below .tools with npm, once.
func buildPeer(ctx context.Context, into string) error {
	dir := filepath.Join(".tools", "bench-openupload")
	fresh, err := unpack(dir)
	if err != nil {
		return err
	}
	if fresh {
		if err := execute(ctx, dir, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"); err != nil {
			return err
		}
	}
	return execute(ctx, dir, filepath.Join("node_modules", ".bin", "esbuild"), "runtime.ts",
		"--bundle", "--minify", "--platform=node", "--target=node20", "--log-level=error", "--outfile="+into)
}

// unpack writes the peer's files to dir, and reports whether what they need is still to be
// installed.
func unpack(dir string) (fresh bool, err error) {
	files, err := fs.Sub(peerFiles, "peer")
	if err != nil {
		return false, fmt.Errorf("read the peer: %w", err)
	}
	lock, err := fs.ReadFile(files, "package-lock.json")
	if err != nil {
		return false, fmt.Errorf("read the peer: %w", err)
	}
	held, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
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
