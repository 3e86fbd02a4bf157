package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
)

// relayTo gives the address of a proxy for an engine.
func relayTo(t *testing.T, engine http.Handler) string {
	t.Helper()
	target := httptest.NewServer(engine)
	t.Cleanup(target.Close)
	return proxyTo(t, target.URL)
}

func proxyTo(t *testing.T, url string) string {
	t.Helper()
	proxy, err := gateway.NewProxy(url)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	return front.URL
}

func fetch(t *testing.T, method, url string, change func(*http.Request)) (*http.Response, []byte, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

// TestRelayPassesOnAsItCame: what the signature covers, and every sort of answer.
func TestRelayPassesOnAsItCame(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	url := relayTo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-Twice"] = []string{"a", "b"}
		w.Header().Set("X-Seen", strings.Join([]string{r.Method, r.RequestURI, r.Host, r.Header.Get("X-Own"), r.Header.Get("X-Forwarded-For"), "te=" + r.Header.Get("Te")}, " "))
		switch {
		case strings.HasPrefix(r.URL.Path, "/chunked"):
			for range 3 {
				_, _ = w.Write([]byte("part "))
				w.(http.Flusher).Flush()
			}
		case strings.HasPrefix(r.URL.Path, "/nothing"):
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("Content-Length", fmt.Sprint(len(large)))
			_, _ = w.Write(large)
		}
	}))
	for range 3 { // over kept connections too
		for path, want := range map[string]string{"/b/k%2F%C3%A4%20%2B?versionId=a%2Bb&x-id=GetObject": string(large), "/chunked": "part part part ", "/nothing": ""} {
			resp, body, err := fetch(t, http.MethodGet, url+path, func(r *http.Request) {
				r.Host, r.Header = "s3.example", http.Header{"X-Own": {"own"}, "Te": {"trailers"}, "X-Forwarded-For": {"8.8.8.8"}}
			})
			if err != nil || string(body) != want {
				t.Fatalf("%s: %d bytes, %v", path, len(body), err)
			}
			if got := resp.Header.Get("X-Seen"); got != "GET "+path+" s3.example own 127.0.0.1 te=" {
				t.Errorf("the engine saw %q", got)
			}
			if len(resp.Header["X-Twice"]) != 2 {
				t.Errorf("headers %v", resp.Header)
			}
		}
		resp, body, err := fetch(t, http.MethodHead, url+"/large", nil)
		if err != nil || len(body) != 0 || resp.ContentLength != int64(len(large)) {
			t.Errorf("HEAD: %d, %v", resp.ContentLength, err)
		}
	}
}

// TestRelayAsksAgain: an engine closes a connection that was kept, as when it is restarted.
func TestRelayAsksAgain(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, asked.Add(1))
	}))
	t.Cleanup(target.Close)
	url := proxyTo(t, target.URL)
	for n := 1; n <= 5; n++ {
		_, body, err := fetch(t, http.MethodGet, url, nil)
		if err != nil || string(body) != fmt.Sprint(n) {
			t.Fatalf("request %d: %s, %v", n, body, err)
		}
		target.CloseClientConnections()
	}
}

// TestRelayFindsClosedConnections: a call that may not go out twice does not go out on one of those.
func TestRelayFindsClosedConnections(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !strings.Contains(string(body), "Limit") || r.Header.Get("X-Amz-Target") != "DynamoDB_20120810.ListTables" {
			t.Errorf("%s %v, %v", body, r.Header, err)
		}
		asked.Add(1)
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(target.Close)
	f := newFixture(t, func(c *gateway.Config) {
		proxy, err := gateway.NewProxy(target.URL)
		if err != nil {
			t.Fatal(err)
		}
		c.Services[gateway.DynamoDB] = proxy
	})
	for n := range int32(5) {
		if _, err := f.dynamodb(f.creds).ListTables(t.Context(), &dynamodb.ListTablesInput{Limit: aws.Int32(n + 1)}); err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
		target.CloseClientConnections()
	}
	if n := asked.Load(); n != 5 {
		t.Errorf("the engine was asked %d times", n)
	}
}

func TestRelayWithoutAnEngine(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, func(c *gateway.Config) {
		proxy, err := gateway.NewProxy("http://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.Services[gateway.S3] = proxy
	})
	l.Close()
	resp, body, err := fetch(t, http.MethodGet, f.Endpoint()+"/b/k", nil)
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "cannot be reached") {
		t.Errorf("%v %s %v", resp, body, err)
	}
}

// TestRelayTellsOfACutAnswer: a client must not take half of an object for the whole.
func TestRelayTellsOfACutAnswer(t *testing.T) {
	t.Parallel()
	url := relayTo(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(make([]byte, 500_000))
		panic(http.ErrAbortHandler)
	}))
	if _, body, err := fetch(t, http.MethodGet, url, nil); err == nil {
		t.Errorf("%d bytes of a million, and no error", len(body))
	}
}

// TestRelayLetsGo: when the client goes, so does the request to the engine.
func TestRelayLetsGo(t *testing.T) {
	t.Parallel()
	begun, gone := make(chan struct{}, 2), make(chan struct{}, 2)
	url := relayTo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			_, _ = w.Write([]byte("some"))
			w.(http.Flusher).Flush()
		}
		begun <- struct{}{}
		<-r.Context().Done()
		gone <- struct{}{}
	}))
	for _, path := range []string{"/silent", "/late"} {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if resp, err := http.DefaultClient.Do(r); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}()
		<-begun
		cancel()
		select {
		case <-gone:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: the engine still works for nobody", path)
		}
	}
}
