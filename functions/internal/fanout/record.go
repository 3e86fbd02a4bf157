package fanout

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/stowage-dev/stowage/shared/catalog"
)

// record is what fan-out needs of one stream record. Images stay text until they are
// known to make an event.
type record struct {
	raw      string // the whole record
	origin   string // ARN of the stream
	sequence string
	time     time.Time
	pk, sk   string
	old, new string // images; "" where the item was not there
	err      error  // why the rest of it could not be read
}

// keyNames are the names of the table's key attributes.
type keyNames struct{ pk, sk string }

func catalogKeys() keyNames {
	table := catalog.MainTable()
	return keyNames{table.PartitionKey.Name, table.SortKey.Name}
}

// decode takes a stream event apart. A record that cannot be read has its error and
// as much as was read; only text that is no event at all is an error.
func (k keyNames) decode(payload string) ([]record, error) {
	var records []record
	r := &reader{text: payload}
	err := r.object(func(name string) error {
		if name != "Records" {
			return r.skip()
		}
		return r.array(func() error {
			raw, err := r.raw()
			records = append(records, k.decodeRecord(raw))
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("decode stream event: %w", err)
	}
	return records, nil
}

func (k keyNames) decodeRecord(raw string) record {
	rec := record{raw: raw}
	r := &reader{text: raw}
	rec.err = r.object(func(name string) (err error) {
		switch name {
		case "eventSourceARN":
			rec.origin, err = r.string()
		case "dynamodb":
			err = rec.change(r, k)
		default:
			err = r.skip()
		}
		return err
	})
	if rec.err == nil && (rec.sequence == "" || rec.pk == "") {
		rec.err = errors.New("stream record without a sequence number or a key")
	}
	return rec
}

func (rec *record) change(r *reader, k keyNames) error {
	return r.object(func(name string) (err error) {
		switch name {
		case "SequenceNumber":
			rec.sequence, err = r.string()
		case "ApproximateCreationDateTime":
			rec.time, err = epoch(r)
		case "Keys":
			err = rec.keys(r, k)
		case "NewImage":
			rec.new, err = r.raw()
		case "OldImage":
			rec.old, err = r.raw()
		default:
			err = r.skip()
		}
		return err
	})
}

func (rec *record) keys(r *reader, k keyNames) error {
	return r.object(func(name string) error {
		v, err := r.value()
		switch name {
		case k.pk:
			rec.pk = v.Text
		case k.sk:
			rec.sk = v.Text
		}
		return err
	})
}

// epoch reads seconds since 1970, whole or with a fraction.
func epoch(r *reader) (time.Time, error) {
	lit, err := r.literal()
	if err != nil {
		return time.Time{}, err
	}
	seconds, err := strconv.ParseFloat(lit, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("time %q is no number of seconds", lit)
	}
	return time.UnixMilli(int64(seconds * 1000)).UTC(), nil
}

// image decodes an image of an item; "" has none.
func image(text string) (catalog.Item, error) {
	if text == "" {
		return nil, nil
	}
	r := &reader{text: text}
	return r.item()
}
