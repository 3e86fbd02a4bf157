// Package identity issues the credentials with which the functions, tools and
// people of the local runtime sign their calls, and tells from a signed call
// who made it.
//
// Nothing has to be stored for a credential: the secret of an access key is an
// HMAC of its id under one master key, and a session token is an authenticated
// blob that names the session's principal, tags and end. Whoever holds the
// master key (the gateway, and the S3 engine in its own process) can verify any
// call, and credentials survive a restart as long as the master key does.
//
// An Issuer is safe for concurrent use.
package identity

import (
	"errors"
	"io"
	"sync"
	"time"
)

// Prefixes of access key ids, as IAM gives them out.
const (
	prefixUser    = "AKIA" // long-term key of a user
	prefixSession = "ASIA" // temporary key of a role session
	prefixRole    = "AROA" // unique id of a role
	prefixUserID  = "AIDA" // unique id of a user
)

// MasterKeySize is the length of a master key in bytes.
const MasterKeySize = 32

// Why a caller could not be told from its access key and token.
var (
	ErrUnknownKey   = errors.New("the access key id is not known here")
	ErrInvalidToken = errors.New("the session token is missing, altered or belongs to another access key")
	ErrExpiredToken = errors.New("the session token has expired")
)

// Caller is the principal behind an access key.
type Caller struct {
	AccessKeyID  string
	PrincipalARN string // of the user or of the role session (arn:aws:sts::<account>:assumed-role/<role>/<session>)
	UserID       string // aws:userid: the user's unique id, or <role's unique id>:<session>
	RoleARN      string // of the role a session assumed; empty for a user
	Function     string // the function that a session was issued to; empty for others
	AssumedBy    string // access key with which the role was assumed; empty: it was issued
	SessionTags  map[string]string
	// SessionPolicies are the documents that were passed when the role was assumed: they bound what
	// the session may do.
	SessionPolicies []string
	Issued          time.Time // zero for a user
	Expires         time.Time // zero: never
}

// Credentials are what a client signs with.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string    // empty for a user
	Expires         time.Time // zero: never
}

// Config configures an Issuer. MasterKey is required.
type Config struct {
	MasterKey []byte           // MasterKeySize bytes
	Now       func() time.Time // nil: time.Now
	Random    io.Reader        // nil: crypto/rand
}

// Issuer issues credentials and resolves them to callers.
type Issuer struct {
	key    []byte
	now    func() time.Time
	random io.Reader

	mu    sync.RWMutex
	users map[string]Caller // by access key id
}
