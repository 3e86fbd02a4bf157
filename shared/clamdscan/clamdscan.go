// Package clamdscan scans with clamd, the daemon of ClamAV, over TCP or a Unix socket.
//
// Bytes go through its INSTREAM command in chunks, one of which is held at a time: what
// is scanned may be of any size that clamd takes, and the memory here does not grow
// with it.
//
// clamd calls a stream "OK" of which it has read but a part, when that part ended at one
// of its own limits. It must be told not to: see Settings, which docs/runbooks/scanning.md
// repeats. The findings that it then makes of limits and of encryption are no malware:
// they are Unsupported.
package clamdscan

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/scan"
)

// Name is what verdicts call the scanner.
const Name = "ClamAV"

const (
	// chunkBytes is how much is sent at a time.
	chunkBytes = 64 << 10
	// answerBytes bounds what clamd may answer: the name of one signature.
	answerBytes = 4 << 10
	dialTimeout = 5 * time.Second
)

// Settings returns the lines of clamd.conf without which its OK does not mean that it has
// read everything, for streams of at most maxBytes.
func Settings(maxBytes int64) string {
	return fmt.Sprintf("StreamMaxLength %d\nMaxScanSize %d\nMaxFileSize %d\nAlertExceedsMax yes\nAlertEncrypted yes\n", maxBytes, maxBytes, maxBytes)
}

// Client talks to one clamd. It is safe for concurrent use; each scan has a connection of
// its own.
type Client struct {
	network, address string
	dial             func(ctx context.Context, network, address string) (net.Conn, error)
}

// New returns a client of the clamd at address: host:port, or the path of a Unix socket.
func New(address string) *Client {
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	return &Client{network: network, address: address, dial: (&net.Dialer{Timeout: dialTimeout}).DialContext}
}

// Scan sends all of body and returns what clamd says of it. An error that clamd cannot be
// reached, or breaks off, is fault.Unavailable; one of body itself is returned as it is.
func (c *Client) Scan(ctx context.Context, body io.Reader) (scan.Verdict, error) {
	conn, err := c.dial(ctx, c.network, c.address)
	if err != nil {
		return scan.Verdict{}, c.unavailable(err)
	}
	defer conn.Close()
	// A deadline of the past wakes reads and writes when the context ends.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // the connection is closed either way
	defer stop()

	sendErr := send(conn, body)
	var broken *readError
	if errors.As(sendErr, &broken) {
		return scan.Verdict{}, broken.error
	}
	// clamd answers, and closes, before the end of a stream that is too long for it: its
	// answer says more than the write that failed.
	answer, err := bufio.NewReader(io.LimitReader(conn, answerBytes)).ReadString(0)
	switch {
	case context.Cause(ctx) != nil:
		return scan.Verdict{}, c.unavailable(context.Cause(ctx))
	case answer == "":
		return scan.Verdict{}, c.unavailable(errors.Join(sendErr, err))
	case err != nil && !errors.Is(err, io.EOF):
		return scan.Verdict{}, c.unavailable(err)
	}
	return interpret(strings.TrimRight(answer, "\x00\n"))
}

func (c *Client) unavailable(err error) error {
	return fault.Wrap(fault.Unavailable, fmt.Errorf("clamd at %s: %w", c.address, err), "the malware scanner is not available")
}

// readError is an error of what is scanned, not of the scanner.
type readError struct{ error }

func (e *readError) Unwrap() error { return e.error }

// send writes the command and the stream: each chunk after its length, and a length of
// zero at the end.
// https://docs.clamav.net/manual/Usage/Scanning.html#clamd
func send(conn io.Writer, body io.Reader) error {
	if _, err := io.WriteString(conn, "zINSTREAM\x00"); err != nil {
		return fmt.Errorf("send the command: %w", err)
	}
	chunk := make([]byte, 4+chunkBytes)
	for {
		n, err := fill(body, chunk[4:])
		if n > 0 {
			binary.BigEndian.PutUint32(chunk, uint32(n))
			if _, werr := conn.Write(chunk[:4+n]); werr != nil {
				return fmt.Errorf("send the stream: %w", werr)
			}
		}
		switch {
		case err == io.EOF: //nolint:errorlint // a reader that ends says so and no more
			if _, werr := conn.Write(make([]byte, 4)); werr != nil {
				return fmt.Errorf("end the stream: %w", werr)
			}
			return nil
		case err != nil:
			return &readError{fmt.Errorf("read what is scanned: %w", err)}
		}
	}
}

// fill reads until chunk is full or body ends. Unlike io.ReadFull it leaves the error of a
// body that broke off, io.ErrUnexpectedEOF, told from that of one that has ended.
func fill(body io.Reader, chunk []byte) (n int, err error) {
	for n < len(chunk) && err == nil {
		var read int
		read, err = body.Read(chunk[n:])
		n += read
	}
	return n, err //nolint:wrapcheck // the caller tells the end from an error
}

// interpret reads clamd's answer to INSTREAM.
func interpret(answer string) (scan.Verdict, error) {
	v := scan.Verdict{Scanner: Name}
	said, isStream := strings.CutPrefix(answer, "stream: ")
	name, found := strings.CutSuffix(said, " FOUND")
	switch {
	case isStream && said == "OK":
		v.Result = scan.Clean
	case isStream && found && partial(name):
		v.Result, v.Detail = scan.Unsupported, name
	case isStream && found && name != "":
		v.Result, v.Threats = scan.Infected, []string{name}
	case strings.Contains(answer, "size limit exceeded"):
		v.Result, v.Detail = scan.Unsupported, "larger than the scanner takes"
	case strings.HasSuffix(answer, "ERROR"):
		v.Result, v.Detail = scan.Failed, answer
	default:
		return v, fault.Wrap(fault.Unavailable, fmt.Errorf("clamd answered %q", answer), "the malware scanner is not available")
	}
	return v, nil
}

// partial reports whether a finding says that clamd has not seen everything.
func partial(name string) bool {
	return strings.HasPrefix(name, "Heuristics.Limits.Exceeded") || strings.HasPrefix(name, "Heuristics.Encrypted")
}

// Ping reports whether clamd answers.
func (c *Client) Ping(ctx context.Context) error {
	conn, err := c.dial(ctx, c.network, c.address)
	if err != nil {
		return c.unavailable(err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return c.unavailable(err)
		}
	}
	if _, err := io.WriteString(conn, "zPING\x00"); err != nil {
		return c.unavailable(err)
	}
	answer := make([]byte, 5)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return c.unavailable(err)
	}
	if string(answer) != "PONG\x00" {
		return c.unavailable(fmt.Errorf("it answered %q to PING", answer))
	}
	return nil
}
