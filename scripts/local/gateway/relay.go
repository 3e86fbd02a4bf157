package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// relay passes on requests whose body is empty or at hand, and their answers. It does without the
// goroutines of an http.Transport, for which a small call would wait. A large answer goes from one socket
// to the other within the kernel (splice(2)): its bytes are never copied into this process, which would
// cost a download half of its speed and each of them a buffer.
type relay struct {
	address string
	idle    chan *engineConn
}

// engineConn is a connection to an engine.
type engineConn struct {
	net.Conn
	read *bufio.Reader
	used bool // it has carried an answer before
}

// dialTimeout bounds how long it takes to find out that there is no engine.
const dialTimeout = 5 * time.Second

// relayed gives the body of a request that is one for a relay.
func relayed(r *http.Request) (body []byte, ok bool) {
	if c := CallFrom(r.Context()); c != nil && c.Service != S3 && r.Method == http.MethodPost {
		return c.Body, true
	}
	return nil, repeatable(r) && r.ContentLength == 0 && r.Header.Get("Upgrade") == ""
}

// repeatable says whether a request may go out twice.
func repeatable(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

func (p *relay) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	c, resp, err := p.ask(r, body)
	if err != nil {
		unreachable(w, r, err)
		return
	}
	stop := context.AfterFunc(r.Context(), func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // the client has gone
	copyHeader(w.Header(), resp.Header)
	if resp.ContentLength >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	w.WriteHeader(resp.StatusCode)
	if r.Method != http.MethodHead {
		err = c.copyBody(w, resp)
	}
	switch {
	case stop() && err == nil && !resp.Close:
		p.keep(c)
	case err != nil:
		c.Close()
		panic(http.ErrAbortHandler) // so that the client does not take a part for the whole
	default:
		c.Close()
	}
}

// ask sends a request and reads the head of its answer. A connection that was kept may be closed at its
// other end while the request is on its way; then one that may goes out again.
func (p *relay) ask(r *http.Request, body []byte) (*engineConn, *http.Response, error) {
	message := append(requestHead(r, len(body)), body...)
	for {
		c, err := p.connect(r.Context())
		if err != nil {
			return nil, nil, err
		}
		stop := context.AfterFunc(r.Context(), func() { _ = c.SetDeadline(time.Unix(1, 0)) })
		resp, err := c.exchange(message, r)
		if stop(); err == nil {
			return c, resp, nil
		}
		c.Close()
		if !c.used || !repeatable(r) || r.Context().Err() != nil {
			return nil, nil, err
		}
	}
}

func (p *relay) connect(ctx context.Context) (*engineConn, error) {
	if c := p.kept(); c != nil {
		return c, nil
	}
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, fmt.Errorf("connect to the engine: %w", err)
	}
	return &engineConn{Conn: conn, read: bufio.NewReader(conn)}, nil
}

// kept is a connection that was kept; nil when there is none.
func (p *relay) kept() *engineConn {
	for {
		select {
		case c := <-p.idle:
			if c.alive() {
				return c
			}
			c.Close()
		default:
			return nil
		}
	}
}

// keep holds a connection for the next request, if there are not too many.
func (p *relay) keep(c *engineConn) {
	c.used = true
	if c.read.Buffered() > 0 { // an engine that says more than it was asked
		c.Close()
		return
	}
	select {
	case p.idle <- c:
	default:
		c.Close()
	}
}

// alive says whether a connection on which nothing is under way is open at its other end: there is nothing
// to read then, not even its end.
func (c *engineConn) alive() bool {
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return true
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && quiet
}

func (c *engineConn) exchange(message []byte, r *http.Request) (*http.Response, error) {
	if _, err := c.Write(message); err != nil {
		return nil, fmt.Errorf("send to the engine: %w", err)
	}
	resp, err := http.ReadResponse(c.read, r)
	if err != nil {
		return nil, fmt.Errorf("read the engine's answer: %w", err)
	}
	return resp, nil
}

// copyBody passes on the body of an answer, from the buffer as far as it has been read, and then from
// socket to socket.
func (c *engineConn) copyBody(w http.ResponseWriter, resp *http.Response) error {
	if resp.ContentLength < 0 || resp.Body == http.NoBody {
		_, err := io.Copy(w, resp.Body)
		return err //nolint:wrapcheck // it only says that the answer was cut short
	}
	left := resp.ContentLength
	n, err := io.CopyN(w, c.read, min(left, int64(c.read.Buffered())))
	if left -= n; err == nil && left > 0 {
		_, err = io.CopyN(w, c.Conn, left)
	}
	return err //nolint:wrapcheck // likewise
}

// requestHead is a request as it goes to the engine: as it came, for the signature covers it.
func requestHead(r *http.Request, length int) []byte {
	uri := r.RequestURI
	if !strings.HasPrefix(uri, "/") {
		uri = r.URL.RequestURI()
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, uri, r.Host)
	header := r.Header.Clone()
	header.Del("X-Forwarded-For")
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		header.Set("X-Forwarded-For", host)
	}
	for _, name := range hopByHop() {
		header.Del(name)
	}
	if length > 0 {
		header.Set("Content-Length", strconv.Itoa(length))
	}
	_ = header.Write(&b) // a buffer takes everything
	b.WriteString("\r\n")
	return b.Bytes()
}

func copyHeader(to, from http.Header) {
	for name, values := range from {
		if !slices.Contains(hopByHop(), name) {
			to[name] = values
		}
	}
}

// hopByHop are the headers that are about one connection alone (RFC 9110, section 7.6.1).
func hopByHop() []string {
	return []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}
}
