package idempotency

import (
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/shared/catalog"
)

// status is what became of a request.
type status string

const (
	// running requests have an owner, or had one that went silent.
	running status = "running"
	// done requests have a result.
	done status = "done"
)

// Attributes of a record. Times are text and only the attribute that DynamoDB
// itself looks at is a number, so that no one can mistake milliseconds for
// seconds.
const (
	attrStatus  = "status"
	attrPayload = "payload"
	attrID      = "id"
	attrOwner   = "owner"
	attrFence   = "fence"
	attrLease   = "leaseUntil"
	attrResult  = "result"
	attrExpires = "expiresAt"
)

// timeForm has a fixed width, so that times compare as text.
const timeForm = "2006-01-02T15:04:05.000Z"

func timeText(t time.Time) string { return t.UTC().Format(timeForm) }

// record is what the table holds of a request.
type record struct {
	key     string
	status  status
	payload string
	// id is that of the claims of the request, owner the secret of the latest.
	id    string
	owner string
	// fence counts owners, from 1.
	fence int64
	// lease is until when the owner of a running request may work.
	lease time.Time
	// result is JSON.
	result []byte
	// expires is when the record counts no longer, whether or not DynamoDB has
	// deleted it by then.
	expires time.Time
}

type attributes = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// ttlOf is when DynamoDB may delete a record: an epoch in seconds, rounded up, so
// that none goes before it has expired.
func ttlOf(expires time.Time) types.AttributeValue {
	return number(expires.Add(time.Second - time.Nanosecond).Unix())
}

func (r record) item(table catalog.Table) attributes {
	item := attributes{
		table.PartitionKey.Name: text(r.key),
		table.TTL:               ttlOf(r.expires),
		attrStatus:              text(string(r.status)),
		attrPayload:             text(r.payload),
		attrID:                  text(r.id),
		attrOwner:               text(r.owner),
		attrFence:               number(r.fence),
		attrLease:               text(timeText(r.lease)),
		attrExpires:             text(timeText(r.expires)),
	}
	if r.status == done {
		item[attrResult] = &types.AttributeValueMemberB{Value: r.result}
	}
	return item
}

// decode is the inverse of item.
func decode(table catalog.Table, item attributes) (record, error) {
	d := decoder{item: item}
	r := record{
		key:     d.text(table.PartitionKey.Name),
		status:  status(d.text(attrStatus)),
		payload: d.text(attrPayload),
		id:      d.text(attrID),
		owner:   d.text(attrOwner),
		fence:   d.number(attrFence),
		lease:   d.time(attrLease),
		expires: d.time(attrExpires),
	}
	switch r.status {
	case done:
		r.result = d.bytes(attrResult)
	case running:
	default:
		d.fail(attrStatus, "is %q, want %s or %s", r.status, running, done)
	}
	if d.err != nil {
		return record{}, fmt.Errorf("decode idempotency record %s: %w", r.key, d.err)
	}
	return r, nil
}

// decoder reads attributes and keeps the first error.
type decoder struct {
	item attributes
	err  error
}

func (d *decoder) fail(name, format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("attribute %s %s", name, fmt.Sprintf(format, args...))
	}
}

func (d *decoder) text(name string) string {
	v, ok := d.item[name].(*types.AttributeValueMemberS)
	if !ok {
		d.fail(name, "is missing or no string")
		return ""
	}
	return v.Value
}

func (d *decoder) bytes(name string) []byte {
	v, ok := d.item[name].(*types.AttributeValueMemberB)
	if !ok {
		d.fail(name, "is missing or not binary")
		return nil
	}
	return v.Value
}

func (d *decoder) number(name string) int64 {
	v, ok := d.item[name].(*types.AttributeValueMemberN)
	if !ok {
		d.fail(name, "is missing or no number")
		return 0
	}
	n, err := strconv.ParseInt(v.Value, 10, 64)
	if err != nil {
		d.fail(name, "is %q, no 64-bit integer", v.Value)
	}
	return n
}

func (d *decoder) time(name string) time.Time {
	s := d.text(name)
	if d.err != nil {
		return time.Time{}
	}
	t, err := time.Parse(timeForm, s)
	if err != nil {
		d.fail(name, "is %q, want a time of the form %s", s, timeForm)
	}
	return t
}
