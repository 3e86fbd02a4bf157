// Package stderr leaves a text out of what a program writes to standard error.
package stderr

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// Omit has text left out of what is written to os.Stderr from now on; all else goes where it
// went before, as soon as it is written. Call it before anything else runs that writes
// there, and flush at the end, also in a panic: what is written after that is lost.
func Omit(text string) (flush func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe for standard error: %w", err)
	}
	to := os.Stderr
	os.Stderr = w
	done := make(chan struct{})
	go func() {
		defer close(done)
		omit(to, r, []byte(text))
	}()
	return func() {
		_ = w.Close() // ends omit; a second time it does nothing
		<-done
	}, nil
}

// omit copies r to w without text until r ends.
func omit(w io.Writer, r io.Reader, text []byte) {
	var pending []byte
	buffer := make([]byte, 32<<10)
	for {
		n, err := r.Read(buffer)
		pending = bytes.ReplaceAll(append(pending, buffer[:n]...), text, nil)
		kept := beginning(pending, text)
		if err != nil {
			kept = 0
		}
		_, _ = w.Write(pending[:len(pending)-kept]) // there is nowhere to say that it fails
		pending = pending[len(pending)-kept:]
		if err != nil {
			return
		}
	}
}

// beginning is how many bytes at the end of p may be the beginning of text.
func beginning(p, text []byte) int {
	for n := min(len(p), len(text)-1); n > 0; n-- {
		if bytes.HasSuffix(p, text[:n]) {
			return n
		}
	}
	return 0
}
