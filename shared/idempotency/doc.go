// Package idempotency does an operation once for each key that a caller chose,
// however often it is asked to: after a lost answer, a repeated delivery, a
// crash at any point, a time-out, or by twins at the same moment.
//
// [Do] is all that most callers need. It claims the key, runs the effect, and
// stores what the effect returned; asked again, it returns what was stored. A
// [Store] keeps the records in a DynamoDB table of their own, and offers the
// steps of Do one by one for those who need them.
//
// # What it promises
//
//   - One owner at a time. A claim is a lease that ends with the deadline of the
//     context, which in Lambda is the function's own. The effect's context ends a
//     little before. A twin gets an IdempotencyInProgress error meanwhile.
//   - The same request gets the same result for as long as results are kept. The
//     same key with another payload gets an IdempotencyReused error.
//   - A lease that ran out without a result (a crash, a time-out) can be taken
//     over, and then its old owner has lost: it can store nothing any more.
//
// # What the effect has to do
//
// Nobody can tell whether an owner that went silent had its effect. So an effect
// must be one of these, and Do hands it the means as its [Claim]:
//
//   - Named by Claim.ID, which is the same at every attempt of one request: what
//     the effect creates gets that id, and creating it again finds it. Prefer
//     this.
//   - One with its result: [Store.Finishing] is the part of a DynamoDB transaction
//     that stores the result. In the transaction that is the effect, both happen
//     or neither, and never for an owner that has lost.
//
// A longer effect, of steps named by the claim, keeps an owner that has lost from
// going on with [Store.Guard], a condition for the transactions of its steps. For a
// store that is not DynamoDB, Claim.Fence rises with every owner of an id: let it
// refuse a lower one than it has seen.
//
// An error that is Permanent by package fault, such as an invalid argument or
// an exhausted quota, says that nothing was done: the key is free again. After any
// other error the outcome is unknown: the key stays bound to its payload and to
// its id, and the next attempt may begin at once.
//
// # Results
//
// A result is small, and holds ids from which an answer is built again. It must
// never hold a credential: a signed URL is refused.
//
// # IAM
//
// dynamodb:PutItem, UpdateItem and DeleteItem on the table, ConditionCheckItem
// where Guard is used, on the table. All types are safe for concurrent use.
package idempotency
