package s3

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/oklog/ulid/v2"
	"github.com/versity/versitygw/s3response"
)

// recover tells the events that a kill left in the outbox.
func (n *notifying) recover(ctx context.Context) error {
	names, err := n.outbox.pending()
	if err != nil {
		return err
	}
	for _, name := range names {
		entry := strings.TrimSuffix(name, filepath.Ext(name))
		if filepath.Ext(name) == extIntent {
			err = n.recoverIntent(ctx, entry)
		} else {
			err = n.recoverEvents(entry)
		}
		if err != nil {
			return fmt.Errorf("recover %s: %w", name, err)
		}
	}
	return nil
}

// recoverEvents tells events of a change that was made but perhaps not told of.
func (n *notifying) recoverEvents(entry string) error {
	var events []Event
	whole, err := n.outbox.read(entry+extEvents, &events)
	if err != nil {
		return err
	}
	if !whole || len(events) == 0 {
		return n.outbox.done(entry)
	}
	n.tell.events(entry, events)
	return nil
}

// recoverIntent finds out what came of a change that was begun.
func (n *notifying) recoverIntent(ctx context.Context, entry string) error {
	var i intent
	whole, err := n.outbox.read(entry+extIntent, &i)
	if err != nil {
		return err
	}
	if !whole {
		return n.outbox.cancel(entry)
	}
	var events []Event
	for _, t := range i.Targets {
		found, err := n.traces(ctx, i, t)
		if err != nil {
			return err
		}
		events = append(events, found...)
	}
	if len(events) == 0 {
		return n.outbox.cancel(entry)
	}
	for at := range events {
		e := &events[at]
		e.Bucket, e.Time, e.Caller, e.Sequencer = i.Bucket, n.now(), i.Caller, n.outbox.sequencer()
	}
	if err := n.outbox.commit(entry, events); err != nil {
		return err
	}
	n.tell.events(entry, events)
	return nil
}

// traces are the events of what has become of one key since the change was begun. Changes made by
// somebody else meanwhile are told of a second time, which is allowed.
func (n *notifying) traces(ctx context.Context, i intent, t target) ([]Event, error) {
	list, err := n.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{
		Bucket: &i.Bucket, Prefix: &t.Key, MaxKeys: aws.Int32(1000),
		KeyMarker: aws.String(""), VersionIdMarker: aws.String(""), Delimiter: aws.String(""),
	})
	if err != nil {
		return nil, fmt.Errorf("list versions of %s/%s: %w", i.Bucket, t.Key, err)
	}
	if !strings.HasPrefix(i.Event, "ObjectCreated:") && !t.Delete { // tagging leaves no trace
		return []Event{{Name: i.Event, Key: t.Key, VersionID: t.VersionID}}, nil
	}
	var events []Event
	exists := false
	for _, v := range list.Versions {
		if aws.ToString(v.Key) != t.Key {
			continue
		}
		exists = exists || t.VersionID == "" || aws.ToString(v.VersionId) == t.VersionID
		if !t.Delete && createdSince(v, i.Started) {
			events = append(events, createdEvent(i.Event, v))
		}
	}
	for _, m := range list.DeleteMarkers {
		if aws.ToString(m.Key) != t.Key {
			continue
		}
		exists = exists || aws.ToString(m.VersionId) == t.VersionID
		if at, ok := versionTime(aws.ToString(m.VersionId)); t.Delete && t.VersionID == "" && ok && since(at, i.Started) {
			events = append(events, Event{Name: MarkerCreated, Key: t.Key, VersionID: *m.VersionId})
		}
	}
	if t.Delete && !exists && (t.VersionID != "" || !n.versioned(ctx, i.Bucket)) {
		events = append(events, Event{Name: Removed, Key: t.Key, VersionID: t.VersionID})
	}
	return events, nil
}

func createdEvent(name string, v s3response.ObjectVersion) Event {
	e := Event{Name: name, Key: aws.ToString(v.Key), Size: aws.ToInt64(v.Size), ETag: unquote(aws.ToString(v.ETag))}
	if _, ok := versionTime(aws.ToString(v.VersionId)); ok {
		e.VersionID = *v.VersionId
	}
	return e
}

func createdSince(v s3response.ObjectVersion, start time.Time) bool {
	at, ok := versionTime(aws.ToString(v.VersionId))
	if !ok {
		at = aws.ToTime(v.LastModified)
	}
	return since(at, start)
}

// slack covers a clock that was set back a little, and the milliseconds of a version id. What was
// changed so shortly before a kill may be told of twice.
const slack = 100 * time.Millisecond

func since(at, start time.Time) bool { return !at.Before(start.Add(-slack)) }

// versionTime is when a version was made: version ids of this engine are ULIDs.
func versionTime(version string) (time.Time, bool) {
	id, err := ulid.ParseStrict(version)
	if err != nil {
		return time.Time{}, false
	}
	return ulid.Time(id.Time()), true
}
