// Package ddbstore keeps the catalog in DynamoDB.
//
// Every write that must agree with another one is a transaction, conditioned on
// what was read; a transaction that lost a race, or that DynamoDB cancelled for
// contention or throttling, is tried again with full jitter. Reads that decide
// something are strongly consistent; lists come from indexes and are
// eventually consistent. Errors carry codes of package fault.
//
// A Store is safe for concurrent use. Its role needs, on the table,
// dynamodb:GetItem, BatchGetItem, Query (on its indexes too), PutItem,
// UpdateItem, DeleteItem and ConditionCheckItem, and nothing else: the actions
// of TransactWriteItems are authorized one by one.
package ddbstore
