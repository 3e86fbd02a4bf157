package chaos

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
)

// ongoing are the items that calls under way touch. What DynamoDB refuses because
// of them is what it documents, and no more:
//   - PutItem, UpdateItem and DeleteItem while a TransactWriteItems is under way on the item;
//   - a TransactWriteItems while another one is;
//   - a TransactGetItems while a TransactWriteItems or any other write is.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-conflict-handling
type ongoing struct {
	keys map[string][]string // of a table: its key's attributes

	mu           sync.Mutex
	transactions map[string]int // writes in transactions, by item
	writes       map[string]int // other writes, by item
	tokens       map[string]int // client request tokens
}

func newOngoing(tables []Table) *ongoing {
	o := &ongoing{keys: map[string][]string{}, transactions: map[string]int{}, writes: map[string]int{}, tokens: map[string]int{}}
	for _, t := range tables {
		o.keys[t.Name] = t.Key
	}
	return o
}

// action is one write or read of an item. Key or Item tell which.
type action struct {
	TableName string
	Key, Item map[string]json.RawMessage
}

// transactionItems are the actions of TransactWriteItems or TransactGetItems.
func transactionItems(body []byte) []action {
	var call struct{ TransactItems []map[string]action }
	if err := json.Unmarshal(body, &call); err != nil {
		return nil // the service will say what is wrong
	}
	actions := make([]action, len(call.TransactItems))
	for i, item := range call.TransactItems {
		for _, a := range item { // one: Put, Update, Delete, ConditionCheck or Get
			actions[i] = a
		}
	}
	return actions
}

// item names an action's item; empty: it cannot be told.
func (o *ongoing) item(a action) string {
	table := lastPart(a.TableName)
	attributes := a.Key
	if attributes == nil {
		attributes = a.Item
	}
	name := []string{table}
	for _, k := range o.keys[table] {
		var compact bytes.Buffer
		if err := json.Compact(&compact, attributes[k]); err != nil {
			return ""
		}
		name = append(name, compact.String())
	}
	if len(name) == 1 {
		return ""
	}
	return strings.Join(name, "\x00")
}

// reason is why one action of a transaction cancels it.
type reason struct{ code, message string }

// canceled is a transaction that was cancelled for the reasons of some of its n actions.
func canceled(n int, why map[int]reason) *gateway.Denial {
	codes := make([]string, n)
	reasons := make([]map[string]string, n)
	for i := range n {
		codes[i] = "None"
		reasons[i] = map[string]string{"Code": "None"}
		if r, ok := why[i]; ok {
			codes[i] = r.code
			reasons[i] = map[string]string{"Code": r.code, "Message": r.message}
		}
	}
	message := "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]"
	return &gateway.Denial{
		Status: http.StatusBadRequest, Code: "TransactionCanceledException", Message: message,
		Fields: map[string]any{"CancellationReasons": reasons, "Message": message},
	}
}

const ongoingMessage = "Transaction is ongoing for the item"

// begin takes the items of a call as being under way, or refuses it. What it
// returns ends the call.
func (o *ongoing) begin(call *gateway.Call) (end func(), d *gateway.Denial) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch call.Name {
	case "TransactWriteItems", "TransactGetItems":
		return o.beginTransaction(call)
	case "PutItem", "UpdateItem", "DeleteItem":
		var a action
		if err := json.Unmarshal(call.Body, &a); err != nil {
			return func() {}, nil
		}
		item := o.item(a)
		if o.transactions[item] > 0 {
			return nil, &gateway.Denial{Status: http.StatusBadRequest, Code: "TransactionConflictException", Message: ongoingMessage}
		}
		return o.hold(o.writes, item), nil
	case "BatchWriteItem":
		return o.hold(o.writes, o.batchItems(call.Body)...), nil
	}
	return func() {}, nil
}

func (o *ongoing) beginTransaction(call *gateway.Call) (end func(), d *gateway.Denial) {
	actions := transactionItems(call.Body)
	items := make([]string, len(actions))
	conflicts := map[int]reason{}
	for i, a := range actions {
		items[i] = o.item(a)
		reads := call.Name == "TransactGetItems"
		if o.transactions[items[i]] > 0 || reads && o.writes[items[i]] > 0 {
			conflicts[i] = reason{"TransactionConflict", ongoingMessage}
		}
	}
	var token struct{ ClientRequestToken string }
	_ = json.Unmarshal(call.Body, &token) // the service will say what is wrong
	switch {
	case o.tokens[token.ClientRequestToken] > 0:
		return nil, &gateway.Denial{Status: http.StatusBadRequest, Code: "TransactionInProgressException",
			Message: "The transaction with the given request token is already in progress."}
	case len(conflicts) > 0:
		return nil, canceled(len(actions), conflicts)
	case call.Name == "TransactGetItems":
		return func() {}, nil
	}
	endToken := o.hold(o.tokens, token.ClientRequestToken)
	endItems := o.hold(o.transactions, items...)
	return func() {
		endToken()
		endItems()
	}, nil
}

func (o *ongoing) batchItems(body []byte) []string {
	var call struct {
		RequestItems map[string][]struct{ PutRequest, DeleteRequest *action }
	}
	if err := json.Unmarshal(body, &call); err != nil {
		return nil
	}
	var items []string
	for table, requests := range call.RequestItems {
		for _, r := range requests {
			for _, a := range []*action{r.PutRequest, r.DeleteRequest} {
				if a != nil {
					items = append(items, o.item(action{TableName: table, Key: a.Key, Item: a.Item}))
				}
			}
		}
	}
	return items
}

// hold counts names in a set until the function that it returns is called. o.mu must be held.
func (o *ongoing) hold(set map[string]int, names ...string) func() {
	for _, name := range names {
		if name != "" {
			set[name]++
		}
	}
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, name := range names {
			if set[name]--; set[name] <= 0 {
				delete(set, name)
			}
		}
	}
}

// transactions lets calls conflict as DynamoDB does, while the fault has a rate.
func (c *Chaos) transactions(at source, next serve) serve {
	return func(w http.ResponseWriter, r *http.Request, call *gateway.Call) {
		settings := c.Settings()
		if settings.rate(at, Conflicts) <= 0 {
			next(w, r, call)
			return
		}
		end, denial := c.items.begin(call)
		if denial != nil {
			gateway.WriteError(w, call, denial)
			return
		}
		defer end()
		if call.Name == "TransactWriteItems" {
			if numbers, struck := c.strike(at, Conflicts); struck {
				pause(r.Context(), fraction(numbers, settings.Linger))
			}
		}
		next(w, r, call)
	}
}
