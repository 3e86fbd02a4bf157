package journey

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/stowage-dev/stowage/shared/client"
)

const (
	partSize = 5 << 20 // the smallest that S3 takes
	bigSize  = 2*partSize + partSize/2
)

// bigFile is text of two and a half parts, in which no two stretches are alike.
func bigFile() File {
	var content bytes.Buffer
	content.Grow(bigSize + 64)
	for line := 0; content.Len() < bigSize; line++ {
		fmt.Fprintf(&content, "line %d of a file that is sent in parts\n", line)
	}
	return File{Name: "in-parts.txt", ContentType: "text/plain", Size: bigSize, Content: bytes.NewReader(content.Bytes()[:bigSize])}
}

// errInterrupted ends the first run of an upload in parts.
var errInterrupted = errors.New("interrupted on purpose")

// uploadInParts breaks an upload off after its first part and resumes it as another
// process would: with its id alone.
func (w *walk) uploadInParts(ctx context.Context) (string, error) {
	f := bigFile()
	first, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	var id string
	_, err := w.alpha.Put(first, client.NewUpload{
		Path: w.path(f.Name), ContentType: f.ContentType, Mode: "multipart", PartSize: partSize,
	}, f.Content, f.Size, &client.PutOptions{
		Workers:  1,
		Opened:   func(u client.Upload) { id = u.ID },
		Progress: func(client.Progress) { interrupt(errInterrupted) },
	})
	if err == nil || id == "" {
		return "", fmt.Errorf("the first run was to be interrupted after one part, it ended with: %w", err)
	}
	already := 0
	done, err := w.alpha.Resume(ctx, id, f.Content, &client.PutOptions{
		Workers: 2,
		Progress: func(p client.Progress) {
			if already == 0 {
				already = p.PartsSent
			}
		},
	})
	if err != nil {
		return "", err
	}
	if done.State != "available" {
		return "", fmt.Errorf("the upload ended as %s: %+v", done.State, done.Reason)
	}
	w.sent[w.path(f.Name)] = sentFile{file: f, objectID: done.ObjectID}
	return fmt.Sprintf("%s in %d parts, resumed after %d", bytesText(f.Size), done.PartCount, already), nil
}
