package journey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/shared/client"
)

// elf is the start of a 64-bit Linux executable: a type that no workspace takes by default.
var elf = append([]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00\x01\x00\x00\x00"), make([]byte, 1000)...)

// refusedByStorage checks that S3 refused, with a status of the 400s, and keeps the upload open.
func refusedByStorage(err error, what string) (string, error) {
	var refused *client.StorageError
	if err == nil {
		return "", fmt.Errorf("S3 took %s", what)
	}
	if !errors.As(err, &refused) || refused.Status < 400 || refused.Status > 499 {
		return "", fmt.Errorf("want a refusal by S3, got: %w", err)
	}
	return fmt.Sprintf("S3: %d %s", refused.Status, refused.Code), nil
}

// refusedByAPI checks that the API refused with one of the statuses.
func refusedByAPI(err error, what string, statuses ...int) (string, error) {
	var problem *client.Problem
	if err == nil {
		return "", fmt.Errorf("the API allowed %s", what)
	}
	if !errors.As(err, &problem) || !slices.Contains(statuses, problem.Status) {
		return "", fmt.Errorf("want a refusal with status %v, got: %w", statuses, err)
	}
	return fmt.Sprintf("API: %d %s", problem.Status, problem.Code), nil
}

// attempt opens an upload for what is declared, sends what is given instead, and
// aborts the upload, which must still be open: a refused PUT costs nothing.
func (w *walk) attempt(ctx context.Context, name string, declared, sent []byte, change func(*client.SignedRequest)) error {
	opened, err := w.open(ctx, w.path(name), "text/plain", bytes.NewReader(declared), int64(len(declared)))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if change != nil {
		change(&opened.Put)
	}
	sendErr := w.alpha.Send(ctx, opened.Put, bytes.NewReader(sent), int64(len(sent)))
	state, err := w.alpha.Upload(ctx, opened.Upload.ID)
	if err != nil {
		return fmt.Errorf("read the upload: %w", err)
	}
	if sendErr != nil && state.State != "open" {
		return fmt.Errorf("after the refusal the upload is %s, want open", state.State)
	}
	if err := w.alpha.Abort(ctx, opened.Upload.ID); err != nil {
		return fmt.Errorf("abort: %w", err)
	}
	return sendErr
}

func (w *walk) wrongChecksum(ctx context.Context) (string, error) {
	return refusedByStorage(w.attempt(ctx, "checksum.txt", []byte("what was declared"), []byte("what was sent :-)"), nil), "bytes with another checksum")
}

func (w *walk) wrongLength(ctx context.Context) (string, error) {
	return refusedByStorage(w.attempt(ctx, "length.txt", []byte("short"), []byte("longer than it was declared"), nil), "more bytes than were declared")
}

func (w *walk) wrongContentType(ctx context.Context) (string, error) {
	text := []byte("plain text")
	change := func(r *client.SignedRequest) {
		for name := range r.Headers {
			if http.CanonicalHeaderKey(name) == "Content-Type" {
				r.Headers[name] = "text/html"
			}
		}
	}
	return refusedByStorage(w.attempt(ctx, "type.txt", text, text, change), "another content type than was signed")
}

func (w *walk) secondPut(ctx context.Context) (string, error) {
	_, sent, err := w.one()
	if err != nil {
		return "", err
	}
	status, err := putOnce(ctx, sent.put, sent.file.Content, sent.file.Size)
	if err != nil {
		return "", err
	}
	if status != http.StatusPreconditionFailed {
		return "", fmt.Errorf("a second PUT to a write-once key was answered with %d, want 412", status)
	}
	return fmt.Sprintf("S3: %d", status), nil
}

// putOnce sends a signed PUT and gives the status of its answer. The client would try again when it gets
// none, and take a 412 then for the success of its first try. As S3 may hang up on a body that it does not
// want, the body waits until S3 asks for it.
func putOnce(ctx context.Context, signed client.SignedRequest, content io.ReaderAt, size int64) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, signed.Method, signed.URL, io.NewSectionReader(content, 0, size))
	if err != nil {
		return 0, errors.New("build the PUT: the API signed a URL that is none") // the URL is a credential
	}
	req.ContentLength = size
	for name, value := range signed.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Expect", "100-continue")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("PUT: %w", errors.Unwrap(err)) // without the URL
	}
	_ = resp.Body.Close()
	return resp.StatusCode, nil
}

