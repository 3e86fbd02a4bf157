package idempotency

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/catalog"
)

func TestRecordsRoundTrip(t *testing.T) {
	t.Parallel()
	table := catalog.IdempotencyTable()
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "ms")).UTC()
	})
	rapid.Check(t, func(t *rapid.T) {
		r := record{
			key: "I#" + rapid.String().Draw(t, "key"), status: rapid.SampledFrom([]status{running, done}).Draw(t, "status"),
			payload: rapid.String().Draw(t, "payload"), id: rapid.String().Draw(t, "id"), owner: rapid.String().Draw(t, "owner"),
			fence: rapid.Int64().Draw(t, "fence"), lease: moment.Draw(t, "lease"), expires: moment.Draw(t, "expires"),
		}
		if r.status == done {
			r.result = rapid.SliceOf(rapid.Byte()).Draw(t, "result")
		}
		item := r.item(table)
		got, err := decode(table, item)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("read %+v, %v, want %+v", got, err, r)
		}
		// DynamoDB may delete a record in the second after its end, and not before.
		ttl := decoder{item: item}
		seconds := time.Unix(ttl.number(table.TTL), 0)
		if ttl.err != nil || seconds.Before(r.expires) || !seconds.Before(r.expires.Add(time.Second)) {
			t.Fatalf("ttl is %s, the record expires at %s", seconds, r.expires)
		}
		for name := range item {
			if name == table.TTL {
				continue
			}
			without := attributes{}
			for n, v := range item {
				if n != name {
					without[n] = v
				}
			}
			if _, err := decode(table, without); err == nil {
				t.Fatalf("a record without %s was read", name)
			}
		}
	})
}

// FuzzDecode asks that any item is either refused or means what it says.
func FuzzDecode(f *testing.F) {
	table := catalog.IdempotencyTable()
	f.Add(`{"pk":"I#x","status":"running","payload":"p","id":"i","owner":"o","leaseUntil":"2026-11-03T15:04:05.000Z","expiresAt":"2026-11-03T15:04:05.000Z"}`, "1", []byte(nil))
	f.Add(`{"pk":"I#x","status":"done","payload":"p","id":"i","owner":"o","leaseUntil":"2026-11-03T15:04:05.000Z","expiresAt":"2026-11-03T15:04:05.000Z"}`, "9223372036854775807", []byte("{}"))
	f.Add(`{}`, "", []byte{0})
	f.Fuzz(func(t *testing.T, texts, fence string, result []byte) {
		var fields map[string]string
		if json.Unmarshal([]byte(texts), &fields) != nil {
			return
		}
		item := attributes{attrFence: &types.AttributeValueMemberN{Value: fence}, attrResult: &types.AttributeValueMemberB{Value: result}}
		for name, v := range fields {
			item[name] = text(v)
		}
		r, err := decode(table, item)
		if err != nil {
			return
		}
		again, err := decode(table, r.item(table))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("read %+v, then %+v, %v", r, again, err)
		}
	})
}
