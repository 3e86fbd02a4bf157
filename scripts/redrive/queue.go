package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	// held is for how long a message that was looked at is kept from other readers. It
	// is given back at the end.
	held = 5 * time.Minute
	// maxWait is the longest that SQS waits for a message. Without waiting it asks a part
	// of its servers only, and may miss some.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
	maxWait = 20 * time.Second
	// batchSize is the most messages of one call.
	batchSize = 10
)

// What EventBridge says in the attributes of an event that it could not deliver.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
const (
	busErrorCode    = "ERROR_CODE"
	busErrorMessage = "ERROR_MESSAGE"
)

// deadLetterQueue is a source of messages. Looking at a message counts as receiving it.
type deadLetterQueue struct {
	client *sqs.Client
	url    string
	wait   time.Duration
}

func (q *deadLetterQueue) name() string { return path.Base(q.url) }

func (q *deadLetterQueue) each(ctx context.Context, do func(letter) bool) (err error) {
	origin, err := q.origin(ctx)
	if err != nil {
		return err
	}
	var left []types.Message // to be given back
	defer func() { err = errors.Join(err, q.giveBack(context.WithoutCancel(ctx), left)) }()
	for {
		out, err := q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &q.url, MaxNumberOfMessages: batchSize, VisibilityTimeout: int32(held / time.Second),
			WaitTimeSeconds:             int32(q.wait / time.Second),
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
			MessageAttributeNames:       []string{"All"},
		})
		if err != nil {
			return fmt.Errorf("receive messages: %w", err)
		}
		if len(out.Messages) == 0 {
			return nil
		}
		for i, m := range out.Messages {
			gone := false
			l := q.letter(m, origin)
			l.redrive = func(ctx context.Context) error {
				if err := q.sendBack(ctx, m, l.to); err != nil {
					return err
				}
				gone = true
				return nil
			}
			more := do(l)
			if !gone {
				left = append(left, m)
			}
			if !more {
				left = append(left, out.Messages[i+1:]...)
				return nil
			}
		}
	}
}

// origin is the URL of the queue that gives its messages up to this one.
func (q *deadLetterQueue) origin(ctx context.Context) (string, error) {
	out, err := q.client.ListDeadLetterSourceQueues(ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &q.url})
	if err != nil {
		return "", fmt.Errorf("ask whose dead-letter queue it is: %w", err)
	}
	if len(out.QueueUrls) != 1 {
		return "", fmt.Errorf("it is the dead-letter queue of %d queues, want 1: its messages do not say where they belong", len(out.QueueUrls))
	}
	return out.QueueUrls[0], nil
}

func (q *deadLetterQueue) letter(m types.Message, origin string) letter {
	l := letter{
		source: q.name(), id: aws.ToString(m.MessageId), to: origin,
		payload: []byte(aws.ToString(m.Body)), about: about([]byte(aws.ToString(m.Body))),
		message: "received " + m.Attributes["ApproximateReceiveCount"] + " times",
	}
	if ms, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64); err == nil {
		l.at = time.UnixMilli(ms)
	}
	if code, ok := m.MessageAttributes[busErrorCode]; ok {
		l.code, l.message = aws.ToString(code.StringValue), aws.ToString(m.MessageAttributes[busErrorMessage].StringValue)
	}
	return l
}

// sendBack sends a message to the queue that it came from and removes it here: twice is
// possible, never not at all.
func (q *deadLetterQueue) sendBack(ctx context.Context, m types.Message, to string) error {
	in := &sqs.SendMessageInput{QueueUrl: &to, MessageBody: m.Body, MessageAttributes: map[string]types.MessageAttributeValue{}}
	for name, value := range m.MessageAttributes {
		if !fromBus(name) {
			in.MessageAttributes[name] = value
		}
	}
	if strings.HasSuffix(to, ".fifo") {
		in.MessageGroupId = aws.String(m.Attributes["MessageGroupId"])
		in.MessageDeduplicationId = m.MessageId // its own was seen minutes or days ago
	}
	if _, err := q.client.SendMessage(ctx, in); err != nil {
		return fmt.Errorf("send it to %s: %w", to, err)
	}
	if _, err := q.client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &q.url, ReceiptHandle: m.ReceiptHandle}); err != nil {
		return fmt.Errorf("it was sent to %s, but not removed here: %w", to, err)
	}
	return nil
}

// fromBus reports whether EventBridge put an attribute there to tell of its failure.
func fromBus(name string) bool {
	switch name {
	case busErrorCode, busErrorMessage, "RULE_ARN", "TARGET_ARN", "EXHAUSTED_RETRY_CONDITION", "RETRY_ATTEMPTS":
		return true
	default:
		return false
	}
}

// giveBack lets others see messages again that were only looked at.
func (q *deadLetterQueue) giveBack(ctx context.Context, messages []types.Message) error {
	for len(messages) > 0 {
		n := min(len(messages), batchSize)
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.url}
		for i, m := range messages[:n] {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0,
			})
		}
		out, err := q.client.ChangeMessageVisibilityBatch(ctx, in)
		switch {
		case err != nil:
			return fmt.Errorf("give %d messages back, which reappear within %s: %w", len(messages), held, err)
		case len(out.Failed) > 0:
			return fmt.Errorf("give messages back, of which %d reappear within %s: %s", len(out.Failed), held, aws.ToString(out.Failed[0].Message))
		}
		messages = messages[n:]
	}
	return nil
}
