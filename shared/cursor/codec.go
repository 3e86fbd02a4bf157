package cursor

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/stowage-dev/stowage/shared/fault"
)

const (
	version     = 1
	nonceBytes  = 12
	headerBytes = 1 + keyIDBytes + nonceBytes
	// MaxBytes is the longest cursor that is looked at.
	MaxBytes = 8 << 10
)

// Keys gives the ring to seal and open with.
type Keys interface {
	// Ring returns the ring in use.
	Ring(ctx context.Context) (*Ring, error)
	// Renew returns the ring after a look at whether the keys were rotated. It is called
	// when a cursor names a key that Ring does not hold, so it must bound how often it looks.
	Renew(ctx context.Context) (*Ring, error)
}

// Binding is what a cursor is good for.
type Binding struct {
	Workspace string
	// Query names the list and all that filters or orders it, in one spelling.
	Query string
}

// Codec seals and opens cursors.
type Codec struct {
	keys   Keys
	random io.Reader
}

// NewCodec returns a Codec. random gives nonces: crypto/rand.Reader.
func NewCodec(keys Keys, random io.Reader) *Codec {
	return &Codec{keys: keys, random: random}
}

// Seal returns the cursor of a position.
func (c *Codec) Seal(ctx context.Context, binding Binding, position []byte) (string, error) {
	ring, err := c.keys.Ring(ctx)
	if err != nil {
		return "", fmt.Errorf("get the cursor keys: %w", err)
	}
	k := ring.sealing()
	sealed := make([]byte, headerBytes, headerBytes+len(position)+k.aead.Overhead())
	sealed[0] = version
	copy(sealed[1:], k.id[:])
	nonce := sealed[1+keyIDBytes : headerBytes]
	if _, err := io.ReadFull(c.random, nonce); err != nil {
		return "", fmt.Errorf("draw a nonce: %w", err)
	}
	sealed = k.aead.Seal(sealed, nonce, position, binding.bytes())
	if n := base64.RawURLEncoding.EncodedLen(len(sealed)); n > MaxBytes {
		return "", fmt.Errorf("seal a cursor: %d bytes are more than the %d that are read back", n, MaxBytes)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// Open returns the position that was sealed for the same binding. Every other string is
// refused with fault.InvalidArgument, without saying what was wrong with it.
func (c *Codec) Open(ctx context.Context, binding Binding, cursor string) ([]byte, error) {
	if len(cursor) > MaxBytes || strings.ContainsAny(cursor, "\r\n") { // base64 would skip line ends
		return nil, invalid()
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(sealed) < headerBytes || sealed[0] != version {
		return nil, invalid()
	}
	k, err := c.key(ctx, sealed[1:1+keyIDBytes])
	if err != nil {
		return nil, err
	}
	position, err := k.aead.Open(nil, sealed[1+keyIDBytes:headerBytes], sealed[headerBytes:], binding.bytes())
	if err != nil {
		return nil, invalid()
	}
	return position, nil
}

func (c *Codec) key(ctx context.Context, id []byte) (key, error) {
	ring, err := c.keys.Ring(ctx)
	if err != nil {
		return key{}, fmt.Errorf("get the cursor keys: %w", err)
	}
	if k, ok := ring.find(id); ok {
		return k, nil
	}
	if ring, err = c.keys.Renew(ctx); err != nil {
		return key{}, fmt.Errorf("renew the cursor keys: %w", err)
	}
	if k, ok := ring.find(id); ok {
		return k, nil
	}
	return key{}, invalid()
}

// bytes is unambiguous: the length of the workspace stands before it.
func (b Binding) bytes() []byte {
	out := binary.AppendUvarint(make([]byte, 0, len(b.Workspace)+len(b.Query)+2), uint64(len(b.Workspace)))
	out = append(out, b.Workspace...)
	return append(out, b.Query...)
}

func invalid() error {
	return fault.Invalid("cursor", "is not one that this list gave out, or is too old: start again without a cursor")
}
