package batch

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// SQS handles the messages of a queue, standard or FIFO.
func SQS(ctx context.Context, ev events.SQSEvent, handle func(context.Context, events.SQSMessage) error, opts ...Option) (events.SQSEventResponse, error) {
	back, err := Process(ctx, SQSSource(), ev.Records, handle, opts...)
	if err != nil {
		return events.SQSEventResponse{}, err
	}
	resp := events.SQSEventResponse{BatchItemFailures: make([]events.SQSBatchItemFailure, len(back))}
	for i, id := range back {
		resp.BatchItemFailures[i].ItemIdentifier = id
	}
	return resp, nil
}

// DynamoDB handles the records of a table's stream.
func DynamoDB(ctx context.Context, ev events.DynamoDBEvent, handle func(context.Context, events.DynamoDBEventRecord) error, opts ...Option) (events.DynamoDBEventResponse, error) {
	back, err := Process(ctx, DynamoDBSource(), ev.Records, handle, opts...)
	if err != nil {
		return events.DynamoDBEventResponse{}, err
	}
	resp := events.DynamoDBEventResponse{BatchItemFailures: make([]events.DynamoDBBatchItemFailure, len(back))}
	for i, id := range back {
		resp.BatchItemFailures[i].ItemIdentifier = id
	}
	return resp, nil
}

// Kinesis handles the records of a data stream.
func Kinesis(ctx context.Context, ev events.KinesisEvent, handle func(context.Context, events.KinesisEventRecord) error, opts ...Option) (events.KinesisEventResponse, error) {
	back, err := Process(ctx, KinesisSource(), ev.Records, handle, opts...)
	if err != nil {
		return events.KinesisEventResponse{}, err
	}
	resp := events.KinesisEventResponse{BatchItemFailures: make([]events.KinesisBatchItemFailure, len(back))}
	for i, id := range back {
		resp.BatchItemFailures[i].ItemIdentifier = id
	}
	return resp, nil
}

// SQSSource describes the messages of a queue. Those of a FIFO queue are keyed
// by their group. (Messages of a standard queue may have a group too, for fair
// queueing; it orders nothing.) Set Key to order those of a standard queue.
func SQSSource() Source[events.SQSMessage] {
	return Source[events.SQSMessage]{
		ID: func(m events.SQSMessage) string { return m.MessageId },
		Key: func(m events.SQSMessage) string {
			if !strings.HasSuffix(m.EventSourceARN, ".fifo") {
				return ""
			}
			return m.Attributes["MessageGroupId"]
		},
		Origin:  func(m events.SQSMessage) string { return m.EventSourceARN },
		Time:    func(m events.SQSMessage) time.Time { return unixMilli(m.Attributes["SentTimestamp"]) },
		Payload: func(m events.SQSMessage) ([]byte, error) { return json.Marshal(m) },
		Deliveries: func(m events.SQSMessage) int {
			n, err := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
			if err != nil {
				return 0
			}
			return n
		},
	}
}

func unixMilli(s string) time.Time {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// DynamoDBSource describes the records of a table's stream, keyed by item.
func DynamoDBSource() Source[events.DynamoDBEventRecord] {
	type record = events.DynamoDBEventRecord
	return Source[record]{
		Checkpointed: true,
		ID:           func(r record) string { return r.Change.SequenceNumber },
		Key:          itemKey,
		Origin:       func(r record) string { return r.EventSourceArn },
		Time:         func(r record) time.Time { return r.Change.ApproximateCreationDateTime.UTC() },
		Payload:      func(r record) ([]byte, error) { return json.Marshal(r) },
	}
}

// itemKey is one string for the attributes of an item's key. encoding/json sorts
// them by name.
func itemKey(r events.DynamoDBEventRecord) string {
	key, err := json.Marshal(r.Change.Keys)
	if err != nil {
		// No attribute value of a decoded event fails to encode. Should one, all
		// such records share a key, and keep their order.
		return "?"
	}
	return string(key)
}

// KinesisSource describes the records of a data stream, keyed by partition key.
func KinesisSource() Source[events.KinesisEventRecord] {
	type record = events.KinesisEventRecord
	return Source[record]{
		Checkpointed: true,
		ID:           func(r record) string { return r.Kinesis.SequenceNumber },
		Key:          func(r record) string { return r.Kinesis.PartitionKey },
		Origin:       func(r record) string { return r.EventSourceArn },
		Time:         func(r record) time.Time { return r.Kinesis.ApproximateArrivalTimestamp.UTC() },
		Payload:      func(r record) ([]byte, error) { return json.Marshal(r) },
	}
}
