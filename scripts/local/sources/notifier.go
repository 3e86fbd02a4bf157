package sources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/stowage-dev/stowage/scripts/local/queue"
)

// ObjectEvent is a change that an S3 engine reports.
type ObjectEvent struct {
	Name      string // without s3:, such as ObjectCreated:Put
	Bucket    string
	Key       string // as it is, not encoded
	VersionID string // empty: the bucket is not versioned
	ETag      string // with or without quotes
	Size      int64
	Sequencer string // hexadecimal, rising
	Time      time.Time
	Principal string // who did it, such as AWS:AROA...:session; empty: the account
	SourceIP  string
	RequestID string // empty: one is made
}

// Notification is one notification of a bucket.
type Notification struct {
	ID        string   // configurationId; empty: one is made from the target
	Events    []string // such as s3:ObjectCreated:*
	Prefix    string   // of the key; empty: any
	Suffix    string   // of the key; empty: any
	TargetARN string   // queue or function
}

// BucketNotifications are the notifications of a bucket.
type BucketNotifications struct {
	Bucket        string
	EventBridge   bool // every event goes to the default bus, too
	Notifications []Notification
}

// AsyncInvoker hands events to functions. *lambda.Host is one.
type AsyncInvoker interface {
	InvokeAsync(ctx context.Context, function string, payload []byte) error
}

// BusEvent is an event for the default bus.
type BusEvent struct {
	Source     string
	DetailType string
	Time       time.Time
	Resources  []string
	Detail     json.RawMessage
}

// EventPutter puts events on the default bus.
type EventPutter interface {
	PutEvent(ctx context.Context, e BusEvent) error
}

// NotifierConfig configures a Notifier.
type NotifierConfig struct {
	Buckets   []BucketNotifications
	Sender    Sender       // needed when a notification goes to a queue
	Functions AsyncInvoker // needed when a notification goes to a function
	Bus       EventPutter  // needed when a bucket has EventBridge on
	// Permit says why a bucket may not send to the ARN of a queue or function. Nil: it may.
	Permit   func(ctx context.Context, bucket, target string) error
	Delivery Delivery // nil: PlainDelivery
	Account  string   // empty: 000000000000
	Region   string   // empty: us-east-1
	Logger   *slog.Logger
	NewID    func() string // nil: random UUIDs
}

// Notifier delivers S3's notifications. It is safe for concurrent use.
type Notifier struct {
	cfg     NotifierConfig
	buckets atomic.Pointer[map[string]BucketNotifications] // by name; replaced whole
}

