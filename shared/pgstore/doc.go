// Package pgstore keeps the storage ledger and the search index in PostgreSQL: Aurora
// Serverless v2 behind RDS Proxy.
//
// # Connections
//
// A function has one small pool. The password of each new connection is an IAM token,
// built locally and valid for 15 minutes; TLS is verified. Statements are sent unnamed, as
// pgx does in QueryExecModeExec: a pooler in transaction mode neither pins nor fails on
// them, and each takes one round trip. Results come in binary. Nothing is SET: bounds of
// statements belong to the roles, see the migrations, and tighter ones (stowage.hurry) end
// with their transaction. A connection lives for minutes, far less than a proxy lets it.
//
// # Transactions
//
// Book and Adjust run in a transaction, and the whole of it again when the database
// says that it lost a race (40001, 40P01), or goes away, restarts or fails over, until the
// context is about to end. A commit whose answer is lost is neither done nor undone:
// what runs again must therefore find, by its key, what it has done before, and then do
// nothing. All transactions of this package are of that kind. Those that only read, such
// as Entries, run on the reader where there is one.
//
// Statements whose results a transaction does not wait for travel as one pipeline with
// the next one that it does wait for, with its BEGIN and with its COMMIT.
//
// # Tenancy
//
// Row-level security shows a transaction only the workspaces that it has entered, and
// every query names the workspace besides. What enters is the function stowage.enter,
// whose setting ends with the transaction; that this pins no connection of RDS Proxy is
// unproven until it is seen there.
//
// # Queries
//
// They stand in queries/*.sql, checked against the migrations, and are compiled into
// internal/queries by sqlc (see generate.go). None is built from strings. A query's
// name is what traces call it.
//
// No error and no log line of this package holds a token, a password or a row's values.
//
// A DB is safe for concurrent use. Its role needs rds-db:connect for its user, and
// nothing else.
package pgstore