func (w *walk) forbiddenType(ctx context.Context) (string, error) {
	done, err := w.alpha.Put(ctx, client.NewUpload{Path: w.path("holiday.png"), ContentType: "image/png"}, bytes.NewReader(elf), int64(len(elf)), nil)
	if err != nil {
		return "", err
	}
	if done.State != "rejected" || done.Reason == nil {
		return "", fmt.Errorf("the upload ended as %s, want rejected with a reason", done.State)
	}
	if _, err := refusedByAPI(onlyError(w.alpha.Content(ctx, done.ObjectID, nil)), "reading a rejected object", http.StatusConflict, http.StatusNotFound); err != nil {
		return "", err
	}
	return fmt.Sprintf("rejected: %s", done.Reason.Code), nil
}

// beforeVerification asks for the bytes of an upload in every way that its client has: by the API, by the
// URL that it may write to, and by that without a signature.
func (w *walk) beforeVerification(ctx context.Context) (string, error) {
	text := []byte("nobody has looked at this yet")
	opened, err := w.open(ctx, w.path("unverified.txt"), "text/plain", bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return "", fmt.Errorf("open: %w", err)
	}
	said, err := refusedByAPI(onlyError(w.alpha.Content(ctx, opened.Upload.ObjectID, nil)), "reading what is not uploaded", http.StatusConflict, http.StatusNotFound)
	if err != nil {
		return "", err
	}
	if err := w.alpha.Send(ctx, opened.Put, bytes.NewReader(text), int64(len(text))); err != nil {
		return "", fmt.Errorf("send: %w", err)
	}
	bare, _, _ := strings.Cut(opened.Put.URL, "?")
	for what, url := range map[string]string{"reading by the URL of the PUT": opened.Put.URL, "reading without a signature": bare} {
		if _, err := refusedByStorage(onlyError(w.alpha.Fetch(ctx, client.Content{URL: url}, io.Discard)), what); err != nil {
			return "", err
		}
	}
	done, err := w.alpha.Wait(ctx, opened.Upload.ID)
	if err != nil {
		return "", fmt.Errorf("wait: %w", err)
	}
	if err := w.alpha.Delete(ctx, done.ObjectID); err != nil {
		return "", fmt.Errorf("delete: %w", err)
	}
	return said + ", S3: 403 in two ways", nil
}

func (w *walk) takenPath(ctx context.Context) (string, error) {
	path, _, err := w.one()
	if err != nil {
		return "", err
	}
	text := []byte("mine now")
	_, err = w.open(ctx, path, "text/plain", bytes.NewReader(text), int64(len(text)))
	return refusedByAPI(err, "an upload to a path that is taken", http.StatusConflict)
}

func (w *walk) foreignWorkspace(ctx context.Context) (string, error) {
	_, sent, err := w.one()
	if err != nil {
		return "", err
	}
	if _, err := refusedByAPI(onlyError(w.beta.Object(ctx, sent.objectID)), "beta to read alpha's object", http.StatusNotFound); err != nil {
		return "", err
	}
	intruder, err := client.New(w.target.API, w.target.Beta, &client.Options{Workspace: "alpha"})
	if err != nil {
		return "", err
	}
	return refusedByAPI(onlyError(intruder.Object(ctx, sent.objectID)), "beta to name alpha's workspace", http.StatusForbidden)
}

func (w *walk) noToken(ctx context.Context) (string, error) {
	for _, token := range []string{"", "not.a.token"} {
		nobody, err := client.New(w.target.API, client.StaticToken(token), nil)
		if err != nil {
			return "", err
		}
		if _, err := refusedByAPI(onlyError(nobody.Usage(ctx)), "a request without a valid token", http.StatusUnauthorized); err != nil {
			return "", err
		}
	}
	return "API: 401", nil
}

func (w *walk) expiredURL(ctx context.Context) (string, error) {
	_, sent, err := w.one()
	if err != nil {
		return "", err
	}
	content, err := w.alpha.Content(ctx, sent.objectID, &client.ContentOptions{ExpiresIn: time.Second})
	if err != nil {
		return "", err
	}
	select {
	case <-ctx.Done():
		return "", fmt.Errorf("wait for the URL to expire: %w", context.Cause(ctx))
	case <-time.After(2100 * time.Millisecond):
	}
	return refusedByStorage(onlyError(w.alpha.Fetch(ctx, content, io.Discard)), "an expired URL")
}

// onlyError keeps the error of a call whose value does not matter.
func onlyError[T any](_ T, err error) error { return err }
