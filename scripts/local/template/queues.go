package template

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
)

// Queue is an SQS queue.
type Queue struct {
	Origin
	Name, ARN, URL    string
	FIFO              bool
	ContentDedupe     bool // deduplication id from the body
	VisibilityTimeout time.Duration
	Retention         time.Duration
	Delay             time.Duration
	ReceiveWait       time.Duration
	MaxMessageBytes   int
	RedriveTargetARN  string // empty: messages stay
	MaxReceiveCount   int
	Policies          []json.RawMessage
	KeyARN            string
}

// SQS's defaults, from the reference of AWS::SQS::Queue.
const (
	defaultVisibility      = 30 * time.Second
	defaultRetention       = 4 * day
	defaultMaxMessageBytes = 1 << 20
)

type queueProperties struct {
	ContentBasedDeduplication     boolean
	DeduplicationScope            string
	DelaySeconds                  *integer
	FifoQueue                     boolean
	FifoThroughputLimit           NoLocalEffect // throughput is not limited
	KmsDataKeyReusePeriodSeconds  NoLocalEffect // nothing is encrypted locally
	KmsMasterKeyID                string
	MaximumMessageSize            *integer
	MessageRetentionPeriod        *integer
	QueueName                     string
	ReceiveMessageWaitTimeSeconds *integer
	RedriveAllowPolicy            NoLocalEffect // every queue is in one account
	RedrivePolicy                 document
	SqsManagedSseEnabled          NoLocalEffect // nothing is encrypted locally
	Tags                          NoLocalEffect // queues are not matched by tag
	VisibilityTimeout             *integer
}

func decodeQueue(d *decoder, r assembly.Resource) error {
	p, err := properties[queueProperties](r)
	if err != nil {
		return err
	}
	if p.DeduplicationScope != "" {
		if err := oneOf("DeduplicationScope", p.DeduplicationScope, "queue"); err != nil {
			return err
		}
	}
	q := &Queue{
		Origin: origin(r), Name: r.Attributes["QueueName"], ARN: r.Attributes["Arn"], URL: r.Ref,
		FIFO: bool(p.FifoQueue), ContentDedupe: bool(p.ContentBasedDeduplication),
		VisibilityTimeout: seconds(p.VisibilityTimeout, defaultVisibility), Retention: seconds(p.MessageRetentionPeriod, defaultRetention),
		Delay: seconds(p.DelaySeconds, 0), ReceiveWait: seconds(p.ReceiveMessageWaitTimeSeconds, 0),
		MaxMessageBytes: number(p.MaximumMessageSize, defaultMaxMessageBytes), KeyARN: p.KmsMasterKeyID,
	}
	if p.RedrivePolicy != nil {
		var redrive struct {
			DeadLetterTargetArn string
			MaxReceiveCount     integer
		}
		if err := strictJSON(p.RedrivePolicy.raw(), &redrive); err != nil {
			return fmt.Errorf("property RedrivePolicy: %w", err)
		}
		q.RedriveTargetARN, q.MaxReceiveCount = redrive.DeadLetterTargetArn, int(redrive.MaxReceiveCount)
	}
	d.model.Queues = append(d.model.Queues, q)
	return nil
}

func decodeQueuePolicy(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		PolicyDocument document
		Queues         []string
	}](r)
	if err != nil {
		return err
	}
	d.later(r, func() error {
		for _, url := range p.Queues {
			found := false
			for _, q := range d.model.Queues {
				if q.URL == url {
					q.Policies, found = append(q.Policies, p.PolicyDocument.raw()), true
				}
			}
			if !found {
				return fmt.Errorf("property Queues: no stack declares the queue %s", url)
			}
		}
		return nil
	})
	return nil
}
