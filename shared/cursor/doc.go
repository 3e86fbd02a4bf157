// Package cursor seals the position of a list into an opaque string that a client can
// hand back but neither read nor change, nor use in another workspace or for another query.
//
// A cursor is version (1 byte), key id (4 bytes), nonce (12 bytes) and the AES-256-GCM
// ciphertext of the position, in unpadded base64url; the workspace and the query are the
// associated data. Keys come from a Ring: the first one seals, every one opens, so that a
// rotation does not break lists that are being read.
//
// Nonces are random: one key may seal 2^32 cursors (NIST SP 800-38D, 8.3) before it has to
// be rotated.
//
// All types are safe for concurrent use.
package cursor
