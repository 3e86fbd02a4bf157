// Package deadletter keeps in S3 what can never be processed, with its payload,
// so that it can be read, repaired and sent again.
//
// A letter is one JSON document under
//
//	dead/<function>/<yyyy>/<mm>/<dd>/<ulid>.json
//
// The date and the ULID come from the record's own time and identity: a record
// that is delivered again after its letter was written replaces its letter and
// does not add one.
//
// It needs s3:PutObject on dead/* and, where the bucket is encrypted with a key,
// kms:GenerateDataKey. It is safe for concurrent use.
package deadletter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/oklog/ulid/v2"

	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/observe"
)

// Prefix begins the key of every letter.
const Prefix = "dead/"

// Document is what S3 holds of a letter.
type Document struct {
	// ID is the identity of the record.
	ID string `json:"id"`
	// Function could not process it, in the invocation RequestID.
	Function  string `json:"function"`
	RequestID string `json:"requestId"`
	// At is when that was.
	At    time.Time `json:"at"`
	Error Error     `json:"error"`
	// Record is the record as it was delivered.
	Record json.RawMessage `json:"record"`
}

// Error is why a record could not be processed.
type Error struct {
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
}

// Box is where one function's letters go.
type Box struct {
	client   *s3.Client
	bucket   string
	function string
	now      func() time.Time
}

var _ batch.DeadLetters = (*Box)(nil)

// NewBox returns the box of function in bucket.
func NewBox(client *s3.Client, bucket, function string, now func() time.Time) *Box {
	return &Box{client: client, bucket: bucket, function: function, now: now}
}

// Put writes a letter. A payload that is not JSON is kept as a JSON string.
func (b *Box) Put(ctx context.Context, l batch.Letter) error {
	payload := json.RawMessage(l.Payload)
	if !json.Valid(payload) {
		text, err := json.Marshal(string(l.Payload))
		if err != nil {
			return fmt.Errorf("encode payload of %s: %w", l.ID, err)
		}
		payload = text
	}
	now := b.now().UTC()
	doc := Document{
		ID:        l.ID,
		Function:  b.function,
		RequestID: observe.RequestID(ctx),
		At:        now,
		Error:     Error{Code: fault.CodeOf(l.Err), Message: message(l.Err)},
		Record:    payload,
	}
	body, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encode dead letter %s: %w", l.ID, err)
	}
	key, err := Key(b.function, l, now)
	if err != nil {
		return err
	}
	_, err = b.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket:      &b.bucket,
		Key:         &key,
		Body:        bytes.NewReader(body),
		ContentType: aws.String("application/json"),
	})
	if err != nil {
		return fmt.Errorf("put dead letter s3://%s/%s: %w", b.bucket, key, err)
	}
	return nil
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Key is where the letter of function is kept. A letter without a time that a ULID
// can express is filed under now.
func Key(function string, l batch.Letter, now time.Time) (string, error) {
	at := l.Time.UTC()
	if at.Before(time.Unix(0, 0)) || at.After(ulid.Time(ulid.MaxTime())) {
		at = now.UTC()
	}
	var id ulid.ULID
	if err := id.SetTime(ulid.Timestamp(at)); err != nil {
		return "", fmt.Errorf("file dead letter %s under %s: %w", l.ID, at, err)
	}
	sum := sha256.Sum256([]byte(l.ID))
	if err := id.SetEntropy(sum[:10]); err != nil {
		return "", fmt.Errorf("name dead letter %s: %w", l.ID, err)
	}
	return fmt.Sprintf("%s%s/%s/%s.json", Prefix, function, at.Format("2006/01/02"), id), nil
}
