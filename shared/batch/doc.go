// Package batch handles the records of one invocation one by one and answers
// the event source as it wants to be answered, so that a bad record costs
// neither the good ones nor itself.
//
// [SQS], [DynamoDB] and [Kinesis] take the event as Lambda delivers it;
// [Process] takes records of any type, and [ProcessGroups] hands several to the
// handler at once. The event source mapping must report batch item failures
// (FunctionResponseTypes: ReportBatchItemFailures).
//
// # What becomes of a record
//
// A handler that returns nil has dealt with the record. Any other error is
// transient unless it is permanent (see [PermanentIf]): the record is handed
// back and delivered again, as often as the source does that, or until it is given up
// (see [GiveUpAfter]). A panic is a transient error of that record alone.
// A permanent error will not go away: the record goes to the dead letters, with
// its payload, and counts as dealt with; if it cannot be written there, or no
// place was given, it is handed back like a transient one. Nothing is dropped.
//
// # Order
//
// Records with the same key are handled one after the other, in the order of the
// batch, whatever the concurrency; a record is never handled after an earlier
// one of its key failed. Keys are the item's key (DynamoDB), the partition key
// (Kinesis) and the message group (SQS FIFO). Messages of a standard queue have
// none.
//
// # What is handed back
//
// To SQS, the ids of all messages that failed or were not tried, among them those
// behind a failed message of their group. To a stream, the lowest sequence number
// that failed: the service delivers everything from there on again, so after a
// failure no later record is begun, but every earlier one is finished. Handlers
// must therefore be idempotent.
//
// # Time
//
// Before the invocation's deadline comes (see [Reserve]) no record is begun, the
// handlers' context ends, and what was not tried is handed back. A handler must
// heed its context: one that does not runs into the function's time-out, and the
// whole batch is delivered again.
//
// # Concurrency
//
// By default records are handled one at a time. See [Concurrency].
package batch
