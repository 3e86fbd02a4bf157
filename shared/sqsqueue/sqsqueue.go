// Package sqsqueue sends messages to a queue of Amazon SQS.
//
// A Queue is safe for concurrent use. Its role needs sqs:SendMessage on the queue.
package sqsqueue

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/stowage-dev/stowage/shared/fault"
)

// Queue is one standard queue.
type Queue struct {
	client *sqs.Client
	url    string
}

// New returns the queue at url.
func New(cfg aws.Config, url string) *Queue {
	return &Queue{client: sqs.NewFromConfig(cfg), url: url}
}

// Send puts a message into the queue, to be received after delay: whole seconds, rounded
// up, at most 15 minutes.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func (q *Queue) Send(ctx context.Context, body []byte, delay time.Duration) error {
	_, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl:     &q.url,
		MessageBody:  aws.String(string(body)),
		DelaySeconds: int32((delay + time.Second - 1) / time.Second),
	})
	if err != nil {
		return fault.Wrap(fault.Unavailable, fmt.Errorf("send to %s: %w", q.url, err), "the queue does not answer: try again")
	}
	return nil
}
