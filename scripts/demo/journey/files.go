package journey

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// OpenFiles opens the named files. The caller closes what is returned, also on error.
func OpenFiles(names []string) ([]File, []io.Closer, error) {
	var files []File
	var closers []io.Closer
	for i, name := range names {
		file, err := os.Open(name)
		if err != nil {
			return nil, closers, fmt.Errorf("open a file to send: %w", err)
		}
		closers = append(closers, file)
		info, err := file.Stat()
		if err != nil {
			return nil, closers, fmt.Errorf("size of %s: %w", name, err)
		}
		if !info.Mode().IsRegular() {
			return nil, closers, fmt.Errorf("%s is not a regular file; name files, not folders", name)
		}
		contentType, err := typeOf(file)
		if err != nil {
			return nil, closers, err
		}
		files = append(files, File{
			Name: fmt.Sprintf("%02d-%s", i+1, filepath.Base(name)), ContentType: contentType, Size: info.Size(), Content: file,
		})
	}
	return files, closers, nil
}

// GoFiles names real images, documents and an archive that every Go distribution holds.
func GoFiles() ([]string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("find the Go distribution with `go env GOROOT`: %w", err)
	}
	root := strings.TrimSpace(string(out))
	var found []string
	for _, name := range []string{
		"src/image/testdata/video-001.jpeg", "src/image/testdata/video-001.png", "src/image/testdata/video-001.gif",
		"README.md", "LICENSE", "doc/go_spec.html", "src/compress/testdata/pi.txt", "lib/time/zoneinfo.zip", "src/net/http/server.go",
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if _, err := os.Stat(path); err == nil {
			found = append(found, path)
		}
	}
	if len(found) < 3 {
		return nil, fmt.Errorf("only %d sample files found in the Go distribution at %s; name your own with FILES=", len(found), root)
	}
	return found, nil
}

func typeOf(file io.ReaderAt) (string, error) {
	head := make([]byte, 512)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the first bytes: %w", err)
	}
	mediaType, _, _ := strings.Cut(http.DetectContentType(head[:n]), ";")
	return mediaType, nil
}

func sha256Base64(content io.ReaderAt, size int64) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(content, 0, size)); err != nil {
		return "", fmt.Errorf("hash: %w", err)
	}
	return base64.StdEncoding.EncodeToString(sum.Sum(nil)), nil
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%d B", n)
	}
}
