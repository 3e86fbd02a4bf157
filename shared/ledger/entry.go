package ledger

import (
	"fmt"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
)

// Account is a kind of account. A workspace has one of each kind and class.
type Account string

// The accounts. Bytes that come debit the first of a pair and credit the second one.
const (
	// Stored is what objects hold, as events told.
	Stored Account = "stored"
	// Supply is where stored bytes come from and go to.
	Supply Account = "supply"
	// Adjusted is what was added to, or taken off, what objects hold.
	Adjusted Account = "adjusted"
	// Allowance is where adjusted bytes come from and go to.
	Allowance Account = "allowance"
)

// Accounts returns every kind of account.
func Accounts() []Account { return []Account{Stored, Supply, Adjusted, Allowance} }

// ParseAccount returns the account that text names.
func ParseAccount(text string) (Account, error) {
	switch a := Account(text); a {
	case Stored, Supply, Adjusted, Allowance:
		return a, nil
	default:
		return "", fault.Invalid("account", "%q is none of stored, supply, adjusted, allowance", text)
	}
}

// Contra returns the account that is credited when a is debited, and the other way round.
func (a Account) Contra() Account {
	switch a {
	case Stored:
		return Supply
	case Supply:
		return Stored
	case Adjusted:
		return Allowance
	default:
		return Adjusted
	}
}

// Entry is one line of the ledger: bytes debited to an account, or credited when they are
// negative. Entries are written once and never changed.
type Entry struct {
	Workspace string
	// Journal names what was booked: "<object>.<rev>" for a fact, the id of an adjustment.
	Journal string
	Account Account
	Class   Class
	// Object is the one whose bytes they are; empty for adjustments.
	Object string
	// At is when the bytes came or went, which may be long before they were booked.
	At    time.Time
	Bytes int64
}

// Post returns the entries of movements: a debit and a credit for each.
func Post(workspace, journal, object string, account Account, moves []Movement) []Entry {
	entries := make([]Entry, 0, 2*len(moves))
	for _, m := range moves {
		e := Entry{Workspace: workspace, Journal: journal, Account: account, Class: m.Class, Object: object, At: m.At, Bytes: m.Bytes}
		entries = append(entries, e)
		e.Account, e.Bytes = account.Contra(), -m.Bytes
		entries = append(entries, e)
	}
	return entries
}

// CheckBalanced returns an error unless the debits of each journal and class equal its
// credits.
func CheckBalanced(entries []Entry) error {
	type key struct {
		workspace, journal string
		class              Class
	}
	sums := map[key]int64{}
	for _, e := range entries {
		sums[key{e.Workspace, e.Journal, e.Class}] += e.Bytes
	}
	for k, sum := range sums {
		if sum != 0 {
			return fmt.Errorf("journal %s of %s is off by %d bytes in %s", k.journal, k.workspace, sum, k.class)
		}
	}
	return nil
}
