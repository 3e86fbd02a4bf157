package ddbstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

// StartMultipart records S3's name for a multipart upload that was opened, which
// can take parts from then on, for limits.MultipartLife. Where another name was
// recorded before, that one stays and is in the upload returned: the caller
// aborts its own.
func (s *Store) StartMultipart(ctx context.Context, ws, id, s3UploadID string) (upload.Upload, error) {
	return s.change(ctx, "start multipart upload", ws, id, func(u upload.Upload) (upload.Upload, bool, error) {
		to, err := upload.Transition(u.State, upload.SignParts, upload.Client)
		if err != nil || u.S3UploadID != "" {
			return u, false, err
		}
		if u.Mode != upload.Multipart {
			return u, false, fault.New(fault.Conflict, "the upload has mode %s", u.Mode)
		}
		u.State, u.S3UploadID, u.ExpiresAt = to, s3UploadID, s.now().Add(limits.MultipartLife)
		u.Rev++
		return u, true, nil
	})
}

// BeginCompletion records that a client has completed an upload, before S3 is
// asked to assemble it. An upload that was completed the same way before is
// returned as it is now: completing, uploaded or available. Completing it
// otherwise is a Conflict, and an UploadEnded error says that it has ended.
func (s *Store) BeginCompletion(ctx context.Context, ws, id string, c upload.Completion) (upload.Upload, error) {
	c.BegunAt = stored(c.BegunAt)
	return s.change(ctx, "complete upload", ws, id, func(u upload.Upload) (upload.Upload, bool, error) {
		if done, err := u.Completed(c); done || err != nil {
			return u, false, err
		}
		u, err := u.Complete(c)
		return u, err == nil, err
	})
}

// EndCompletion records what became of the completion of u: Assemble when S3 has
// made one object of the parts, Reopen (with a reason) when it has refused and the
// client can put them right. It holds for that completion only: the upload is
// returned as it is when it has moved on, by another attempt or by its end.
func (s *Store) EndCompletion(ctx context.Context, u upload.Upload, e upload.Event, by upload.Actor, why *object.Reason) (upload.Upload, error) {
	if e != upload.Assemble && e != upload.Reopen {
		return upload.Upload{}, fmt.Errorf("end the completion of upload %s: %s does not", u.ID, e)
	}
	return s.change(ctx, "end the completion of", u.Workspace, u.ID, func(now upload.Upload) (upload.Upload, bool, error) {
		if now.State != upload.Completing || now.Rev != u.Rev {
			return now, false, nil
		}
		to, err := upload.Transition(now.State, e, by)
		if err != nil {
			return now, false, err
		}
		now.State, now.Reason = to, why
		now.Rev++
		return now, true, nil
	})
}

// RejectCompletion ends an upload of which S3 has neither parts nor an object any
// more, and writes the rejected object or version, as RejectUpload does. It keeps
// the reservation until ReleaseUpload.
func (s *Store) RejectCompletion(ctx context.Context, u upload.Upload, why object.Reason) (upload.Upload, error) {
	return s.rejectBy(ctx, u, upload.Completer, object.Facts{Size: u.Size}, why)
}

// change reads an upload, has it edited, and writes it unless somebody else has
// written it in between: then once more. edit says whether there is anything to
// write.
func (s *Store) change(ctx context.Context, operation, ws, id string, edit func(upload.Upload) (upload.Upload, bool, error)) (upload.Upload, error) {
	var changed upload.Upload
	err := s.repeat(ctx, operation, id, func() error {
		u, err := s.Upload(ctx, ws, id)
		if err != nil {
			return err
		}
		after, write, err := edit(u)
		if err != nil {
			return err
		}
		if changed = after; !write {
			return nil
		}
		return s.replace(ctx, u, after)
	})
	if err != nil {
		return upload.Upload{}, err
	}
	return changed, nil
}

// replace writes an upload, and nothing else, on condition that it is still as it
// was before.
func (s *Store) replace(ctx context.Context, before, after upload.Upload) error {
	when := unchanged(before.Rev)
	_, err := s.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                 &s.table,
		Item:                      attributes(s.schema.Uploads.Encode(after)),
		ConditionExpression:       &when.expression,
		ExpressionAttributeNames:  when.names,
		ExpressionAttributeValues: when.values,
	})
	var refused *types.ConditionalCheckFailedException
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return fmt.Errorf("%w: %w", errLostRace, err)
	default:
		return failure(err, "write upload %s", after.ID)
	}
}
