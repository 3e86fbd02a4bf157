package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/object"
)

// testEvent is what S3 sends when a notification is set up.
const testEvent = "s3:TestEvent"

// Families of S3 event names.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
const created = "ObjectCreated"

// poison is an error that no repetition cures.
type poison struct{ error }

func (poison) Permanent() bool { return true }

func (p poison) Unwrap() error { return p.error }

func poisonf(format string, args ...any) error {
	return poison{fmt.Errorf(format, args...)}
}

// notifications takes the body of a message apart. Records are left encoded, so
// that a malformed one spoils no other. A test event has none.
func notifications(body string) ([]json.RawMessage, error) {
	var n struct {
		Event   string            `json:"Event"`
		Records []json.RawMessage `json:"Records"`
	}
	if err := json.Unmarshal([]byte(body), &n); err != nil {
		return nil, poisonf("decode S3 notification: %w", err)
	}
	if len(n.Records) == 0 && n.Event != testEvent {
		return nil, poisonf("decode S3 notification: it has neither records nor the event %s", testEvent)
	}
	return n.Records, nil
}

// record is what S3 says happened to one version of a key.
type record struct {
	event     string // without the prefix "s3:", such as ObjectCreated:Put
	at        object.Location
	size      int64 // bytes of a version that was created
	sequencer string
	time      time.Time
}

// decodeRecord reads one record. S3 URL-encodes the key as a form does: a plus is a
// space.
func decodeRecord(raw json.RawMessage) (record, error) {
	var r events.S3EventRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return record{}, poisonf("decode S3 record: %w", err)
	}
	if r.EventName == "" || r.S3.Object.URLDecodedKey == "" {
		return record{}, poisonf("decode S3 record: it has no event name or no key")
	}
	return record{
		event:     strings.TrimPrefix(r.EventName, "s3:"),
		at:        object.Location{Key: r.S3.Object.URLDecodedKey, VersionID: r.S3.Object.VersionID},
		size:      r.S3.Object.Size,
		sequencer: r.S3.Object.Sequencer,
		time:      r.EventTime,
	}, nil
}

// family is the part of the event name before the colon.
func (r record) family() string {
	family, _, _ := strings.Cut(r.event, ":")
	return family
}

// letter is the record among the dead letters. S3 may deliver one event as several
// messages: what happened is its identity, not the message. Of a record that says
// nothing that can be read, its bytes are; it is filed under the time of its
// message, which a redelivery does not change.
func (r record) letter(raw json.RawMessage, sent time.Time, err error) batch.Letter {
	l := batch.Letter{
		ID:      strings.Join([]string{"s3", r.event, r.at.Key, r.at.VersionID, r.sequencer}, "/"),
		Time:    r.time,
		Err:     err,
		Payload: raw,
	}
	if r.at.Key == "" {
		sum := sha256.Sum256(raw)
		l.ID = "s3/" + hex.EncodeToString(sum[:])
	}
	if l.Time.IsZero() {
		l.Time = sent
	}
	return l
}

// sent is when a message was sent.
func sent(m events.SQSMessage) time.Time {
	ms, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64)
	if err != nil {
		return time.Time{} // SQS sets it always
	}
	return time.UnixMilli(ms)
}
