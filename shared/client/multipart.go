package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/minio/crc64nvme"
	"golang.org/x/sync/errgroup"
)

// signBatch is how many parts are signed with one call. Few enough that the last of
// them is sent long before its URL expires.
const signBatch = 64

// Part is a part that storage holds.
type Part struct {
	PartNumber int    `json:"partNumber"`
	Size       int64  `json:"size,omitempty"`
	ETag       string `json:"etag"`
}

// Parts yields what storage holds of a multipart upload, in order.
func (c *Client) Parts(ctx context.Context, id string) iter.Seq2[Part, error] {
	return pages[Part](ctx, c, "/v1/uploads/"+url.PathEscape(id)+"/parts", url.Values{})
}

// SignedPart is how to send one part: with exactly Size bytes.
type SignedPart struct {
	SignedRequest
	PartNumber int   `json:"partNumber"`
	Size       int64 `json:"size"`
}

// Progress says how far a multipart upload is.
type Progress struct {
	Upload    Upload
	Sent      int64 // bytes of whole parts that storage holds
	Total     int64
	PartsSent int
	Parts     int
}

// transfer is one run of sending the parts of a multipart upload.
type transfer struct {
	c      *Client
	upload Upload
	r      io.ReaderAt
	opts   PutOptions

	mu   sync.Mutex
	held []heldPart // by part number - 1
	done Progress
}

// heldPart is a part that storage holds, with the checksum of its bytes here.
type heldPart struct {
	etag   string
	sum    uint64
	summed bool
}

func (c *Client) newTransfer(upload Upload, r io.ReaderAt, opts PutOptions) *transfer {
	t := &transfer{c: c, upload: upload, r: r, opts: opts, held: make([]heldPart, upload.PartCount)}
	t.done = Progress{Upload: upload, Total: upload.Size, Parts: upload.PartCount}
	return t
}

func (t *transfer) size(number int) int64 {
	return min(t.upload.PartSize, t.upload.Size-int64(number-1)*t.upload.PartSize)
}

func (t *transfer) section(number int) *io.SectionReader {
	return io.NewSectionReader(t.r, int64(number-1)*t.upload.PartSize, t.size(number))
}

// resume takes over the parts that storage already holds at their full length.
func (t *transfer) resume(ctx context.Context) error {
	for part, err := range t.c.Parts(ctx, t.upload.ID) {
		if err != nil {
			return err
		}
		if n := part.PartNumber; n >= 1 && n <= len(t.held) && part.Size == t.size(n) {
			t.keep(n, heldPart{etag: part.ETag})
		}
	}
	return nil
}

func (t *transfer) path(action string) string {
	return "/v1/uploads/" + url.PathEscape(t.upload.ID) + "/" + action
}

func (t *transfer) keep(number int, part heldPart) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held[number-1] = part
	t.done.Sent += t.size(number)
	t.done.PartsSent++
	if t.opts.Progress != nil {
		t.opts.Progress(t.done)
	}
}

