package stack

import (
	"context"
	"encoding/json"
	"regexp"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/console"
	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/sources"
	"github.com/stowage-dev/stowage/scripts/local/template"
	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// tracing joins what cannot carry a tracing header to the trace that it belongs
// to: presigned URLs to the request that was answered with them, and records of a
// stream to the call that wrote their item.
type tracing struct {
	signatures *xray.Memory
	items      *xray.Memory
	keys       map[string][]string // names of the key attributes, by table that has a stream
	calls      sync.Map            // clients' calls under way: console.Call by the gateway's id
}

// remembered is how many signatures and items are: some minutes of hard work.
const remembered = 20_000

func newTracing(tables []template.Table) *tracing {
	t := &tracing{signatures: xray.NewMemory(remembered), items: xray.NewMemory(remembered), keys: map[string][]string{}}
	for _, table := range tables {
		if table.StreamView != "" {
			t.keys[table.Name] = keysOf(table)
		}
	}
	return t
}

func keysOf(t template.Table) []string {
	if t.SortKey == "" {
		return []string{t.PartitionKey}
	}
	return []string{t.PartitionKey, t.SortKey}
}

// signature is what tells one presigned URL from another.
var signature = regexp.MustCompile(`X-Amz-Signature=([0-9a-f]{64})`)

// answered remembers the URLs that a function hands out.
func (t *tracing) answered(trace xray.Header, payload []byte) {
	if trace.Root == "" {
		return
	}
	for _, found := range signature.FindAllSubmatch(payload, -1) {
		t.signatures.Remember(string(found[1]), trace)
	}
}

// intercept makes a call part of the trace that it belongs to. It refuses nothing.
func (t *tracing) intercept(_ context.Context, c *gateway.Call) *gateway.Denial {
	header, ok := xray.ParseHeader(c.Request.Header.Get(xray.HeaderName))
	if !ok && c.Service == gateway.S3 {
		header = t.client(c)
	}
	if header.Root == "" || header.Unsampled {
		return nil
	}
	if c.Service == gateway.DynamoDB {
		t.written(c, header)
	}
	c.Request = c.Request.WithContext(xray.WithHeader(c.Request.Context(), header)) //nolint:contextcheck // it is the request's own
	return nil
}

// client is the trace of a client's call with a presigned URL. The engine is told
// of it in a header that no signature covers.
func (t *tracing) client(c *gateway.Call) xray.Header {
	header := t.signatures.Recall(c.Request.URL.Query().Get("X-Amz-Signature"))
	if header.Root == "" {
		return header
	}
	segment := xray.NewSegmentID()
	t.calls.Store(c.ID, console.Call{
		Name: "Client: S3 " + c.Name, Resource: c.Resource, Origin: "AWS::S3::Bucket", Trace: header, Segment: segment, Start: c.Received,
	})
	header = header.Under(segment)
	c.Request.Header.Set(xray.HeaderName, header.String())
	return header
}

// called is a client's call that has ended, if this is one.
func (t *tracing) called(c *gateway.Call, status int, took time.Duration) (console.Call, bool) {
	v, ok := t.calls.LoadAndDelete(c.ID)
	if !ok {
		return console.Call{}, false
	}
	call, _ := v.(console.Call)
	call.Status, call.Duration = status, took
	return call, true
}

// write is what is read of a request that writes an item.
type write struct {
	TableName string
	Item, Key map[string]json.RawMessage
}

// writes are those of all the kinds of requests that write.
type writes struct {
	write
	TransactItems []struct{ Put, Update, Delete *write }
	RequestItems  map[string][]struct{ PutRequest, DeleteRequest write }
}

// written remembers in which trace items are about to be written.
func (t *tracing) written(c *gateway.Call, header xray.Header) {
	switch c.Name {
	case "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem":
	default:
		return
	}
	var in writes
	if json.Unmarshal(c.Body, &in) != nil {
		return // the engine says what is wrong with it
	}
	t.remember(in.TableName, in.write, header)
	for _, item := range in.TransactItems {
		for _, w := range []*write{item.Put, item.Update, item.Delete} {
			if w != nil {
				t.remember(w.TableName, *w, header)
			}
		}
	}
	for table, requests := range in.RequestItems {
		for _, r := range requests {
			t.remember(table, r.PutRequest, header)
			t.remember(table, r.DeleteRequest, header)
		}
	}
}

// remember notes the trace of one item, under its keys as the stream has them.
func (t *tracing) remember(table string, w write, header xray.Header) {
	names := t.keys[table]
	attributes := w.Item
	if attributes == nil {
		attributes = w.Key
	}
	keys := map[string]json.RawMessage{}
	for _, name := range names {
		if value, ok := attributes[name]; ok {
			keys[name] = value
		}
	}
	if len(keys) == 0 || len(keys) < len(names) {
		return
	}
	raw, err := json.Marshal(keys)
	if err != nil {
		return // they were JSON a moment ago
	}
	if item, err := sources.ItemKey(raw); err == nil {
		t.items.Remember(table+item, header)
	}
}

// origin is the trace in which an item was last written.
func (t *tracing) origin(table, item string) xray.Header { return t.items.Recall(table + item) }
