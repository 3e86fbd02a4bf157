package s3

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3response"

	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// notifying wraps the engine's storage: each change of an object becomes an event before the client
// is answered. Everything else passes through.
type notifying struct {
	backend.Backend
	outbox *outbox
	tell   *teller
	now    func() time.Time
}

var _ backend.Backend = (*notifying)(nil)

// change makes a change between its intent and its events.
func (n *notifying) change(ctx context.Context, i intent, do func() ([]Event, error)) error {
	i.Started, i.Caller = n.now(), callerOf(ctx)
	entry, err := n.outbox.begin(i)
	if err != nil {
		return err
	}
	events, err := do()
	if err != nil || len(events) == 0 {
		if cancelErr := n.outbox.cancel(entry); err == nil {
			err = cancelErr
		}
		return err
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

// PutObject implements backend.Backend.
func (n *notifying) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	name := CreatedPut
	if r, ok := ctx.(*fasthttp.RequestCtx); ok && string(r.Method()) == http.MethodPost {
		name = CreatedPost
	}
	var out s3response.PutObjectOutput
	err := n.change(ctx, creation(name, in.Bucket, in.Key), func() (_ []Event, err error) {
		in.Body = wholeBody(in.Body, in.ContentLength)
		if out, err = n.Backend.PutObject(ctx, in); err != nil {
			return nil, err //nolint:wrapcheck // the engine turns errors of this type into answers
		}
		size := aws.ToInt64(in.ContentLength)
		if out.Size != nil {
			size = *out.Size
		}
		return []Event{{Name: name, Key: *in.Key, VersionID: out.VersionID, ETag: unquote(out.ETag), Size: size}}, nil
	})
	return out, err
}

// CopyObject implements backend.Backend.
func (n *notifying) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	var out s3response.CopyObjectOutput
	err := n.change(ctx, creation(CreatedCopy, in.Bucket, in.Key), func() (_ []Event, err error) {
		if out, err = n.Backend.CopyObject(ctx, in); err != nil {
			return nil, err //nolint:wrapcheck // the engine turns errors of this type into answers
		}
		return n.created(ctx, CreatedCopy, *in.Bucket, *in.Key, aws.ToString(out.VersionId)), nil
	})
	return out, err
}

// CompleteMultipartUpload implements backend.Backend.
func (n *notifying) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	var (
		out     s3response.CompleteMultipartUploadResult
		version string
	)
	err := n.change(ctx, creation(CreatedMultipart, in.Bucket, in.Key), func() (_ []Event, err error) {
		if out, version, err = n.Backend.CompleteMultipartUpload(ctx, in); err != nil {
			return nil, err //nolint:wrapcheck // the engine turns errors of this type into answers
		}
		return n.created(ctx, CreatedMultipart, *in.Bucket, *in.Key, version), nil
	})
	return out, version, err
}

// created is the event for a version whose size and ETag the operation did not return.
func (n *notifying) created(ctx context.Context, name, bucket, key, version string) []Event {
	e := Event{Name: name, Key: key, VersionID: version}
	head := &s3.HeadObjectInput{Bucket: &bucket, Key: &key}
	if version != "" {
		head.VersionId = &version
	}
	// A failure means that the object is gone again; what was created is still to be told.
	if facts, err := n.HeadObject(ctx, head); err == nil {
		e.Size, e.ETag = aws.ToInt64(facts.ContentLength), unquote(aws.ToString(facts.ETag))
	}
	return []Event{e}
}

// DeleteObject implements backend.Backend.
func (n *notifying) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	var out *s3.DeleteObjectOutput
	i := intent{Bucket: aws.ToString(in.Bucket), Targets: []target{{Key: aws.ToString(in.Key), VersionID: aws.ToString(in.VersionId), Delete: true}}}
	err := n.change(ctx, i, func() (_ []Event, err error) {
		if out, err = n.Backend.DeleteObject(ctx, in); err != nil {
			return nil, err //nolint:wrapcheck // the engine turns errors of this type into answers
		}
		return n.removed(ctx, i.Bucket, i.Targets[0], aws.ToBool(out.DeleteMarker), aws.ToString(out.VersionId)), nil
	})
	return out, err
}

