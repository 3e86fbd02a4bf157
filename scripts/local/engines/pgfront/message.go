package pgfront

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Bounds of what is read before a client is let in. An IAM token with the session token
// of an assumed role in it is some kilobytes long.
const (
	maxStartup = 10_000 // PostgreSQL's MAX_STARTUP_PACKET_LENGTH
	maxMessage = 64 << 10
)

// Codes that stand in the place of the protocol's version.
const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSSEnc = 80877104
)

// readStartup reads a message of those that have no type in front: exactly its bytes,
// because what follows may be TLS.
func readStartup(r io.Reader) (pgproto3.FrontendMessage, error) {
	body, err := readBody(r, maxStartup)
	if err != nil {
		return nil, err
	}
	if len(body) < 4 {
		return nil, fmt.Errorf("read the startup message: %d bytes are too few", len(body))
	}
	var m pgproto3.FrontendMessage
	switch binary.BigEndian.Uint32(body) {
	case codeSSL:
		m = &pgproto3.SSLRequest{}
	case codeGSSEnc:
		m = &pgproto3.GSSEncRequest{}
	case codeCancel:
		m = &pgproto3.CancelRequest{}
	default:
		m = &pgproto3.StartupMessage{}
	}
	if err := m.Decode(body); err != nil {
		return nil, fmt.Errorf("read the startup message: %w", err)
	}
	return m, nil
}

func readMessage(r io.Reader) (kind byte, body []byte, err error) {
	var k [1]byte
	if _, err := io.ReadFull(r, k[:]); err != nil {
		return 0, nil, fmt.Errorf("read a message: %w", err)
	}
	body, err = readBody(r, maxMessage)
	return k[0], body, err
}

// readBody reads what a length is in front of, which counts itself.
func readBody(r io.Reader, limit uint32) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, fmt.Errorf("read a message's length: %w", err)
	}
	n := binary.BigEndian.Uint32(length[:])
	if n < 4 || n > limit {
		return nil, fmt.Errorf("read a message: its length is %d, from 4 to %d are served", n, limit)
	}
	body := make([]byte, n-4)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("read a message: %w", err)
	}
	return body, nil
}

func writeMessage(w io.Writer, kind byte, body []byte) error {
	out := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
	if _, err := w.Write(append(out, body...)); err != nil {
		return fmt.Errorf("write a message: %w", err)
	}
	return nil
}

// encoder is a message of either side.
type encoder interface {
	Encode(dst []byte) ([]byte, error)
}

func send(w io.Writer, m encoder) error {
	out, err := m.Encode(nil)
	if err == nil {
		_, err = w.Write(out)
	}
	if err != nil {
		return fmt.Errorf("send %T: %w", m, err)
	}
	return nil
}
