// Package ledger is the domain of the storage ledger: who held how many bytes, in
// which storage class, for how long, and what that costs.
//
// # Facts and movements
//
// Each event about an object states a fact: from a time on, the object holds so many
// bytes in a storage class. Facts are ordered by their rev, not by when they arrive.
// What is booked for a fact is the difference between it and the one before; a fact
// that comes late is booked at its own time, and what was booked for the one after it
// is corrected (see Book). So nothing is ever changed or removed, facts may come in any
// order and any number of times, and once all have come the books are the same.
//
// # Double entry
//
// Every movement is booked twice: a debit on one account and a credit on another one,
// with the same bytes, class and time. The bytes of all entries sum up to 0, always.
//
// # Exactness
//
// Bytes and times are integers, so a quantity (bytes times milliseconds) is one, of
// any size: see Quantity. Prices are integers of 10⁻¹² of a currency's unit for a GiB
// and an hour. An amount is rounded once, when a line of a statement is drawn up.
//
// Everything here is plain data and pure functions, safe for concurrent use.
package ledger
