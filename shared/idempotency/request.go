package idempotency

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"

	"github.com/stowage-dev/stowage/shared/fault"
)

// KeyBytes is the longest key.
const KeyBytes = 255

// Digest is a SHA-256.
type Digest [sha256.Size]byte

// Sum returns the digest of a list of parts. Lists that differ in any part, or in
// where one ends and the next begins, differ in their digest.
func Sum[P ~string | ~[]byte](parts ...P) Digest {
	h := sha256.New()
	for _, p := range parts {
		add(h, []byte(p))
	}
	return Digest(h.Sum(nil))
}

func add(h hash.Hash, part []byte) {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(part)))
	h.Write(length[:]) // a hash never fails
	h.Write(part)
}

// String returns the digest in base64url without padding.
func (d Digest) String() string { return base64.RawURLEncoding.EncodeToString(d[:]) }

// Request is one thing to be done once.
type Request struct {
	// Scope says whose key it is and of which operation: a workspace, a caller, a
	// route. The same key in two scopes is two keys.
	Scope []string
	// Key is what the caller chose: 1 to KeyBytes printable ASCII characters.
	Key string
	// Payload is the digest of all that the request says. The same key may come
	// with this payload only.
	Payload Digest
}

// Validate returns an InvalidArgument error for a key that is too short, too long
// or not printable.
func (r Request) Validate() error {
	if len(r.Key) < 1 || len(r.Key) > KeyBytes {
		return fault.Invalid("Idempotency-Key", "has %d characters, want 1 to %d", len(r.Key), KeyBytes)
	}
	for i := range len(r.Key) {
		if c := r.Key[i]; c < ' ' || c > '~' {
			return fault.Invalid("Idempotency-Key", "character %d is not printable ASCII", i+1)
		}
	}
	return nil
}

// id names the record of the request. It shows neither the key nor the scope.
func (r Request) id() string {
	return "I#" + Sum(append(append([]string(nil), r.Scope...), r.Key)...).String()
}
