package xray

import (
	"bytes"
	"errors"
	"fmt"
	"net"
)

// maxDatagram is the largest UDP payload; the X-Ray SDK keeps below it.
const maxDatagram = 64 << 10

// Receive takes what functions send to the X-Ray daemon: a header line,
// {"format":"json","version":1}, and one segment document in each datagram. take
// must not keep the document. It returns nil once conn is closed.
func Receive(conn net.PacketConn, take func(document []byte)) error {
	buf := make([]byte, maxDatagram)
	for {
		n, _, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read segments: %w", err)
		}
		_, document, ok := bytes.Cut(buf[:n], []byte("\n"))
		if document = bytes.TrimSpace(document); ok && len(document) > 0 {
			take(document)
		}
	}
}
