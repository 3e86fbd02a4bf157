package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/shared/client"
)

func newClient(t *testing.T, handler http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, client.StaticToken("secret-token"), &client.Options{Workspace: "alpha", PollInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewRefusesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "api.example.com", "ftp://api.example.com", "http://", "://"} {
		if _, err := client.New(base, client.StaticToken("x"), nil); err == nil {
			t.Errorf("New(%q) succeeded, want an error", base)
		}
	}
	if _, err := client.New("https://api.example.com", nil, nil); err == nil {
		t.Error("New without a token source succeeded, want an error")
	}
}

func TestARequestCarriesTokenAndWorkspace(t *testing.T) {
	t.Parallel()
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer secret-token" {
			t.Errorf("Authorization = %q", got)
		}
		if got := r.Header.Get("Stowage-Workspace"); got != "alpha" {
			t.Errorf("Stowage-Workspace = %q", got)
		}
		fmt.Fprint(w, `{"bytes":{"limit":10,"reserved":1,"stored":2,"available":7}}`)
	})
	usage, err := c.Usage(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if want := (client.Amount{Limit: 10, Reserved: 1, Stored: 2, Available: 7}); usage.Bytes != want {
		t.Errorf("Bytes = %+v, want %+v", usage.Bytes, want)
	}
}

func TestWhatIsRetried(t *testing.T) {
	t.Parallel()
	get := func(c *client.Client) error { _, err := c.Object(context.Background(), "o"); return err }
	open := func(c *client.Client) error {
		_, err := c.Open(context.Background(), client.NewUpload{Path: "p"})
		return err
	}
	for _, tt := range []struct {
		name       string
		call       func(*client.Client) error
		status     int
		retryAfter string
		want       int32 // requests seen
	}{
		{"a read after 503", get, 503, "", 4},
		{"a read after 500", get, 500, "", 4},
		{"a read after 429", get, 429, "0", 4},
		{"a read after 404", get, 404, "", 1},
		{"an open after 500, by its key", open, 500, "", 4},
		{"an open after 503", open, 503, "0", 4},
		{"an open while its twin is in progress", open, 409, "0", 4},
		{"an open after 429", open, 429, "0", 4},
		{"an open after 409", open, 409, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var seen atomic.Int32
			c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
				seen.Add(1)
				if tt.retryAfter != "" {
					w.Header().Set("Retry-After", tt.retryAfter)
				}
				w.WriteHeader(tt.status)
				fmt.Fprintf(w, `{"status":%d,"code":"some_code","detail":"why"}`, tt.status)
			})
			err := tt.call(c)
			if got := client.CodeOf(err); got != "some_code" {
				t.Errorf("code %q of %v, want some_code", got, err)
			}
			if got := seen.Load(); got != tt.want {
				t.Errorf("%d requests, want %d", got, tt.want)
			}
		})
	}
}

func TestAGatewayAnswerIsAProblemToo(t *testing.T) {
	t.Parallel()
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"message":"Unauthorized"}`)
	})
	_, err := c.Usage(context.Background())
	var problem *client.Problem
	if !errors.As(err, &problem) || problem.Status != 401 || problem.Code != "gateway" || problem.Detail != "Unauthorized" {
		t.Errorf("error %v, want a Problem with status 401, code gateway", err)
	}
}

// A PUT whose answer was lost is sent again and meets its own first try.
func TestSendTakesItsOwnWriteOnceKeyForSuccess(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		answers []int
		wantErr bool
	}{
		{"lost answer, then 412", []int{500, 412}, false},
		{"412 at once: somebody else's bytes", []int{412}, true},
		{"500, then 200", []int{500, 200}, false},
		{"403 is final", []int{403}, true},
		{"lost answer to a PUT that is still under way, then 412", []int{500, 409, 412}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var seen atomic.Int32
			content := []byte("the whole content, every time")
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || !bytes.Equal(body, content) || r.Header.Get("If-None-Match") != "*" {
					t.Errorf("body %q, If-None-Match %q, error %v", body, r.Header.Get("If-None-Match"), err)
				}
				w.WriteHeader(tt.answers[seen.Add(1)-1])
			}))
			defer server.Close()
			c := newClient(t, nil)
			err := c.Send(context.Background(), client.SignedRequest{
				URL: server.URL + "/key?X-Amz-Signature=hush", Method: http.MethodPut, Headers: map[string]string{"If-None-Match": "*"},
			}, bytes.NewReader(content), int64(len(content)))
			if (err != nil) != tt.wantErr {
				t.Errorf("error %v, want one: %v", err, tt.wantErr)
			}
			if got := int(seen.Load()); got != len(tt.answers) {
				t.Errorf("%d requests, want %d", got, len(tt.answers))
			}
		})
	}
}

// A proxy on the way may send a PUT again by itself and pass on the answer to its second try.
func TestPutAsksTheAPIWhenItsNewKeyIsTaken(t *testing.T) {
	t.Parallel()
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost:
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"upload":{"id":"u","state":"open"},"put":{"url":%q,"method":"PUT"}}`, server.URL+"/key")
		case http.MethodPut:
			w.WriteHeader(http.StatusPreconditionFailed)
		default:
			fmt.Fprint(w, `{"id":"u","state":"available"}`)
		}
	}))
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, client.StaticToken("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	upload, err := c.Put(context.Background(), client.NewUpload{Path: "p"}, strings.NewReader("x"), 1, nil)
	if err != nil || upload.State != "available" {
		t.Errorf("Put = %+v, %v; want the upload as the API has it", upload, err)
	}
}

