// Package client is a Go client of the Stowage HTTP API.
//
// It opens uploads, sends the bytes straight to S3 with the presigned request that
// the API answers with, waits until ingest has verified them, and reads objects,
// folders and usage. Where the relational stack is deployed it reads the ledger, books
// adjustments and searches, too. It needs nothing of AWS: no credentials, no SDK.
//
// A Client is safe for concurrent use. Every method stops when its context ends.
// Reads are retried on 429, 502, 503, 504 and connection errors, with exponential
// backoff and jitter, honouring Retry-After; a write is retried only where repeating
// it changes nothing (DELETE, the PUT of bytes, which is write-once, and what carries an
// Idempotency-Key).
//
// A refusal by the API is a *Problem (RFC 9457) with a stable Code; a refusal by S3
// is a *StorageError. Neither ever holds a token or a signed URL.
package client
