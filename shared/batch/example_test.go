package batch_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/events"

	"github.com/stowage-dev/stowage/shared/batch"
)

func ExampleSQS() {
	event := events.SQSEvent{Records: []events.SQSMessage{
		{MessageId: "1", Body: "fine"},
		{MessageId: "2", Body: "bad"},
		{MessageId: "3", Body: "fine"},
	}}
	answer, err := batch.SQS(context.Background(), event, func(_ context.Context, m events.SQSMessage) error {
		if m.Body == "bad" {
			return errors.New("cannot do this one now")
		}
		fmt.Println("did", m.MessageId)
		return nil
	}, batch.Concurrency(1))
	fmt.Println(answer.BatchItemFailures, err)
	// Output:
	// did 1
	// did 3
	// [{2}] <nil>
}

// Records of any type can be processed, once it is said how the event source knows
// them and what they are about.
func ExampleProcess() {
	type change struct{ Sequence, Account string }
	source := batch.Source[change]{
		Checkpointed: true,
		ID:           func(c change) string { return c.Sequence },
		Key:          func(c change) string { return c.Account },
	}
	changes := []change{{"100", "a"}, {"101", "b"}, {"102", "a"}}
	back, err := batch.Process(context.Background(), source, changes, func(_ context.Context, c change) error {
		if c.Sequence == "101" {
			return errors.New("throttled")
		}
		fmt.Println("did", c.Sequence)
		return nil
	})
	fmt.Println("from", back, "on again,", err)
	// Output:
	// did 100
	// from [101] on again, <nil>
}