func TestNoErrorHoldsASignedURLOrAToken(t *testing.T) {
	t.Parallel()
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close() // nobody listens any more
	c, err := client.New(dead.URL, client.StaticToken("secret-token"), &client.Options{MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	signed := dead.URL + "/key?X-Amz-Signature=hush"
	errs := map[string]error{
		"Send": c.Send(context.Background(), client.SignedRequest{URL: signed, Method: http.MethodPut}, strings.NewReader("x"), 1),
	}
	_, errs["Fetch"] = c.Fetch(context.Background(), client.Content{URL: signed}, io.Discard)
	_, errs["Usage"] = c.Usage(context.Background())
	_, errs["bad URL"] = c.Fetch(context.Background(), client.Content{URL: "http://a b/?X-Amz-Signature=hush"}, io.Discard)
	for name, err := range errs {
		if err == nil {
			t.Errorf("%s succeeded against nobody", name)
			continue
		}
		if strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "secret-token") {
			t.Errorf("%s: the error gives a secret away: %v", name, err)
		}
	}
}

func TestWaitReturnsAtTheEndAndNotBefore(t *testing.T) {
	t.Parallel()
	states := []string{"open", "uploaded", "rejected"}
	var seen atomic.Int32
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"id": "u", "state": states[seen.Add(1)-1], "reason": map[string]string{"code": "size_mismatch"},
		})
	})
	upload, err := c.Wait(context.Background(), "u")
	if err != nil || upload.State != "rejected" || upload.Reason == nil || upload.Reason.Code != "size_mismatch" {
		t.Errorf("Wait = %+v, %v", upload, err)
	}
}

func TestWaitStopsWithItsContext(t *testing.T) {
	t.Parallel()
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"state":"open"}`) })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if _, err := c.Wait(ctx, "u"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline", err)
	}
}

func TestObjectsFollowsCursorsToTheEnd(t *testing.T) {
	t.Parallel()
	pages := map[string]string{
		"":   `{"items":[{"path":"a"},{"path":"b"}],"nextCursor":"c1"}`,
		"c1": `{"items":[],"nextCursor":"c2"}`,
		"c2": `{"items":[{"path":"c"}],"nextCursor":null}`,
	}
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, pages[r.URL.Query().Get("cursor")])
	})
	var paths []string
	for object, err := range c.Objects(context.Background(), "") {
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, object.Path)
	}
	if got := strings.Join(paths, " "); got != "a b c" {
		t.Errorf("objects %q, want a b c", got)
	}
}

func TestAShortDownloadIsAnError(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("only this"))
	}))
	defer server.Close()
	_, err := newClient(t, nil).Fetch(context.Background(), client.Content{URL: server.URL}, io.Discard)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want an unexpected end", err)
	}
}

// S3 may hang up on a body that it does not want before it has said why.
func TestARefusalIsOneEvenWhenItsExplanationIsCutOff(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "500")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte("<Error><Code>Signature"))
	}))
	defer server.Close()
	err := newClient(t, nil).Send(context.Background(), client.SignedRequest{URL: server.URL, Method: http.MethodPut}, strings.NewReader("x"), 1)
	var refused *client.StorageError
	if !errors.As(err, &refused) || refused.Status != http.StatusForbidden || refused.Code != "Forbidden" {
		t.Errorf("error %v, want a StorageError with status 403", err)
	}
}

func TestUndeleteAndVersions(t *testing.T) {
	t.Parallel()
	keys := map[string]bool{}
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "POST /v1/objects/a/undelete":
			keys[r.Header.Get("Idempotency-Key")] = true
			fmt.Fprint(w, `{"id":"a","state":"available","rev":3}`)
		case "GET /v1/objects/a/versions":
			if r.URL.Query().Get("cursor") == "" {
				fmt.Fprint(w, `{"items":[{"id":"2","size":5}],"nextCursor":"x"}`)
				return
			}
			fmt.Fprint(w, `{"items":[{"id":"1","state":"rejected"}],"nextCursor":null}`)
		case "GET /v1/objects":
			fmt.Fprintf(w, `{"items":[{"id":"a","state":%q}],"nextCursor":null}`, r.URL.Query().Get("state"))
		default:
			t.Errorf("%s %s", r.Method, r.URL)
		}
	})
	o, err := c.Undelete(t.Context(), "a")
	if err != nil || o.State != "available" || o.Rev != 3 || len(keys) != 1 || keys[""] {
		t.Errorf("Undelete = %+v, %v with the keys %v", o, err, keys)
	}
	var ids []string
	for v, err := range c.Versions(t.Context(), "a") {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, v.ID)
	}
	if strings.Join(ids, " ") != "2 1" {
		t.Errorf("Versions = %v", ids)
	}
	for d, err := range c.Deleted(t.Context()) {
		if err != nil || d.State != "deleted" {
			t.Errorf("Deleted = %+v, %v", d, err)
		}
	}
}
