package sources

import (
	"encoding/json"
	"testing"
)

func FuzzDecodeRecord(f *testing.F) {
	f.Add([]byte(`{"eventID":"1","userIdentity":{"Type":"Service","PrincipalId":"dynamodb.amazonaws.com"},"dynamodb":{"ApproximateCreationDateTime":1795361408.0,"Keys":{"pk":{"S":"a"}},"NewImage":{},"OldImage":{},"SequenceNumber":"1"}}`))
	f.Add([]byte(`{"dynamodb":{"SequenceNumber":"1","Keys":null}}`))
	f.Add([]byte(`{"dynamodb":[]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := decodeRecord(raw, "arn", "region")
		if err != nil {
			return
		}
		var out struct {
			ARN    string `json:"eventSourceARN"`
			Region string `json:"awsRegion"`
		}
		if err := json.Unmarshal(r.raw, &out); err != nil || out.ARN != "arn" || out.Region != "region" || r.sequence == "" {
			t.Errorf("%s became %s: %v", raw, r.raw, err)
		}
	})
}

func FuzzFailedItems(f *testing.F) {
	for _, seed := range []string{``, `null`, `{}`, `{"batchItemFailures":[{"itemIdentifier":"a"}]}`, `{"batchItemFailures":[null]}`, `{"batchItemFailures":{}}`, `"x"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		ids, err := failedItems(payload)
		for _, id := range ids {
			if id == "" || err != nil {
				t.Errorf("%q: %q, %v", payload, ids, err)
			}
		}
	})
}

func TestFittingKeepsEventsWithinTheLimit(t *testing.T) {
	room := maxPayload - len(`{"Records":[]}`)
	tests := []struct {
		sizes []int
		want  int
	}{
		{[]int{1, 2, 3}, 3},
		{[]int{room - 1}, 1},
		{[]int{room + 100}, 1}, // at least one, or nothing would ever go on
		{[]int{room - 3, 1}, 2},
		{[]int{room - 2, 1}, 1},
		{[]int{room + 100, 1}, 1},
	}
	for _, tt := range tests {
		if got := fitting(tt.sizes); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.sizes, got, tt.want)
		}
	}
}
