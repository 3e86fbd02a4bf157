package pgstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stowage-dev/stowage/shared/fault"
)

// kind is what to do about an error.
type kind int

const (
	final kind = iota // nothing: it would come again
	raced             // at once again: another transaction won
	lost              // again in a moment: the connection or the database is gone
)

// SQLSTATEs that mean more than failure.
// https://www.postgresql.org/docs/17/errcodes-appendix.html
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"
	queryCanceled        = "57014" // by statement_timeout
	adminShutdown        = "57P01"
	crashShutdown        = "57P02"
	cannotConnectNow     = "57P03"
	databaseDropped      = "57P04"
	idleSessionTimeout   = "57P05"
	tooManyConnections   = "53300"
	readOnlyTransaction  = "25006" // of a writer that has become a reader
	featureNotSupported  = "0A000" // by a reader: to be serializable
	idleInTransaction    = "25P03"
	protocolViolation    = "08P01" // also what pgbouncer says when the server is gone
	invalidAuthorization = "28000"
	invalidPassword      = "28P01"
)

func asPgError(err error) (*pgconn.PgError, bool) {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e, true
	}
	return nil, false
}

// classify tells what to do about the error of a transaction.
func classify(err error) kind {
	if e, ok := asPgError(err); ok {
		switch e.Code {
		case serializationFailure, deadlockDetected:
			return raced
		case adminShutdown, crashShutdown, cannotConnectNow, idleSessionTimeout, idleInTransaction, tooManyConnections, readOnlyTransaction, featureNotSupported:
			return lost
		default:
			if strings.HasPrefix(e.Code, "08") {
				return lost
			}
			return final
		}
	}
	var acquire acquireError
	switch {
	case untrusted(err):
		return final
	case errors.As(err, &acquire), asCommitError(err), connectionLost(err):
		return lost
	default:
		return final
	}
}

// astray reports whether the server has said that this is not the connection to work with:
// it leads to a writer that has become a reader, or to a server that is going. Such an error
// leaves the connection open and in good health, but no call on it can succeed.
func astray(err error) bool {
	_, said := asPgError(err)
	return said && classify(err) == lost
}

// untrusted reports whether the server could not prove who it is.
func untrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid)
}

// connectionLost reports whether an error is of the network, at any time of a connection.
func connectionLost(err error) bool {
	var network net.Error
	return pgconn.SafeToRetry(err) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "conn busy")
}

// wakeSeconds is when to ask again for a database that does not take connections: Aurora
// needs about 15 s to wake up from 0 ACU, and as long to fail over.
const wakeSeconds = 10

// explain turns the error of a transaction into one that says what failed, with a code of
// package fault, and nothing that must not be in a log.
func explain(name string, err error) error {
	var coded *fault.Error
	if errors.As(err, &coded) {
		return err
	}
	safe := fmt.Errorf("transaction %s: %w", name, redact(err))
	if e, ok := asPgError(err); ok {
		switch e.Code {
		case queryCanceled, lockNotAvailable, serializationFailure, deadlockDetected:
			return fault.Wrap(fault.Unavailable, safe, "the database is busy: try again in a moment").With("retryAfter", 1)
		case invalidAuthorization, invalidPassword:
			return safe
		}
		if strings.HasPrefix(e.Code, "22") { // data exception
			return fault.Wrap(fault.InvalidArgument, safe, "a value is not one that can be stored")
		}
	}
	var acquire acquireError
	switch {
	case untrusted(err):
		return safe
	case errors.As(err, &acquire) && !errors.Is(err, context.DeadlineExceeded):
		return unavailable(safe, wakeSeconds)
	case errors.As(err, &acquire):
		return unavailable(safe, wakeSeconds/2)
	case classify(err) == lost:
		return unavailable(safe, 2)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unavailable(safe, 1)
	}
	return safe
}

func unavailable(err error, seconds int) error {
	return fault.Wrap(fault.Unavailable, err, "the database cannot be reached at the moment: try again in %d s", seconds).With("retryAfter", seconds)
}

// redacted is an error of the server, or of connecting to it, without the values that its
// text may hold. What caused it can still be asked for.
type redacted struct {
	text  string
	cause error
}

func (e redacted) Error() string { return e.text }
func (e redacted) Unwrap() error { return e.cause }

// redact keeps of a server's error its code and what it is about; its message and detail
// may quote a row.
func redact(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	text := "connection: " + rootText(err)
	if e, ok := asPgError(err); ok {
		text = "SQLSTATE " + e.Code
		for _, about := range []struct{ what, name string }{{"constraint", e.ConstraintName}, {"table", e.TableName}, {"column", e.ColumnName}} {
			if about.name != "" {
				text += ", " + about.what + " " + about.name
			}
		}
		if quotesNothing(e.Code) {
			text += ": " + e.Message
		}
	}
	if asCommitError(err) {
		text = "commit not answered: " + text
	}
	return redacted{text, err}
}

// quotesNothing tells classes of errors whose messages name objects of the schema or
// states of the server, never values.
func quotesNothing(code string) bool {
	switch {
	case strings.HasPrefix(code, "40"), strings.HasPrefix(code, "42"), strings.HasPrefix(code, "53"),
		strings.HasPrefix(code, "55"), strings.HasPrefix(code, "57"), strings.HasPrefix(code, "08"), strings.HasPrefix(code, "25"):
		return true
	default:
		return false
	}
}

// rootText is the innermost message of an error that is not the server's: pgx's own name
// user and database, which is more than a log needs.
func rootText(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// Redact returns an error with the same causes and a text that is fit for a log: nothing
// of a row, a password or a token.
func Redact(err error) error {
	if err == nil {
		return nil
	}
	return redact(err)
}

// Untrusted reports whether err means that the server could not prove who it is, which no
// repetition cures.
func Untrusted(err error) bool { return untrusted(err) }
