package sources

import (
	"encoding/json"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/queue"
)

// queueRecord is a message in a function's event.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
type queueRecord struct {
	MessageID         string                    `json:"messageId"`
	ReceiptHandle     string                    `json:"receiptHandle"`
	Body              string                    `json:"body"`
	Attributes        map[string]string         `json:"attributes"`
	MessageAttributes map[string]queueAttribute `json:"messageAttributes"`
	MD5OfAttributes   string                    `json:"md5OfMessageAttributes,omitempty"`
	MD5OfBody         string                    `json:"md5OfBody"`
	EventSource       string                    `json:"eventSource"`
	EventSourceARN    string                    `json:"eventSourceARN"`
	Region            string                    `json:"awsRegion"`
}

type queueAttribute struct {
	StringValue      *string  `json:"stringValue,omitempty"`
	BinaryValue      []byte   `json:"binaryValue,omitempty"`
	StringListValues []string `json:"stringListValues"`
	BinaryListValues []string `json:"binaryListValues"`
	DataType         string   `json:"dataType"`
}

// record is the message as the function gets it, and as the filter sees it: with
// a body that is JSON in its parsed form.
func (p *queuePoller) record(m queue.Received) (record, filtered json.RawMessage) {
	r := queueRecord{
		MessageID: m.MessageID, ReceiptHandle: m.ReceiptHandle, Body: m.Body, Attributes: m.Attributes,
		MessageAttributes: map[string]queueAttribute{}, MD5OfAttributes: m.MD5OfAttributes, MD5OfBody: m.MD5OfBody,
		EventSource: "aws:sqs", EventSourceARN: p.mapping.QueueARN, Region: p.cfg.Region,
	}
	for name, a := range m.MessageAttributes {
		r.MessageAttributes[name] = queueAttribute{
			StringValue: a.StringValue, BinaryValue: a.BinaryValue, StringListValues: []string{}, BinaryListValues: []string{}, DataType: a.DataType,
		}
	}
	record = mustEncode(r)
	if len(p.filter) == 0 || !json.Valid([]byte(m.Body)) {
		return record, record
	}
	return record, mustEncode(struct {
		queueRecord
		Body json.RawMessage `json:"body"` // hides the embedded one
	}{r, json.RawMessage(m.Body)})
}

// mustEncode encodes a value of a type that always can be.
func mustEncode(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("sources: encode " + err.Error())
	}
	return raw
}

func isFIFO(queueARN string) bool { return strings.HasSuffix(queueARN, ".fifo") }
