package cursor

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

const (
	keyIDBytes = 4
	// MinSecretBytes is the shortest secret a key is derived from.
	MinSecretBytes = 32
)

// Ring holds the keys of one moment: one that seals, and the ones that still open.
type Ring struct {
	keys []key // the first one seals
}

type key struct {
	id   [keyIDBytes]byte
	aead cipher.AEAD
}

// NewRing derives a key from each secret. The first one seals; all of them open. A secret
// has at least MinSecretBytes bytes and is as random as a key should be.
func NewRing(secrets ...[]byte) (*Ring, error) {
	if len(secrets) == 0 {
		return nil, errors.New("cursor: a ring needs at least one secret")
	}
	ring := &Ring{keys: make([]key, 0, len(secrets))}
	for i, secret := range secrets {
		if len(secret) < MinSecretBytes {
			return nil, fmt.Errorf("cursor: secret %d has %d bytes, at least %d are needed", i+1, len(secret), MinSecretBytes)
		}
		k, err := deriveKey(secret)
		if err != nil {
			return nil, fmt.Errorf("cursor: derive key %d: %w", i+1, err)
		}
		ring.keys = append(ring.keys, k)
	}
	return ring, nil
}

func deriveKey(secret []byte) (key, error) {
	material, err := hkdf.Key(sha256.New, secret, nil, "stowage cursor v1", 32+keyIDBytes)
	if err != nil {
		return key{}, fmt.Errorf("derive: %w", err)
	}
	block, err := aes.NewCipher(material[:32])
	if err != nil {
		return key{}, fmt.Errorf("make the cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return key{}, fmt.Errorf("make the mode: %w", err)
	}
	return key{id: [keyIDBytes]byte(material[32:]), aead: aead}, nil
}

func (r *Ring) sealing() key { return r.keys[0] }

func (r *Ring) find(id []byte) (key, bool) {
	for _, k := range r.keys {
		if bytes.Equal(k.id[:], id) {
			return k, true
		}
	}
	return key{}, false
}
