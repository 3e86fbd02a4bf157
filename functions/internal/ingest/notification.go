package ingest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/scan"
)

// testEvent is what S3 sends when a notification is set up.
const testEvent = "s3:TestEvent"

// Families of S3 event names, and two of the names.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
const (
	created       = "ObjectCreated"
	removed       = "ObjectRemoved"
	expired       = "LifecycleExpiration"
	transitioned  = "LifecycleTransition"
	restored      = "ObjectRestore"
	markerCreated = "DeleteMarkerCreated"
)

// poison is an error that no repetition cures.
type poison struct{ error }

func (poison) Permanent() bool { return true }

func (p poison) Unwrap() error { return p.error }

func poisonf(format string, args ...any) error {
	return poison{fmt.Errorf(format, args...)}
}

// delivery is a message, taken apart: the records of a notification, of which a test event
// has none, or a scanner's verdict.
type delivery struct {
	events.SQSMessage
	records []record
	verdict *scan.Verdict
	err     error // of a message that cannot be taken apart
}

// deliveries are handled one after the other where they are about one key.
func deliveries() batch.Source[delivery] {
	messages := batch.SQSSource()
	return batch.Source[delivery]{
		ID:      func(d delivery) string { return d.MessageId },
		Key:     delivery.key,
		Origin:  func(d delivery) string { return messages.Origin(d.SQSMessage) },
		Time:    func(d delivery) time.Time { return messages.Time(d.SQSMessage) },
		Payload: func(d delivery) ([]byte, error) { return messages.Payload(d.SQSMessage) },
	}
}

// key is the S3 key that a delivery is about; "" for one that is about several or none.
func (d delivery) key() string {
	switch {
	case d.verdict != nil:
		return d.verdict.Key
	case len(d.records) == 1:
		return d.records[0].at.Key
	default:
		return ""
	}
}

// sequencer orders the deliveries about one key. Those without come first: what they tell
// of is looked at anew in S3 and in the catalog, whenever it is.
func (d delivery) sequencer() string {
	if len(d.records) == 1 {
		return d.records[0].sequencer
	}
	return ""
}

// open takes messages apart and puts those about one key into S3's order. The order of a
// batch is as much as a standard queue lets anybody have: that of effects is kept by the
// state of the upload and by what S3 holds.
func (h *Handler) open(messages []events.SQSMessage) []delivery {
	all := make([]delivery, len(messages))
	for i, m := range messages {
		all[i] = h.openOne(m)
	}
	slices.SortStableFunc(all, func(a, b delivery) int {
		return cmp.Or(strings.Compare(a.key(), b.key()), compareSequencers(a.sequencer(), b.sequencer()))
	})
	return all
}

func (h *Handler) openOne(m events.SQSMessage) delivery {
	d := delivery{SQSMessage: m}
	if h.Scanner != nil && m.EventSourceARN == h.VerdictQueueARN {
		v, err := h.Scanner.Verdict([]byte(m.Body))
		if err != nil {
			d.err = poison{err}
			return d
		}
		d.verdict = &v
		return d
	}
	d.records, d.err = notifications(m.Body)
	return d
}

// compareSequencers orders two events of one key: hexadecimal numbers of which the shorter
// one is filled up with zeros at its right.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
func compareSequencers(a, b string) int {
	return strings.Compare(strings.TrimRight(a, "0"), strings.TrimRight(b, "0"))
}

// notifications takes the body of a message apart. A malformed record carries its error,
// so that it spoils no other. A test event has none.
func notifications(body string) ([]record, error) {
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
	records := make([]record, len(n.Records))
	for i, raw := range n.Records {
		r, err := decodeRecord(raw)
		r.raw, r.err = raw, err
		records[i] = r
	}
	return records, nil
}

// record is what S3 says happened to one version of a key.
type record struct {
	event     string // without the prefix "s3:", such as ObjectCreated:Put
	at        object.Location
	size      int64 // bytes of a version that was created
	sequencer string
	time      time.Time
	class     string // storage class into which a version has moved

	raw json.RawMessage
	err error // of a record that cannot be decoded
}

// decodeRecord reads one record. S3 URL-encodes the key as a form does: a plus is a
// space.
func decodeRecord(raw json.RawMessage) (record, error) {
	// These alone are looked at: package events decodes as much again.
	var r struct {
		EventName string    `json:"eventName"`
		EventTime time.Time `json:"eventTime"`
		S3        struct {
			Object struct {
				Key       string `json:"key"`
				Size      int64  `json:"size"`
				VersionID string `json:"versionId"`
				Sequencer string `json:"sequencer"`
			} `json:"object"`
		} `json:"s3"`
		Lifecycle struct {
			Transition struct {
				Class string `json:"destinationStorageClass"`
			} `json:"transitionEventData"`
		} `json:"lifecycleEventData"`
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return record{}, poisonf("decode S3 record: %w", err)
	}
	key, err := url.QueryUnescape(r.S3.Object.Key)
	if err != nil {
		return record{}, poisonf("decode S3 record: its key: %w", err)
	}
	if r.EventName == "" || key == "" {
		return record{}, poisonf("decode S3 record: it has no event name or no key")
	}
	return record{
		event:     strings.TrimPrefix(r.EventName, "s3:"),
		at:        object.Location{Key: key, VersionID: r.S3.Object.VersionID},
		size:      r.S3.Object.Size,
		sequencer: r.S3.Object.Sequencer,
		time:      r.EventTime,
		class:     r.Lifecycle.Transition.Class,
	}, nil
}

// family is the part of the event name before the colon, and what the part after it.
func (r record) family() (family, what string) {
	family, what, _ = strings.Cut(r.event, ":")
	return family, what
}

// letter is the record among the dead letters. S3 may deliver one event as several
// messages: what happened is its identity, not the message. Of a record that says
// nothing that can be read, its bytes are; it is filed under the time of its
// message, which a redelivery does not change.
func (r record) letter(sent time.Time, err error) batch.Letter {
	l := batch.Letter{
		ID:      strings.Join([]string{"s3", r.event, r.at.Key, r.at.VersionID, r.sequencer}, "/"),
		Time:    r.time,
		Err:     err,
		Payload: r.raw,
	}
	if r.at.Key == "" {
		sum := sha256.Sum256(r.raw)
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
