// Package ledgerapi is the HTTP API of the relational stack: the entries of the storage
// ledger, statements, adjustments, and search.
//
// Everything is about one workspace, the caller's, which is part of every query, of every
// cursor, and of what row-level security lets the transaction see. Adjustments are booked
// once for each Idempotency-Key, in the transaction that books them.
//
// A database that wakes up, fails over or is too busy is a 503 with Retry-After, well
// within the time that API Gateway waits.
//
// The handler is safe for concurrent use. It needs rds-db:connect as its user, on the
// catalog dynamodb:GetItem (members, workspaces) and UpdateItem (the rate of writes), and
// nothing else.
package ledgerapi
