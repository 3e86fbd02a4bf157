package sources

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// streamRecord is a record of a stream on its way to a function.
type streamRecord struct {
	raw      json.RawMessage // as the function gets it
	sequence string
	created  time.Time
	item     string // its keys: records of one item stay in order
	origin   xray.Header
	skip     bool // not for the function: filtered, or a write that changed nothing
	done     bool // settled; guarded by shardPoller.mu
}

// change is what is read of a record's "dynamodb" member.
type change struct {
	Created  json.Number     `json:"ApproximateCreationDateTime"`
	Keys     json.RawMessage `json:"Keys"`
	NewImage json.RawMessage `json:"NewImage"`
	OldImage json.RawMessage `json:"OldImage"`
	Sequence string          `json:"SequenceNumber"`
}

// decodeRecord makes the function's record of the engine's: region and stream ARN
// become the template's, the rest stays as it is.
func decodeRecord(raw json.RawMessage, streamARN, region string) (*streamRecord, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, fmt.Errorf("decode stream record: %w", err)
	}
	var c change
	if err := json.Unmarshal(members["dynamodb"], &c); err != nil {
		return nil, fmt.Errorf("decode stream record: member dynamodb: %w", err)
	}
	if c.Sequence == "" {
		return nil, fmt.Errorf("decode stream record: it has no SequenceNumber: %s", excerpt(raw))
	}
	members["eventSourceARN"] = mustEncode(streamARN)
	members["awsRegion"] = mustEncode(region)
	if identity, ok := members["userIdentity"]; ok {
		members["userIdentity"] = lambdaIdentity(identity)
	}
	item, err := ItemKey(c.Keys)
	if err != nil {
		return nil, fmt.Errorf("decode stream record %s: keys: %w", c.Sequence, err)
	}
	return &streamRecord{
		raw: mustEncode(members), sequence: c.Sequence, created: epoch(c.Created), item: item, skip: unchanged(c),
	}, nil
}

// lambdaIdentity gives an identity the names that it has in Lambda's events: those
// of the DynamoDB Streams API begin with a capital letter.
func lambdaIdentity(raw json.RawMessage) json.RawMessage {
	var identity struct { // the decoder does not mind the case
		Type      string `json:"type"`
		Principal string `json:"principalId"`
	}
	if err := json.Unmarshal(raw, &identity); err != nil || identity.Type == "" {
		return raw
	}
	return mustEncode(map[string]string{"type": identity.Type, "principalId": identity.Principal})
}

// unchanged says that a record is of a write that changed nothing. DynamoDB makes
// none of those; the local engine does.
func unchanged(c change) bool {
	if len(c.OldImage) == 0 || len(c.NewImage) == 0 {
		return false
	}
	if bytes.Equal(c.OldImage, c.NewImage) {
		return true
	}
	var before, after any
	if json.Unmarshal(c.OldImage, &before) != nil || json.Unmarshal(c.NewImage, &after) != nil {
		return false
	}
	return reflect.DeepEqual(before, after)
}

// ItemKey is an item's keys with their members in order, so that equal keys are equal strings.
func ItemKey(raw json.RawMessage) (string, error) {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return "", err //nolint:wrapcheck // wrapped by the caller
	}
	return string(mustEncode(v)), nil
}

func epoch(n json.Number) time.Time {
	seconds, err := n.Float64()
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(seconds * 1000)).UTC()
}
