package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/scripts/local/bus"
	"github.com/stowage-dev/stowage/scripts/local/chaos"
	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/scripts/local/sources"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

// serviceOf is the service that an ARN belongs to.
func serviceOf(arn string) string {
	parts := strings.SplitN(arn, ":", 4)
	if len(parts) < 4 {
		return ""
	}
	return parts[2]
}

// checkTargets refuses, before anything starts, what could not be delivered later.
func checkTargets(m *template.Model) error {
	var errs []error
	check := func(path, what, arn string, known ...string) {
		for _, k := range known {
			if arn == "" || serviceOf(arn) == k {
				return
			}
		}
		errs = append(errs, fmt.Errorf("%s: the local runtime cannot deliver %s to %s, only to %s", path, what, arn, strings.Join(known, ", ")))
	}
	for _, r := range m.Rules {
		for _, t := range r.Targets {
			check(r.ConstructPath, "a rule's events", t.ARN, "lambda", "sqs")
			check(r.ConstructPath, "a rule's dead letters", t.DeadLetterARN, "sqs")
		}
	}
	for _, sch := range m.Schedules {
		check(sch.ConstructPath, "a schedule's events", sch.Target.ARN, "lambda", "sqs")
		check(sch.ConstructPath, "a schedule's dead letters", sch.Target.DeadLetterARN, "sqs")
	}
	for _, b := range m.Buckets {
		for _, n := range b.Notifications {
			check(b.ConstructPath, "notifications", n.TargetARN, "lambda", "sqs")
		}
	}
	for _, mapping := range m.Mappings {
		check(mapping.ConstructPath, "failed records", mapping.OnFailureARN, "sqs", "s3")
	}
	for _, f := range m.Functions {
		check(f.ConstructPath, "dead letters", f.DeadLetterARN, "sqs")
		check(f.ConstructPath, "results", f.Async.OnSuccess, "lambda", "sqs")
		check(f.ConstructPath, "results", f.Async.OnFailure, "lambda", "sqs")
	}
	return errors.Join(errs...)
}

// deliver hands a payload to a queue or, asynchronously, to a function.
func (s *Stack) deliver(ctx context.Context, arn string, payload []byte) error {
	switch serviceOf(arn) {
	case "lambda":
		return s.Chaos.Target(s.Host.InvokeAsync)(ctx, arn, payload)
	case "sqs":
		_, err := s.Chaos.Sender(chaos.Targets, s.Broker).Send(ctx, arn, queue.Message{Body: string(payload)})
		if errors.Is(err, queue.ErrNoQueue) {
			return &bus.TargetError{Code: "RESOURCE_NOT_FOUND", Permanent: true, Err: err}
		}
		return err
	}
	return &bus.TargetError{Code: "RESOURCE_NOT_FOUND", Permanent: true, Err: fmt.Errorf("no service here takes events for %s", arn)}
}

// deadLetter puts what could not be delivered on a queue.
func (s *Stack) deadLetter(ctx context.Context, queueARN string, body []byte, attributes map[string]string) error {
	m := queue.Message{Body: string(body), Attributes: map[string]queue.Attribute{}}
	for name, value := range attributes {
		m.Attributes[name] = queue.StringAttribute(value)
	}
	_, err := s.Broker.Send(ctx, queueARN, m)
	return err
}

// busPutter puts the S3 engine's events on the default bus.
type busPutter struct{ bus *bus.Bus }

// PutEvent puts one event and returns when its deliveries are durable.
func (p busPutter) PutEvent(ctx context.Context, e sources.BusEvent) error {
	_, err := p.bus.Put(ctx, bus.Entry{Source: e.Source, DetailType: e.DetailType, Detail: e.Detail, Resources: e.Resources, Time: e.Time})
	return err
}

// objectPutter writes what a stream mapping gave up to a bucket, through the
// gateway like every other call, with the role of the mapping's function.
type objectPutter struct{ stack *Stack }

// PutObject writes one object.
func (p objectPutter) PutObject(ctx context.Context, functionARN, bucket, key string, body []byte) error {
	f, err := functionOf(p.stack.present.Load(), functionARN)
	if err != nil {
		return err
	}
	c, err := p.stack.credentials.IssueFor(f.RoleARN, f.Name)
	if err != nil {
		return fmt.Errorf("put s3://%s/%s: %w", bucket, key, err)
	}
	client := p.stack.bucketClientAs(credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken))
	if _, err := client.PutObject(ctx, &awss3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(body)}); err != nil {
		return fmt.Errorf("put s3://%s/%s: %w", bucket, key, err)
	}
	return nil
}
