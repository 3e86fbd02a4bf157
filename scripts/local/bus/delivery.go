package bus

import (
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// delivery is one payload for one target, with all that is needed to bring it there or to its
// dead-letter queue, even if the rule is gone by then.
type delivery struct {
	seq uint64

	RuleARN       string
	TargetARN     string
	DeadLetterARN string
	Event         []byte // what goes to the dead-letter queue
	Payload       []byte
	PayloadError  string // why there is no payload
	Trace         string `json:",omitempty"`
	Created       time.Time
	MaxRetries    int
	MaxAge        time.Duration

	// Of a schedule of EventBridge Scheduler.
	ScheduleARN   string
	ExecutionID   string
	ScheduledTime string

	Attempts int
	Due      time.Time
}

func (b *Bus) newDelivery(r rule, t target, ev event, raw json.RawMessage) delivery {
	now := b.cfg.Now()
	d := delivery{
		RuleARN: r.ARN, TargetARN: t.ARN, DeadLetterARN: t.DeadLetterARN,
		Event: raw, Trace: ev.trace, Created: now, Due: now, MaxRetries: t.maxAttempts, MaxAge: t.maxAge,
	}
	payload, err := t.payload(r.Rule, raw, now)
	if err != nil {
		d.PayloadError = err.Error()
	}
	d.Payload = payload
	return d
}

// dispatch attempts what is due, at most so many at once, until ctx ends.
func (b *Bus) dispatch(ctx context.Context) {
	slots := make(chan struct{}, b.cfg.Concurrency)
	sleep := time.NewTimer(0)
	defer sleep.Stop()
	for {
		d, wait := b.outbox.take(b.cfg.Now())
		if d == nil {
			sleep.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-b.outbox.wake:
			case <-sleep.C:
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		b.done.Go(func() {
			defer func() { <-slots }()
			b.attempt(ctx, *d)
		})
	}
}

func (b *Bus) attempt(ctx context.Context, d delivery) {
	err := b.send(ctx, d)
	if ctx.Err() != nil && err != nil {
		return // stopped, not failed: the next Start takes it up
	}
	if err == nil {
		b.settle(d)
		return
	}
	d.Attempts++
	d.Due = b.cfg.Now().Add(b.cfg.Backoff(d.Attempts))
	var fault *TargetError
	switch {
	case errors.As(err, &fault) && fault.Permanent:
		b.giveUp(ctx, d, err, "")
		return
	case d.Attempts > d.MaxRetries:
		b.giveUp(ctx, d, err, "MaximumRetryAttempts")
		return
	case d.Due.Sub(d.Created) > d.MaxAge:
		b.giveUp(ctx, d, err, "MaximumEventAgeInSeconds")
		return
	}
	log := b.cfg.Logger.With("rule", d.RuleARN, "schedule", d.ScheduleARN, "target", d.TargetARN, "attempt", d.Attempts)
	log.Warn("event was not delivered and will be tried again", "error", err)
	if err := b.outbox.retry(d); err != nil {
		log.Error("retry could not be stored", "error", err)
	}
}

func (b *Bus) send(ctx context.Context, d delivery) error {
	if d.PayloadError != "" {
		return &TargetError{Code: "INVALID_JSON", Permanent: true, Err: errors.New(d.PayloadError)}
	}
	payload := d.Payload
	if d.ScheduleARN != "" {
		payload = []byte(strings.ReplaceAll(string(payload), "<aws.scheduler.attempt-number>", strconv.Itoa(d.Attempts+1)))
	}
	if err := b.permit(ctx, d, d.TargetARN); err != nil {
		return err
	}
	trace, _ := xray.ParseHeader(d.Trace)
	return b.cfg.Deliver(xray.WithHeader(ctx, trace), d.TargetARN, payload)
}

// permit asks whether the rule or schedule may send to an ARN. Without permission nothing is tried again.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
func (b *Bus) permit(ctx context.Context, d delivery, arn string) error {
	if b.cfg.Permit == nil {
		return nil
	}
	source := d.RuleARN
	if d.ScheduleARN != "" {
		source = d.ScheduleARN
	}
	if err := b.cfg.Permit(ctx, source, arn); err != nil {
		return &TargetError{Code: "NO_PERMISSIONS", Permanent: true, Err: err}
	}
	return nil
}

// giveUp sends an event to its target's dead-letter queue, if there is one.
func (b *Bus) giveUp(ctx context.Context, d delivery, cause error, exhausted string) {
	log := b.cfg.Logger.With("rule", d.RuleARN, "schedule", d.ScheduleARN, "target", d.TargetARN, "attempts", d.Attempts)
	if d.DeadLetterARN == "" {
		log.Error("event was dropped: it could not be delivered and its target has no dead-letter queue", "error", cause)
		b.settle(d)
		return
	}
	err := b.permit(ctx, d, d.DeadLetterARN)
	if err == nil {
		err = b.cfg.DeadLetter(ctx, d.DeadLetterARN, d.Event, d.deadLetterAttributes(cause, exhausted))
	}
	if ctx.Err() != nil && err != nil {
		return
	}
	if err != nil {
		log.Error("event was dropped: its dead-letter queue refused it", "queue", d.DeadLetterARN, "error", errors.Join(cause, err))
	} else {
		log.Warn("event went to the dead-letter queue", "queue", d.DeadLetterARN, "error", cause)
	}
	b.settle(d)
}

// deadLetterAttributes are the message attributes that AWS documents.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
// https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
func (d delivery) deadLetterAttributes(cause error, exhausted string) map[string]string {
	code := "ERROR_FROM_TARGET"
	var fault *TargetError
	if errors.As(cause, &fault) {
		code = fault.Code
	} else if errors.Is(cause, context.DeadlineExceeded) {
		code = "TIMEOUT"
	}
	a := map[string]string{
		"TARGET_ARN":     d.TargetARN,
		"ERROR_CODE":     code,
		"ERROR_MESSAGE":  cause.Error(),
		"RETRY_ATTEMPTS": strconv.Itoa(d.Attempts - 1),
	}
	if exhausted != "" {
		a["EXHAUSTED_RETRY_CONDITION"] = exhausted
	}
	if d.ScheduleARN == "" {
		a["RULE_ARN"] = d.RuleARN
		return a
	}
	a["SCHEDULE_ARN"], a["EXECUTION_ID"], a["SCHEDULED_TIME"] = d.ScheduleARN, d.ExecutionID, d.ScheduledTime
	a["IS_PAYLOAD_TRUNCATED"] = "false"
	return a
}

func (b *Bus) settle(d delivery) {
	if err := b.outbox.remove(d.seq); err != nil {
		b.cfg.Logger.Error("delivery could not be settled and will be repeated after a restart", "target", d.TargetARN, "error", err)
	}
}

// queue orders deliveries by when they are due, and then by age.
type queue []*delivery

var _ heap.Interface = (*queue)(nil)

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if !q[i].Due.Equal(q[j].Due) {
		return q[i].Due.Before(q[j].Due)
	}
	return q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(x any) { *q = append(*q, x.(*delivery)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}

// String names a delivery in logs and errors.
func (d delivery) String() string {
	return fmt.Sprintf("delivery %d to %s", d.seq, d.TargetARN)
}
