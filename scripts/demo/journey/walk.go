package journey

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/stowage-dev/stowage/shared/client"
)

// walk is one run of the journey: what it sent and what it learned on the way.
type walk struct {
	target Target
	alpha  *client.Client
	beta   *client.Client
	folder string
	files  []File
	before client.Usage
	sent   map[string]sentFile // by path
}

type sentFile struct {
	file     File
	objectID string
	put      client.SignedRequest
}

func newWalk(target Target, files []File) (*walk, error) {
	alpha, err := client.New(target.API, target.Alpha, &client.Options{Workspace: "alpha", PollInterval: 10 * time.Millisecond})
	if err != nil {
		return nil, fmt.Errorf("alpha's client: %w", err)
	}
	beta, err := client.New(target.API, target.Beta, &client.Options{Workspace: "beta"})
	if err != nil {
		return nil, fmt.Errorf("beta's client: %w", err)
	}
	return &walk{
		target: target, alpha: alpha, beta: beta,
		folder: "journey-" + strings.ToLower(ulid.Make().String()),
		files:  files, sent: map[string]sentFile{},
	}, nil
}

func (w *walk) steps() []step {
	steps := []step{{"read the workspace's usage", w.readUsage}}
	for _, f := range w.files {
		steps = append(steps, step{"upload " + f.Name, func(ctx context.Context) (string, error) { return w.upload(ctx, f) }})
	}
	steps = append(steps,
		step{"upload in parts, interrupted, then resumed", w.uploadInParts},
		step{"list the folder", w.list},
		step{"download everything and compare byte for byte", w.download},
		step{"read a range of an object", w.downloadRange},
		step{"small copies of every picture", w.pictures},
		step{"usage grew by what was stored", w.usageGrew},
		step{"refused: a wrong checksum", w.wrongChecksum},
		step{"refused: a wrong length", w.wrongLength},
		step{"refused: another content type than signed", w.wrongContentType},
		step{"refused: a second PUT to the same URL", w.secondPut},
		step{"refused: a forbidden type behind an honest name", w.forbiddenType},
		step{"refused: a path that is taken", w.takenPath},
		step{"refused: reading before verification", w.beforeVerification},
		step{"refused: another workspace's object", w.foreignWorkspace},
		step{"refused: a request without a token", w.noToken},
		step{"refused: an expired URL", w.expiredURL},
		step{"abort an upload: its reservation comes back", w.abort},
		step{"delete: no longer listed, nor readable", w.delete},
	)
	if w.target.Events != "" {
		steps = append(steps, step{"events on the bus, rev rising by one", w.events})
	}
	return steps
}

func (w *walk) readUsage(ctx context.Context) (string, error) {
	usage, err := w.alpha.Usage(ctx)
	if err != nil {
		return "", err
	}
	w.before = usage
	return fmt.Sprintf("%s of %s stored", bytesText(usage.Bytes.Stored), bytesText(usage.Bytes.Limit)), sumsUp(usage)
}

// sumsUp checks that nothing of the quota is unaccounted for.
func sumsUp(usage client.Usage) error {
	for name, a := range map[string]client.Amount{"bytes": usage.Bytes, "objects": usage.Objects} {
		if a.Available+a.Reserved+a.Stored != a.Limit {
			return fmt.Errorf("%s: available %d + reserved %d + stored %d is not the limit %d", name, a.Available, a.Reserved, a.Stored, a.Limit)
		}
	}
	return nil
}

func (w *walk) path(name string) string { return w.folder + "/" + name }

func (w *walk) upload(ctx context.Context, f File) (string, error) {
	opened, err := w.open(ctx, w.path(f.Name), f.ContentType, f.Content, f.Size)
	if err != nil {
		return "", err
	}
	if err := w.alpha.Send(ctx, opened.Put, f.Content, f.Size); err != nil {
		return "", err
	}
	start := time.Now()
	done, err := w.alpha.Wait(ctx, opened.Upload.ID)
	if err != nil {
		return "", err
	}
	if done.State != "available" {
		return "", fmt.Errorf("the upload ended as %s: %+v", done.State, done.Reason)
	}
	w.sent[w.path(f.Name)] = sentFile{file: f, objectID: done.ObjectID, put: opened.Put}
	return fmt.Sprintf("%s, available %s after the last byte", bytesText(f.Size), time.Since(start).Round(time.Millisecond)), nil
}

func (w *walk) open(ctx context.Context, path, contentType string, content io.ReaderAt, size int64) (client.Opened, error) {
	sum, err := sha256Base64(content, size)
	if err != nil {
		return client.Opened{}, err
	}
	return w.alpha.Open(ctx, client.NewUpload{Path: path, Size: size, ContentType: contentType, SHA256: sum})
}

func (w *walk) list(ctx context.Context) (string, error) {
	paths, err := w.paths(ctx)
	if err != nil {
		return "", err
	}
	for path := range w.sent {
		if !slices.Contains(paths, path) {
			return "", fmt.Errorf("%s is not listed", path)
		}
	}
	if len(paths) != len(w.sent) {
		return "", fmt.Errorf("%d objects listed, %d sent", len(paths), len(w.sent))
	}
	return fmt.Sprintf("%d objects", len(paths)), nil
}

func (w *walk) paths(ctx context.Context) ([]string, error) {
	var paths []string
	for object, err := range w.alpha.Objects(ctx, w.folder) {
		if err != nil {
			return nil, err
		}
		paths = append(paths, object.Path)
	}
	return paths, nil
}

func (w *walk) download(ctx context.Context) (string, error) {
	var total int64
	for path, sent := range w.sent {
		got := sha256.New()
		n, err := w.alpha.Download(ctx, sent.objectID, got)
		if err != nil {
			return "", err
		}
		if n != sent.file.Size {
			return "", fmt.Errorf("%s: %d bytes came back, %d were sent", path, n, sent.file.Size)
		}
		if err := sameBytes(got, sent.file); err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		total += n
	}
	if total == 0 {
		return "", errors.New("nothing was sent, so nothing was compared")
	}
	return bytesText(total) + " equal", nil
}

func sameBytes(got hash.Hash, f File) error {
	want := sha256.New()
	if _, err := io.Copy(want, io.NewSectionReader(f.Content, 0, f.Size)); err != nil {
		return fmt.Errorf("read %s: %w", f.Name, err)
	}
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		return errors.New("the bytes differ")
	}
	return nil
}

func (w *walk) usageGrew(ctx context.Context) (string, error) {
	usage, err := w.alpha.Usage(ctx)
	if err != nil {
		return "", err
	}
	var want int64
	for _, sent := range w.sent {
		want += sent.file.Size
	}
	if got := usage.Bytes.Stored - w.before.Bytes.Stored; got != want {
		return "", fmt.Errorf("stored bytes grew by %d, want %d", got, want)
	}
	if got := usage.Objects.Stored - w.before.Objects.Stored; got != int64(len(w.sent)) {
		return "", fmt.Errorf("stored objects grew by %d, want %d", got, len(w.sent))
	}
	return "+" + bytesText(want), sumsUp(usage)
}

// one returns a file that was sent with one PUT, always the same one.
func (w *walk) one() (string, sentFile, error) {
	path := ""
	for p, sent := range w.sent {
		if sent.put.URL != "" && (path == "" || p < path) {
			path = p
		}
	}
	if path == "" {
		return "", sentFile{}, errors.New("no upload succeeded, so there is nothing to try this on")
	}
	return path, w.sent[path], nil
}
