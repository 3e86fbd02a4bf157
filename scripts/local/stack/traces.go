package stack

import (
	"context"
	"fmt"
	"net"

	"github.com/stowage-dev/stowage/scripts/local/xray"
)

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
	done := make(chan error, 1)
	go func() {
		done <- xray.Receive(conn, func(document []byte) {
			s.console.Segment(document)
			// A trace is not worth failing for.
			_, _ = log.Write(append(append([]byte(nil), document...), '\n'))
		})
	}()
	s.onClose("the trace log", func() error {
		_ = conn.Close() // ends Receive
		return <-done
	})
	return conn.LocalAddr().String(), nil
}
