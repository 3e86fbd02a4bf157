package ddbstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// DueUploads returns uploads of all workspaces that hold quota and have been due
// since some moment of an hour, but no later than until, the earliest first, and
// where the next page begins: "" when there is none. shard is one of
// catalog.ExpiryShards partitions of the hour. The list is eventually consistent:
// decide with Upload.
func (s *Store) DueUploads(ctx context.Context, hour time.Time, shard int, until time.Time, page catalog.Page) ([]upload.Pending, string, error) {
	attributeName, partition, sort := catalog.DuePartition(hour, shard)
	in := s.input(catalog.ExpiryIndex, group{attributeName, partition}, "")
	in.KeyConditionExpression = aws.String("#p = :p AND #s <= :s")
	in.ExpressionAttributeNames["#s"] = sort
	in.ExpressionAttributeValues[":s"] = attribute(catalog.DueUntil(until))
	limit := page.Limit
	if limit <= 0 || limit > limits.PageItems {
		limit = limits.PageItems
	}
	in.Limit = aws.Int32(int32(limit))
	if page.After != "" {
		after, err := parsePending(page.After)
		if err != nil {
			return nil, "", err
		}
		in.ExclusiveStartKey = attributes(s.schema.Uploads.Position(catalog.ExpiryIndex,
			upload.Upload{Workspace: after.Workspace, ID: after.ID, ExpiresAt: after.Due}))
	}
	out, err := s.db.Query(ctx, in)
	if err != nil {
		return nil, "", failure(err, "list what is due in %s", partition)
	}
	due := make([]upload.Pending, len(out.Items))
	for i, keys := range out.Items {
		if due[i], err = catalog.Pending(item(keys)); err != nil {
			return nil, "", fmt.Errorf("list what is due in %s: %w", partition, err)
		}
	}
	if len(out.LastEvaluatedKey) == 0 || len(due) == 0 {
		return due, "", nil
	}
	return due, pendingText(due[len(due)-1]), nil
}

func pendingText(p upload.Pending) string {
	return strings.Join([]string{p.Workspace, p.ID, p.Due.Format(time.RFC3339Nano)}, " ")
}

func parsePending(after string) (upload.Pending, error) {
	part := strings.Split(after, " ")
	if len(part) != 3 || workspace.ValidateID("cursor", part[0]) != nil || !object.IsID(part[1]) {
		return upload.Pending{}, errEnd()
	}
	due, err := time.Parse(time.RFC3339Nano, part[2])
	if err != nil {
		return upload.Pending{}, errEnd()
	}
	return upload.Pending{Workspace: part[0], ID: part[1], Due: due}, nil
}

// PostponeUpload lets an upload that has not ended expire later than it would, and
// never earlier. It returns the upload as it is then; one that has ended is left
// alone.
func (s *Store) PostponeUpload(ctx context.Context, ws, id string, until time.Time) (upload.Upload, error) {
	until = stored(until)
	return s.change(ctx, "postpone upload", ws, id, func(u upload.Upload) (upload.Upload, bool, error) {
		if u.State.Ended() || !u.ExpiresAt.Before(until) {
			return u, false, nil
		}
		u.ExpiresAt = until
		u.Rev++
		return u, true, nil
	})
}

// Checkpoint returns how far a sweep has come, or a NotFound error for one that
// has never saved anything.
func (s *Store) Checkpoint(ctx context.Context, sweep string) (upload.Checkpoint, error) {
	return get(ctx, s, s.schema.Sweeps, upload.Checkpoint{Sweep: sweep}, "checkpoint")
}

// SaveCheckpoint records how far a sweep has come. The last writer wins.
func (s *Store) SaveCheckpoint(ctx context.Context, c upload.Checkpoint) error {
	c.SavedAt = stored(c.SavedAt)
	_, err := s.db.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: attributes(s.schema.Sweeps.Encode(c))})
	if err != nil {
		return failure(err, "save checkpoint %s", c.Sweep)
	}
	return nil
}
