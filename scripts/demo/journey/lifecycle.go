package journey

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"
)

func (w *walk) downloadRange(ctx context.Context) (string, error) {
	path, sent, err := w.one()
	if err != nil {
		return "", err
	}
	last := min(sent.file.Size, 100) - 1
	if last < 0 {
		return "the file is empty: no range to read", nil
	}
	content, err := w.alpha.Content(ctx, sent.objectID, nil)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, content.URL, nil)
	if err != nil {
		return "", fmt.Errorf("build the request: %w", err)
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=0-%d", last))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("read a range of %s failed to connect", path)
	}
	defer func() { _ = res.Body.Close() }()
	var got bytes.Buffer
	if _, err := got.ReadFrom(res.Body); err != nil {
		return "", fmt.Errorf("read the range: %w", err)
	}
	want := make([]byte, last+1)
	if _, err := sent.file.Content.ReadAt(want, 0); err != nil {
		return "", fmt.Errorf("read %s: %w", sent.file.Name, err)
	}
	if res.StatusCode != http.StatusPartialContent || !bytes.Equal(got.Bytes(), want) {
		return "", fmt.Errorf("status %d with %d bytes, want 206 with the first %d", res.StatusCode, got.Len(), len(want))
	}
	if res.Header.Get("Content-Disposition") == "" {
		return "", fmt.Errorf("no Content-Disposition: a browser would show what a stranger uploaded")
	}
	return fmt.Sprintf("206, %d bytes, %s", got.Len(), res.Header.Get("Content-Disposition")), nil
}

func (w *walk) abort(ctx context.Context) (string, error) {
	before, err := w.alpha.Usage(ctx)
	if err != nil {
		return "", err
	}
	text := bytes.Repeat([]byte("x"), 1000)
	opened, err := w.open(ctx, w.path("aborted.txt"), "text/plain", bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return "", err
	}
	during, err := w.alpha.Usage(ctx)
	if err != nil {
		return "", err
	}
	if got := during.Bytes.Reserved - before.Bytes.Reserved; got != int64(len(text)) {
		return "", fmt.Errorf("an open upload of %d bytes reserves %d", len(text), got)
	}
	for range 2 { // the second abort changes nothing
		if err := w.alpha.Abort(ctx, opened.Upload.ID); err != nil {
			return "", err
		}
	}
	after, err := w.alpha.Usage(ctx)
	if err != nil {
		return "", err
	}
	if after != before {
		return "", fmt.Errorf("usage is %+v after the abort, was %+v before", after, before)
	}
	return bytesText(int64(len(text))) + " reserved, then released", sumsUp(after)
}

func (w *walk) delete(ctx context.Context) (string, error) {
	for path, sent := range w.sent {
		if err := w.alpha.Delete(ctx, sent.objectID); err != nil {
			return "", fmt.Errorf("delete %s: %w", path, err)
		}
		if _, err := refusedByAPI(onlyError(w.alpha.Content(ctx, sent.objectID, nil)), "reading a deleted object", http.StatusConflict, http.StatusNotFound); err != nil {
			return "", err
		}
	}
	paths, err := w.paths(ctx)
	if err != nil {
		return "", err
	}
	if len(paths) != 0 {
		return "", fmt.Errorf("still listed: %v", paths)
	}
	return fmt.Sprintf("%d objects", len(w.sent)), nil
}

// seenEvent is what the journey reads of one line of the bus.
type seenEvent struct {
	DetailType string `json:"detail-type"`
	Detail     struct {
		Subject     string `json:"subject"`
		SpecVersion string `json:"specversion"`
		Rev         int64  `json:"rev"`
	} `json:"detail"`
}

// eventsTimeout is how long a step waits for the stream to be handed to the bus.
const eventsTimeout = 30 * time.Second

// events waits until every object sent has its two events, available and deleted,
// and checks that each object's rev rises by one in the order of the bus.
func (w *walk) events(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, eventsTimeout)
	defer cancel()
	for {
		seen, err := w.readEvents()
		if err != nil {
			return "", err
		}
		missing := w.missing(seen)
		if missing == "" {
			return w.checkRevs(seen)
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("not seen within %s: %s", eventsTimeout, missing)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (w *walk) readEvents() (map[string][]seenEvent, error) {
	file, err := os.Open(w.target.Events)
	if err != nil {
		return nil, fmt.Errorf("open the bus's events: %w", err)
	}
	defer func() { _ = file.Close() }()
	seen := map[string][]seenEvent{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 2<<20)
	for lines.Scan() {
		var e seenEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("decode an event of the bus: %w", err)
		}
		seen[e.Detail.Subject] = append(seen[e.Detail.Subject], e)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the bus's events: %w", err)
	}
	return seen, nil
}

func (w *walk) missing(seen map[string][]seenEvent) string {
	for path, sent := range w.sent {
		types := map[string]bool{}
		for _, e := range seen[sent.objectID] {
			types[e.DetailType] = true
		}
		for _, want := range []string{"dev.stowage.object.available", "dev.stowage.object.deleted"} {
			if !types[want] {
				return want + " of " + path
			}
		}
	}
	return ""
}

func (w *walk) checkRevs(seen map[string][]seenEvent) (string, error) {
	count := 0
	for path, sent := range w.sent {
		last := int64(0)
		for _, e := range seen[sent.objectID] {
			if e.Detail.SpecVersion != "1.0" {
				return "", fmt.Errorf("%s: an event with specversion %q, want CloudEvents 1.0", path, e.Detail.SpecVersion)
			}
			if e.Detail.Rev <= last {
				continue // a repeat: delivery is at least once
			}
			if e.Detail.Rev != last+1 {
				return "", fmt.Errorf("%s: rev %d after %d", path, e.Detail.Rev, last)
			}
			last = e.Detail.Rev
			count++
		}
	}
	if count == 0 {
		return "", fmt.Errorf("no upload succeeded, so no event was checked")
	}
	return fmt.Sprintf("%d events of %d objects", count, len(w.sent)), nil
}