// send sends every part that storage does not hold, several at a time.
func (t *transfer) send(ctx context.Context, signed []SignedPart) error {
	group, ctx := errgroup.WithContext(ctx)
	work := make(chan SignedPart)
	group.Go(func() error {
		defer close(work)
		return t.feed(ctx, signed, work)
	})
	for range t.opts.Workers {
		group.Go(func() error {
			for part := range work {
				if err := t.sendPart(ctx, part); err != nil {
					return fmt.Errorf("part %d: %w", part.PartNumber, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("send the parts: %w", err)
	}
	return nil
}

// feed hands out the parts to send, in order: those that are signed already, then the
// others, signed batch by batch as the workers get to them.
func (t *transfer) feed(ctx context.Context, signed []SignedPart, work chan<- SignedPart) error {
	byNumber := make(map[int]SignedPart, len(signed))
	for _, part := range signed {
		byNumber[part.PartNumber] = part
	}
	for number := 1; number <= len(t.held); number++ {
		if t.held[number-1].etag != "" {
			continue
		}
		part, ok := byNumber[number]
		if !ok {
			batch, err := t.sign(ctx, t.missing(number, signBatch))
			if err != nil {
				return err
			}
			for _, p := range batch {
				byNumber[p.PartNumber] = p
			}
			if part, ok = byNumber[number]; !ok {
				return fmt.Errorf("the API signed other parts than part %d", number)
			}
		}
		delete(byNumber, number)
		select {
		case work <- part:
		case <-ctx.Done():
			return fmt.Errorf("hand out part %d: %w", number, context.Cause(ctx))
		}
	}
	return nil
}

// missing returns the next parts, from number on, that storage did not hold when the
// transfer began. Parts that are under way come before number.
func (t *transfer) missing(number, most int) []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	var numbers []int
	for ; number <= len(t.held) && len(numbers) < most; number++ {
		if t.held[number-1].etag == "" {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

func (t *transfer) sign(ctx context.Context, numbers []int) ([]SignedPart, error) {
	return t.c.SignParts(ctx, t.upload.ID, numbers...)
}

// SignParts signs parts of a multipart upload, at most 1,000 with one call.
func (c *Client) SignParts(ctx context.Context, id string, numbers ...int) ([]SignedPart, error) {
	var signed struct {
		Parts []SignedPart `json:"parts"`
	}
	err := c.call(ctx, request{
		method: http.MethodPost, path: "/v1/uploads/" + url.PathEscape(id) + "/parts",
		in: map[string][]int{"partNumbers": numbers}, out: &signed, repeatable: true,
	})
	return signed.Parts, err
}

// sendPart sends one part, signed anew once when its URL has died.
func (t *transfer) sendPart(ctx context.Context, part SignedPart) error {
	held, err := t.putPart(ctx, part)
	var refused *StorageError
	if errors.As(err, &refused) && refused.Status == http.StatusForbidden {
		again, signErr := t.sign(ctx, []int{part.PartNumber})
		if signErr != nil {
			return errors.Join(err, signErr)
		}
		if len(again) != 1 {
			return err
		}
		held, err = t.putPart(ctx, again[0])
	}
	if err != nil {
		return err
	}
	t.keep(part.PartNumber, held)
	return nil
}

func (t *transfer) putPart(ctx context.Context, part SignedPart) (heldPart, error) {
	sum := crc64nvme.New()
	res, err := t.c.put(ctx, part.SignedRequest, part.Size, func() io.Reader {
		sum.Reset()
		return io.TeeReader(t.section(part.PartNumber), sum)
	})
	if err != nil {
		return heldPart{}, err
	}
	etag := strings.Trim(res.Get("ETag"), `"`)
	if etag == "" {
		return heldPart{}, errors.New("storage took it without an ETag; do the bucket's CORS rules expose it?")
	}
	return heldPart{etag: etag, sum: sum.Sum64(), summed: true}, nil
}

// checksum is the CRC-64/NVME of the whole. Parts that an earlier run sent are read once more.
func (t *transfer) checksum(ctx context.Context) (string, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(t.opts.Workers)
	for i := range t.held {
		if t.held[i].summed {
			continue
		}
		group.Go(func() error {
			if ctx.Err() != nil {
				return fmt.Errorf("read part %d again: %w", i+1, context.Cause(ctx))
			}
			sum := crc64nvme.New()
			if _, err := io.Copy(sum, t.section(i+1)); err != nil {
				return fmt.Errorf("read part %d again: %w", i+1, err)
			}
			t.held[i].sum, t.held[i].summed = sum.Sum64(), true
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return "", fmt.Errorf("checksum: %w", err)
	}
	var whole uint64
	full, last := zeroBytes(t.upload.PartSize), len(t.held)-1
	for i, part := range t.held {
		shift := full
		if i == last {
			shift = zeroBytes(t.size(last + 1))
		}
		whole = shift.times(whole) ^ part.sum
	}
	return base64CRC(whole), nil
}

func (t *transfer) complete(ctx context.Context) (Upload, error) {
	checksum, err := t.checksum(ctx)
	if err != nil {
		return t.upload, err
	}
	in := struct {
		Parts     []Part `json:"parts"`
		CRC64NVME string `json:"crc64nvme"`
	}{CRC64NVME: checksum}
	for i, part := range t.held {
		in.Parts = append(in.Parts, Part{PartNumber: i + 1, ETag: part.etag})
	}
	var out struct {
		Upload Upload `json:"upload"`
	}
	// Completing twice in the same way changes nothing, so it may be repeated.
	err = t.c.call(ctx, request{method: http.MethodPost, path: t.path("complete"), in: in, out: &out, repeatable: true})
	if err != nil {
		return t.upload, err
	}
	return t.c.Wait(ctx, t.upload.ID)
}

// Resume goes on with a multipart upload: it sends the parts that storage does not
// hold, completes the upload and waits until it is verified. r must hold the same bytes
// as before: the checksum of the whole is compared when the upload is completed.
// Progress first reports the parts that storage already holds.
func (c *Client) Resume(ctx context.Context, id string, r io.ReaderAt, opts *PutOptions) (Upload, error) {
	upload, err := c.Upload(ctx, id)
	if err != nil {
		return Upload{}, err
	}
	switch {
	case upload.Done():
		return upload, nil
	case slices.Contains([]string{"completing", "uploaded", "quarantined"}, upload.State):
		return c.Wait(ctx, id)
	case upload.Mode != "multipart" || upload.PartCount < 1 || upload.PartSize < 1:
		return upload, fmt.Errorf("upload %s has mode %s: only a multipart upload can be resumed; abort it and open another", id, upload.Mode)
	}
	t := c.newTransfer(upload, r, opts.withDefaults())
	if err := t.resume(ctx); err != nil {
		return upload, err
	}
	if err := t.send(ctx, nil); err != nil {
		return upload, fmt.Errorf("send upload %s: %w", id, err)
	}
	return t.complete(ctx)
}
