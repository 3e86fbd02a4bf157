package issuer

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-jose/go-jose/v4"
)

// signingKey is the RSA key of one pool.
type signingKey struct {
	id      string // thumbprint of the public key, RFC 7638
	private *rsa.PrivateKey
	der     []byte
}

// loadKey reads the key of a pool from the state directory, or makes it.
func loadKey(dir, poolID string) (*signingKey, error) {
	file := filepath.Join(dir, poolID+".pem")
	raw, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		raw, err = makeKey(file)
	}
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("signing key %s is damaged: remove it to get a new one", file)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("signing key %s is damaged, remove it to get a new one: %w", file, err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("signing key %s is no RSA key: remove it to get a new one", file)
	}
	thumbprint, err := (&jose.JSONWebKey{Key: &private.PublicKey}).Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", file, err)
	}
	return &signingKey{id: base64.RawURLEncoding.EncodeToString(thumbprint), private: private, der: block.Bytes}, nil
}

// makeKey writes under another name and renames, so that a kill leaves no half of a key.
func makeKey(file string) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	raw := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(file+".new", raw, 0o600); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	return raw, nil
}

// secret derives the secret of an app client, so that there is one thing to keep and not two.
func (k *signingKey) secret(clientID string) string {
	mac := hmac.New(sha256.New, k.der)
	mac.Write([]byte("client secret of " + clientID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
