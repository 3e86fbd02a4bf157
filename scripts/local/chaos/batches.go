package chaos

import (
	"bytes"
	"encoding/json"
	"hash/crc32"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
)

// object is a JSON object whose members stay as they are.
type object = map[string]json.RawMessage

// answer is a service's answer, held back so that it can be changed.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header    { return a.header }
func (a *answer) WriteHeader(status int) { a.status = status }
func (a *answer) Write(b []byte) (int, error) {
	a.body.Write(b)
	return len(b), nil
}

// ask sends a service a call with another body. The signature was checked before.
func ask(next serve, r *http.Request, call *gateway.Call, body object) *answer {
	encoded := encode(body)
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(encoded)), int64(len(encoded))
	a := &answer{header: http.Header{}, status: http.StatusOK}
	next(a, r, call)
	return a
}

// send gives the answer, with another body unless it is nil.
func (a *answer) send(w http.ResponseWriter, body object) {
	content := a.body.Bytes()
	if body != nil {
		content = encode(body)
	}
	maps.Copy(w.Header(), a.header)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	if w.Header().Get("X-Amz-Crc32") != "" {
		w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(content)), 10))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(content) // a client that has gone misses nothing
}

// unprocessed leaves some items of BatchWriteItem and BatchGetItem undone. One at
// least is done: where none can be, DynamoDB refuses the call.
func (c *Chaos) unprocessed(at source, next serve) serve {
	left := map[string]string{"BatchWriteItem": "UnprocessedItems", "BatchGetItem": "UnprocessedKeys"}
	return func(w http.ResponseWriter, r *http.Request, call *gateway.Call) {
		var request object
		if left[call.Name] == "" || json.Unmarshal(call.Body, &request) != nil {
			next(w, r, call)
			return
		}
		items := decodeItems(request["RequestItems"])
		numbers, struck := c.strike(at, Unprocessed)
		if !struck || len(items) < 2 {
			next(w, r, call)
			return
		}
		var now, later []batchItem
		for i, undone := range some(numbers, len(items), len(items)-1) {
			if undone {
				later = append(later, items[i])
			} else {
				now = append(now, items[i])
			}
		}
		request["RequestItems"] = encodeItems(now)
		a := ask(next, r, call, request)
		var out object
		if a.status != http.StatusOK || json.Unmarshal(a.body.Bytes(), &out) != nil {
			a.send(w, nil)
			return
		}
		out[left[call.Name]] = encodeItems(append(later, decodeItems(out[left[call.Name]])...))
		a.send(w, out)
	}
}

// batchItem is a write of BatchWriteItem, or a key of BatchGetItem.
type batchItem struct {
	table string
	item  json.RawMessage
	// get holds what goes for all keys of the table; nil: it is a write.
	get object
}

// decodeItems takes RequestItems apart, table by table.
func decodeItems(raw json.RawMessage) []batchItem {
	var tables object
	if json.Unmarshal(raw, &tables) != nil {
		return nil
	}
	var items []batchItem
	for _, table := range slices.Sorted(maps.Keys(tables)) {
		var get object
		list := tables[table]
		if json.Unmarshal(list, &get) == nil {
			list = get["Keys"]
		}
		var each []json.RawMessage
		if json.Unmarshal(list, &each) != nil {
			continue // the service will say what is wrong
		}
		for _, item := range each {
			items = append(items, batchItem{table, item, get})
		}
	}
	return items
}

func encodeItems(items []batchItem) json.RawMessage {
	tables := map[string]any{}
	for _, i := range items {
		if i.get == nil {
			list, _ := tables[i.table].([]json.RawMessage)
			tables[i.table] = append(list, i.item)
			continue
		}
		of, ok := tables[i.table].(map[string]any)
		if !ok {
			of = map[string]any{}
			for name, value := range i.get {
				of[name] = value
			}
			of["Keys"] = []json.RawMessage(nil)
		}
		keys, _ := of["Keys"].([]json.RawMessage)
		of["Keys"] = append(keys, i.item)
		tables[i.table] = of
	}
	return encode(tables)
}

// partial fails some entries of calls that do what they can.
func (c *Chaos) partial(at source, next serve) serve {
	return func(w http.ResponseWriter, r *http.Request, call *gateway.Call) {
		merge := map[string]func(out object, failed []entry){
			"PutEvents": failEvents, "SendMessageBatch": failMessages, "DeleteMessageBatch": failMessages,
		}[call.Name]
		var request object
		var all []json.RawMessage
		if merge == nil || json.Unmarshal(call.Body, &request) != nil || json.Unmarshal(request["Entries"], &all) != nil || len(all) == 0 {
			next(w, r, call)
			return
		}
		numbers, struck := c.strike(at, Partial)
		if !struck {
			next(w, r, call)
			return
		}
		var failed []entry
		var done []json.RawMessage
		for i, fails := range some(numbers, len(all), len(all)) {
			if fails {
				failed = append(failed, entry{i, all[i]})
			} else {
				done = append(done, all[i])
			}
		}
		a := &answer{header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, status: http.StatusOK}
		out := object{}
		if len(done) > 0 {
			request["Entries"] = encode(done)
			a = ask(next, r, call, request)
			if a.status != http.StatusOK || json.Unmarshal(a.body.Bytes(), &out) != nil {
				a.send(w, nil)
				return
			}
		}
		merge(out, failed)
		a.send(w, out)
	}
}

// entry is one of a call's entries and where it stood.
type entry struct {
	at  int
	raw json.RawMessage
}

// failEvents puts failures between PutEvents' results, where their entries stood.
func failEvents(out object, failed []entry) {
	var results []json.RawMessage
	var count int
	_ = json.Unmarshal(out["Entries"], &results)        // absent when no entry was done
	_ = json.Unmarshal(out["FailedEntryCount"], &count) // likewise
	for _, e := range failed {
		fault := encode(map[string]string{"ErrorCode": "InternalFailure", "ErrorMessage": "Unexpected error occurred."})
		if e.at%2 == 0 {
			fault = encode(map[string]string{"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"})
		}
		results = slices.Insert(results, min(e.at, len(results)), fault)
	}
	out["Entries"], out["FailedEntryCount"] = encode(results), encode(count+len(failed))
}

// failMessages adds failures to the answer of a batch call of SQS.
func failMessages(out object, failed []entry) {
	var list []json.RawMessage
	_ = json.Unmarshal(out["Failed"], &list) // absent when none has failed
	for _, e := range failed {
		var named struct{ Id string }     //nolint:revive // the API's spelling
		_ = json.Unmarshal(e.raw, &named) // SQS will miss it when it comes again
		list = append(list, encode(map[string]any{"Id": named.Id, "SenderFault": false, "Code": "InternalError", "Message": "We encountered an internal error. Please try again."}))
	}
	out["Failed"] = encode(list)
	if out["Successful"] == nil {
		out["Successful"] = json.RawMessage("[]")
	}
}

// some picks at least one and at most so many of n.
func some(numbers *rand.Rand, n, most int) []bool {
	picked := make([]bool, n)
	for _, i := range numbers.Perm(n)[:1+numbers.IntN(most)] {
		picked[i] = true
	}
	return picked
}

// encode is for what was decoded before, which does not fail.
func encode(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return raw
}
