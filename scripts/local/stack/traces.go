package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
)

// maxDatagram is the largest UDP payload: the X-Ray SDK keeps below it.
const maxDatagram = 64 << 10

// startTraces stands in for the X-Ray daemon: it takes the segments that
// functions send and appends them to a log, one JSON document a line. It returns
// the address for AWS_XRAY_DAEMON_ADDRESS.
func (s *Stack) startTraces(ctx context.Context) (string, error) {
	log, err := s.logFile("traces")
	if err != nil {
		return "", err
	}
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(ctx, "udp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen for traces: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := copySegments(log, conn); err != nil {
			s.cfg.Logger.Warn("traces are no longer written", "error", err)
		}
	}()
	s.onClose("the trace log", func() error {
		defer func() { <-done }()
		return conn.Close()
	})
	return conn.LocalAddr().String(), nil
}

// copySegments writes what follows each datagram's header line,
// {"format":"json","version":1}, until the connection is closed.
func copySegments(log io.Writer, conn net.PacketConn) error {
	buf := make([]byte, maxDatagram)
	for {
		n, _, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read traces: %w", err)
		}
		_, segment, ok := bytes.Cut(buf[:n], []byte("\n"))
		if !ok {
			continue
		}
		if _, err := log.Write(append(bytes.TrimSpace(segment), '\n')); err != nil {
			return fmt.Errorf("write traces: %w", err)
		}
	}
}
