package clamdscan_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/clamdtest"
	"github.com/stowage-dev/stowage/shared/clamdscan"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/scan"
)

const mib = 1 << 20

// TestVerdicts of a real clamd.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	const most = 4 * mib
	address := clamdtest.Start(t, most)
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < n; i++ {
			b[i] = byte(r.IntN(256))
		}
		return b
	}
	archive := func(name string, body []byte) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(body)
		}
		if err := errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, tc := range map[string]struct {
		body   []byte
		want   scan.Result
		threat string
	}{
		"nothing":                      {nil, scan.Clean, ""},
		"text":                         {[]byte("hello"), scan.Clean, ""},
		"as much as a chunk":           {noise(64 << 10), scan.Clean, ""},
		"a byte more than a chunk":     {noise(64<<10 + 1), scan.Clean, ""},
		"as much as it takes":          {noise(most), scan.Clean, ""},
		"a byte more than it takes":    {noise(most + 1), scan.Unsupported, ""},
		"much more than it takes":      {noise(4 * most), scan.Unsupported, ""},
		"malware":                      {[]byte("here: " + clamdtest.Malware), scan.Infected, clamdtest.Signature},
		"malware over two chunks":      {append(noise(64<<10-10), clamdtest.Malware...), scan.Infected, clamdtest.Signature},
		"malware in an archive":        {archive("a.txt", []byte(clamdtest.Malware)), scan.Infected, clamdtest.Signature},
		"an archive larger than that":  {archive("zeros", make([]byte, 8*most)), scan.Unsupported, ""},
		"what is not quite an archive": {archive("a", noise(1000))[:600], scan.Clean, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := clamdscan.New(address).Scan(t.Context(), bytes.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			if v.Result != tc.want || v.Scanner != clamdscan.Name || strings.Join(v.Threats, ",") != tc.threat || (v.Result == scan.Unsupported) != (v.Detail != "") {
				t.Errorf("%d bytes are %+v, want %s %s", len(tc.body), v, tc.want, tc.threat)
			}
		})
	}
}

// slowly yields n zeros and notes how much memory is in use when it is half-way.
type slowly struct {
	n, left int
	heap    uint64
}

func (s *slowly) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if s.left > s.n/2 && s.left-len(p) <= s.n/2 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		s.heap = m.HeapAlloc
	}
	k := min(len(p), s.left)
	clear(p[:k])
	s.left -= k
	return k, nil
}

// TestMemoryDoesNotGrow with what is scanned.
func TestMemoryDoesNotGrow(t *testing.T) {
	const size = 256 * mib
	address := clamdtest.Start(t, 2*size)
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	body := &slowly{n: size, left: size}
	if v, err := clamdscan.New(address).Scan(t.Context(), body); err != nil || v.Result != scan.Clean {
		t.Fatalf("%+v, %v", v, err)
	}
	if grown := int64(body.heap) - int64(before.HeapAlloc); grown > 8*mib || body.heap == 0 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
}

// brokenOff ends as a connection does that is cut.
type brokenOff struct{ io.Reader }

func (b brokenOff) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// TestBrokenOffIsNotClean: what was not read to its end has no verdict.
func TestBrokenOffIsNotClean(t *testing.T) {
	t.Parallel()
	address := clamdtest.Start(t, mib)
	for _, size := range []int{0, 10, 64 << 10, 100 << 10} {
		v, err := clamdscan.New(address).Scan(t.Context(), brokenOff{bytes.NewReader(make([]byte, size))})
		if !errors.Is(err, io.ErrUnexpectedEOF) || v.Result != "" {
			t.Errorf("of %d bytes: %+v, %v", size, v, err)
		}
	}
}

// server answers every connection by what talk does.
func server(t *testing.T, talk func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				talk(c)
			}()
		}
	}()
	return l.Addr().String()
}

// TestWithoutAnAnswer: a scanner that is missing, slow, or talks nonsense says of nothing
// that it is clean, and the scan can be tried again.
func TestWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	read := func(c net.Conn) { io.CopyN(io.Discard, c, 10+4+5+4) }
	for name, talk := range map[string]func(net.Conn){
		"hangs up":          func(net.Conn) {},
		"reads and is mute": read,
		"says nothing":      func(net.Conn) { <-done },
		"half an answer":    func(c net.Conn) { read(c); io.WriteString(c, "stream: O") },
		"OK of what":        func(c net.Conn) { read(c); io.WriteString(c, "OK\x00") },
		"another protocol":  func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			v, err := clamdscan.New(server(t, talk)).Scan(ctx, strings.NewReader("hello"))
			if !fault.Is(err, fault.Unavailable) || v.Result == scan.Clean {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		_, err := clamdscan.New("127.0.0.1:1").Scan(t.Context(), strings.NewReader("hello"))
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("%v", err)
		}
	})
}
