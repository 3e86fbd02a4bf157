package batch_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/batch"
)

func TestDynamoDBHandsBackTheLowestSequenceNumber(t *testing.T) {
	ev := changes("a", "b", "a", "c")
	var handled []string
	resp, err := batch.DynamoDB(t.Context(), ev, func(_ context.Context, r events.DynamoDBEventRecord) error {
		handled = append(handled, r.Change.SequenceNumber)
		if r.Change.SequenceNumber == "101" {
			return errors.New("throttled")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []events.DynamoDBBatchItemFailure{{ItemIdentifier: "101"}}
	if diff := cmp.Diff(want, resp.BatchItemFailures); diff != "" {
		t.Errorf("handed back (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"100", "101"}, handled); diff != "" {
		t.Errorf("nothing may be begun after a failure (-want +got):\n%s", diff)
	}
}

// TestEarlierRecordsAreFinished: a failure far ahead must not set the checkpoint back
// to records that were merely not begun.
func TestEarlierRecordsAreFinished(t *testing.T) {
	ev := changes("a", "a", "b")
	failed := make(chan struct{})
	resp, err := batch.DynamoDB(t.Context(), ev, func(_ context.Context, r events.DynamoDBEventRecord) error {
		switch r.Change.SequenceNumber {
		case "100":
			<-failed // a's first record is slow
		case "102":
			defer time.AfterFunc(10*time.Millisecond, func() { close(failed) })
			return errors.New("b fails")
		}
		return nil
	}, batch.Concurrency(2))
	if err != nil {
		t.Fatal(err)
	}
	want := []events.DynamoDBBatchItemFailure{{ItemIdentifier: "102"}}
	if diff := cmp.Diff(want, resp.BatchItemFailures); diff != "" {
		t.Errorf("handed back (-want +got):\n%s", diff)
	}
}

func changes(items ...string) events.DynamoDBEvent {
	var ev events.DynamoDBEvent
	for i, item := range items {
		ev.Records = append(ev.Records, events.DynamoDBEventRecord{
			EventSourceArn: "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/s",
			Change: events.DynamoDBStreamRecord{
				SequenceNumber: fmt.Sprint(100 + i),
				Keys:           map[string]events.DynamoDBAttributeValue{"pk": events.NewStringAttribute(item)},
			},
		})
	}
	return ev
}

func TestKinesis(t *testing.T) {
	ev := events.KinesisEvent{Records: []events.KinesisEventRecord{
		{Kinesis: events.KinesisRecord{SequenceNumber: "1", PartitionKey: "a"}},
		{Kinesis: events.KinesisRecord{SequenceNumber: "2", PartitionKey: "a"}},
	}}
	resp, err := batch.Kinesis(t.Context(), ev, func(_ context.Context, r events.KinesisEventRecord) error {
		if r.Kinesis.SequenceNumber == "2" {
			return errors.New("no")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []events.KinesisBatchItemFailure{{ItemIdentifier: "2"}}
	if diff := cmp.Diff(want, resp.BatchItemFailures); diff != "" {
		t.Errorf("handed back (-want +got):\n%s", diff)
	}
}
