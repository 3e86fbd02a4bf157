package journey

import (
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // what derivatives are
	_ "image/png"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/shared/client"
	"github.com/stowage-dev/stowage/shared/object"
)

// pictureTimeout is how long a step waits for the derivatives of a picture.
const pictureTimeout = 30 * time.Second

// pictures waits until every picture sent has its small copies, and reads them.
func (w *walk) pictures(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, pictureTimeout)
	defer cancel()
	var seen []string
	for path, sent := range w.sent {
		if !slices.Contains(object.PictureTypes(), sent.file.ContentType) {
			continue
		}
		picture, err := w.awaitPicture(ctx, sent.objectID)
		if err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		sizes := fmt.Sprintf("%dx%d", picture.Width, picture.Height)
		if picture.Reason != nil { // a broken file among those of the user
			sizes = "none: " + picture.Reason.Detail
		}
		for _, name := range picture.Derivatives {
			size, err := w.derivative(ctx, sent.objectID, name)
			if err != nil {
				return "", fmt.Errorf("%s: derivative %s: %w", path, name, err)
			}
			sizes += " " + size
		}
		seen = append(seen, sizes)
	}
	if len(seen) == 0 {
		return "there is no picture among the files", nil
	}
	slices.Sort(seen)
	return strings.Join(seen, ", "), nil
}

func (w *walk) awaitPicture(ctx context.Context, id string) (*client.Picture, error) {
	for {
		o, err := w.alpha.Object(ctx, id)
		if err != nil {
			return nil, err
		}
		if o.Picture != nil {
			return o.Picture, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.New("no derivatives were made within " + pictureTimeout.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// derivative reads a derivative and returns its size.
func (w *walk) derivative(ctx context.Context, id, name string) (string, error) {
	content, err := w.alpha.Content(ctx, id, &client.ContentOptions{Derivative: name})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, content.URL, nil)
	if err != nil {
		return "", fmt.Errorf("build the request: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", errors.New("read it: the connection failed") // the error would show the URL
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d", res.StatusCode)
	}
	cfg, _, err := image.DecodeConfig(res.Body)
	if err != nil {
		return "", fmt.Errorf("decode it: %w", err)
	}
	return fmt.Sprintf("%dx%d", cfg.Width, cfg.Height), nil
}
