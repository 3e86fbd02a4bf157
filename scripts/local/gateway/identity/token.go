package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// tokenVersion is the first byte of a token; a token of another version is invalid.
const tokenVersion = 1

// seal makes the session token of a caller: version, JSON, HMAC-SHA256. It is in base64's standard
// alphabet, as AWS's tokens are, so that whoever forgets to escape it in a URL finds out here.
func (i *Issuer) seal(c Caller) (string, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encode the session token: %w", err)
	}
	blob := make([]byte, 0, 1+len(body)+sha256.Size)
	blob = append(blob, tokenVersion)
	blob = append(blob, body...)
	blob = append(blob, i.mac("session token", blob)...)
	return base64.StdEncoding.EncodeToString(blob), nil
}

func (i *Issuer) open(token string) (*Caller, error) {
	blob, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil || len(blob) < 1+sha256.Size || blob[0] != tokenVersion {
		return nil, ErrInvalidToken
	}
	signed, mac := blob[:len(blob)-sha256.Size], blob[len(blob)-sha256.Size:]
	if !hmac.Equal(mac, i.mac("session token", signed)) {
		return nil, ErrInvalidToken
	}
	var c Caller
	if err := json.Unmarshal(signed[1:], &c); err != nil {
		return nil, ErrInvalidToken
	}
	return &c, nil
}