// NewNotifier checks the notifications.
func NewNotifier(cfg NotifierConfig) (*Notifier, error) {
	setDefault(&cfg.Account, "000000000000")
	setDefault(&cfg.Region, "us-east-1")
	if cfg.Delivery == nil {
		cfg.Delivery = PlainDelivery{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.NewID == nil {
		cfg.NewID = uuid.NewString
	}
	n := &Notifier{cfg: cfg}
	return n, n.Configure(cfg.Buckets)
}

// Configure replaces all notifications, or none with an error. What happens from
// here on is told by the new ones.
func (n *Notifier) Configure(declared []BucketNotifications) error {
	buckets := map[string]BucketNotifications{}
	var errs []error
	for _, b := range declared {
		if b.EventBridge && n.cfg.Bus == nil {
			errs = append(errs, fmt.Errorf("bucket %s notifies EventBridge, and there is no bus", b.Bucket))
		}
		for _, notification := range b.Notifications {
			if err := n.check(notification); err != nil {
				errs = append(errs, fmt.Errorf("notification of bucket %s to %s: %w", b.Bucket, notification.TargetARN, err))
			}
		}
		buckets[b.Bucket] = b
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	n.buckets.Store(&buckets)
	return nil
}

func (n *Notifier) check(notification Notification) error {
	switch service := arnService(notification.TargetARN); {
	case service == "sqs" && n.cfg.Sender == nil, service == "lambda" && n.cfg.Functions == nil:
		return errors.New("the runtime has nothing to deliver it with")
	case service != "sqs" && service != "lambda":
		return errors.New("the target is neither a queue nor a function")
	}
	for _, event := range notification.Events {
		name, ok := strings.CutPrefix(event, "s3:")
		if !ok || !slices.Contains(eventNames, name) && !isFamily(name) {
			return fmt.Errorf("unknown event %q", event)
		}
	}
	return nil
}

// isFamily says that a name stands for all events of a kind, such as ObjectCreated:*.
func isFamily(name string) bool {
	family, ok := strings.CutSuffix(name, "*")
	return ok && slices.ContainsFunc(eventNames, func(known string) bool {
		return strings.HasSuffix(family, ":") && strings.HasPrefix(known, family)
	})
}

// eventNames are the events that S3 has.
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
var eventNames = []string{
	"ObjectCreated:Put", "ObjectCreated:Post", "ObjectCreated:Copy", "ObjectCreated:CompleteMultipartUpload",
	"ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated",
	"ObjectRestore:Post", "ObjectRestore:Completed", "ObjectRestore:Delete",
	"LifecycleExpiration:Delete", "LifecycleExpiration:DeleteMarkerCreated", "LifecycleTransition", "IntelligentTiering",
	"ObjectTagging:Put", "ObjectTagging:Delete", "ObjectAcl:Put", "ReducedRedundancyLostObject",
	"Replication:OperationFailedReplication", "Replication:OperationMissedThreshold",
	"Replication:OperationReplicatedAfterThreshold", "Replication:OperationNotTracked", "TestEvent",
}

// Notify delivers an event to every notification that wants it, and returns once
// all have taken it: the engine answers its client after that, so that no
// acknowledged change goes without its event.
func (n *Notifier) Notify(ctx context.Context, e ObjectEvent) error {
	bucket, ok := (*n.buckets.Load())[e.Bucket]
	if !ok {
		return nil
	}
	setDefault(&e.RequestID, n.cfg.NewID())
	setDefault(&e.Principal, n.cfg.Account)
	e.ETag = strings.Trim(e.ETag, `"`)
	var errs []error
	for _, notification := range bucket.Notifications {
		if !notification.wants(e) {
			continue
		}
		record := n.record(notification, e)
		errs = append(errs, n.deliver(ctx, e.Bucket, notification.TargetARN, record))
	}
	if event, ok := n.busEvent(e); ok && bucket.EventBridge {
		if err := n.cfg.Bus.PutEvent(ctx, event); err != nil {
			errs = append(errs, fmt.Errorf("put %s on the bus: %w", event.DetailType, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("notify %s of s3://%s/%s: %w", e.Name, e.Bucket, e.Key, err)
	}
	return nil
}

func (n Notification) wants(e ObjectEvent) bool {
	named := slices.ContainsFunc(n.Events, func(wanted string) bool {
		wanted = strings.TrimPrefix(wanted, "s3:")
		family, isFamily := strings.CutSuffix(wanted, "*")
		return wanted == e.Name || isFamily && strings.HasPrefix(e.Name, family)
	})
	return named && strings.HasPrefix(e.Key, n.Prefix) && strings.HasSuffix(e.Key, n.Suffix)
}

func (n *Notifier) deliver(ctx context.Context, bucket, target string, record json.RawMessage) error {
	if n.cfg.Permit != nil {
		if err := n.cfg.Permit(ctx, bucket, target); err != nil { // as on AWS, nobody tries again
			n.cfg.Logger.Error("an event of a bucket is dropped: it may not be sent", "bucket", bucket, "target", target, "error", err)
			return nil
		}
	}
	b := Batch{Kind: NotificationSource, Source: bucket, Target: target, Records: []json.RawMessage{record}}
	outcome := n.cfg.Delivery.Deliver(ctx, b, func(ctx context.Context, records []json.RawMessage) Outcome {
		body := mustEncode(struct {
			Records []json.RawMessage `json:"Records"`
		}{records})
		return Outcome{Err: n.send(ctx, target, body)}
	})
	return outcome.Err
}

func (n *Notifier) send(ctx context.Context, target string, body []byte) error {
	if arnService(target) == "lambda" {
		return n.cfg.Functions.InvokeAsync(ctx, target, body)
	}
	_, err := n.cfg.Sender.Send(ctx, target, queue.Message{Body: string(body)})
	return err
}

// SendTestEvents sends every queue the s3:TestEvent that S3 sends when a
// notification is set up. (A function gets none.)
func (n *Notifier) SendTestEvents(ctx context.Context, now time.Time) error {
	var errs []error
	for _, b := range n.cfg.Buckets {
		for _, notification := range b.Notifications {
			if arnService(notification.TargetARN) != "sqs" {
				continue
			}
			body := mustEncode(map[string]string{
				"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": now.UTC().Format(stamp), "Bucket": b.Bucket,
				"RequestId": n.cfg.NewID(), "HostId": n.cfg.NewID(),
			})
			if err := n.send(ctx, notification.TargetARN, body); err != nil {
				errs = append(errs, fmt.Errorf("send test event of bucket %s: %w", b.Bucket, err))
			}
		}
	}
	return errors.Join(errs...)
}
