// Package uploadapi is the HTTP API of Stowage: workspaces, members and quotas, uploads,
// objects and usage.
//
// Bytes never pass through it. Opening an upload reserves quota and answers with a signed
// PUT, or with signed parts; reading an object's content answers with a signed GET. What was
// uploaded is not looked at here either: ingest verifies it, and the catalog tells the
// result.
//
// A write with an Idempotency-Key has one effect, however often it is sent: see once. What
// is kept of it are ids, and each answer is built, and signed, again. The writes of a
// workspace's members are bounded by its rate.
//
// Every route asks for a scope of the token and, where it is about a workspace, for a role
// that the catalog confirms. The workspace of a request is part of every key that is read or
// written, and of every cursor.
//
// The handler is safe for concurrent use. It calls dynamodb:GetItem, BatchGetItem, Query,
// PutItem, UpdateItem, DeleteItem and ConditionCheckItem on the catalog, PutItem, UpdateItem
// and DeleteItem on the idempotency records, sqs:SendMessage on the queue of completions,
// secretsmanager:GetSecretValue on the cursor secret and sts:AssumeRole on the signer role;
// as that role, what s3store's Multipart (without Stored) and Sealer need. Nothing else.
package uploadapi