// DeleteObjects implements backend.Backend.
func (n *notifying) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	var out s3response.DeleteResult
	i := intent{Bucket: aws.ToString(in.Bucket)}
	for _, o := range in.Delete.Objects {
		i.Targets = append(i.Targets, target{Key: aws.ToString(o.Key), VersionID: aws.ToString(o.VersionId), Delete: true})
	}
	err := n.change(ctx, i, func() (events []Event, err error) {
		if out, err = n.Backend.DeleteObjects(ctx, in); err != nil {
			return nil, err //nolint:wrapcheck // the engine turns errors of this type into answers
		}
		for _, d := range out.Deleted {
			t := target{Key: aws.ToString(d.Key), VersionID: aws.ToString(d.VersionId)}
			events = append(events, n.removed(ctx, i.Bucket, t, aws.ToBool(d.DeleteMarker), aws.ToString(d.DeleteMarkerVersionId))...)
		}
		return events, nil
	})
	return out, err
}

// removed is the event of one deletion. Without a version id a bucket with versions gets a delete
// marker, or nothing when there was no object.
func (n *notifying) removed(ctx context.Context, bucket string, t target, marker bool, markerVersion string) []Event {
	switch {
	case t.VersionID != "":
		return []Event{{Name: Removed, Key: t.Key, VersionID: t.VersionID}}
	case marker:
		return []Event{{Name: MarkerCreated, Key: t.Key, VersionID: markerVersion}}
	case n.versioned(ctx, bucket):
		return nil
	}
	return []Event{{Name: Removed, Key: t.Key}}
}

func (n *notifying) versioned(ctx context.Context, bucket string) bool {
	out, err := n.GetBucketVersioning(ctx, bucket)
	return err == nil && out.Status != nil && *out.Status != ""
}

// PutObjectTagging implements backend.Backend.
func (n *notifying) PutObjectTagging(ctx context.Context, bucket, key, version string, tags map[string]string) error {
	i := intent{Event: TaggingPut, Bucket: bucket, Targets: []target{{Key: key, VersionID: version}}}
	return n.change(ctx, i, func() ([]Event, error) {
		if err := n.Backend.PutObjectTagging(ctx, bucket, key, version, tags); err != nil {
			return nil, err //nolint:wrapcheck // the engine turns errors of this type into answers
		}
		return []Event{{Name: TaggingPut, Key: key, VersionID: version}}, nil
	})
}

// DeleteObjectTagging implements backend.Backend.
func (n *notifying) DeleteObjectTagging(ctx context.Context, bucket, key, version string) error {
	i := intent{Event: TaggingDelete, Bucket: bucket, Targets: []target{{Key: key, VersionID: version}}}
	return n.change(ctx, i, func() ([]Event, error) {
		if err := n.Backend.DeleteObjectTagging(ctx, bucket, key, version); err != nil {
			return nil, err //nolint:wrapcheck // the engine turns errors of this type into answers
		}
		return []Event{{Name: TaggingDelete, Key: key, VersionID: version}}, nil
	})
}

func creation(event string, bucket, key *string) intent {
	return intent{Event: event, Bucket: aws.ToString(bucket), Targets: []target{{Key: aws.ToString(key)}}}
}

func unquote(etag string) string { return strings.Trim(etag, `"`) }

// callerOf is who makes the request that ctx belongs to; the gateway in front says from where.
func callerOf(ctx context.Context) Caller {
	var c Caller
	if account, ok := ctx.Value("account").(auth.Account); ok {
		c.AccessKeyID, c.Principal = account.Access, account.Arn
	}
	if id := ctx.Value("request-id"); id != nil {
		c.RequestID = fmt.Sprint(id)
	}
	if r, ok := ctx.(*fasthttp.RequestCtx); ok {
		c.Trace = string(r.Request.Header.Peek(xray.HeaderName))
		c.SourceIP = string(r.Request.Header.Peek("X-Forwarded-For"))
		if c.SourceIP == "" {
			c.SourceIP = r.RemoteIP().String()
		}
	}
	return c
}
