package ddbstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// SetQuota changes a workspace's quota. ifRev, unless it is 0, is the rev that the
// workspace must have: a PreconditionFailed error says that it has another. A
// QuotaInUse error, with the figures, says that less than the new quota would be
// free to take back.
func (s *Store) SetQuota(ctx context.Context, ws string, q workspace.Quota, ifRev int64) (workspace.Workspace, error) {
	if err := q.Validate(); err != nil {
		return workspace.Workspace{}, err
	}
	var changed workspace.Workspace
	err := s.repeat(ctx, "set quota of", ws, func() error {
		w, err := s.Workspace(ctx, ws)
		if err != nil {
			return err
		}
		if ifRev != 0 && w.Rev != ifRev {
			return fault.New(fault.PreconditionFailed, "the workspace has rev %d, not %d", w.Rev, ifRev).With("rev", w.Rev)
		}
		shards, err := s.shards(ctx, w)
		if err != nil {
			return err
		}
		moves, err := workspace.Resize(shards, w.Quota.Amount(), q.Amount())
		if err != nil {
			return err
		}
		changed = w
		changed.Quota, changed.Rev, changed.UpdatedAt = q, w.Rev+1, s.now()
		actions := append(s.moves(ws, moves), put(s, aWorkspace, s.schema.Workspaces, changed, unchanged(w.Rev)))
		return lostRace(s.commit(ctx, actions...))
	})
	if err != nil {
		return workspace.Workspace{}, err
	}
	return changed, nil
}

// Usage returns a workspace's quota and where it is. Each shard is read strongly
// consistent; while quota moves between shards, the sums can be off by what is
// moving.
func (s *Store) Usage(ctx context.Context, ws string) (workspace.Usage, error) {
	w, err := s.Workspace(ctx, ws)
	if err != nil {
		return workspace.Usage{}, err
	}
	shards, err := s.shards(ctx, w)
	if err != nil {
		return workspace.Usage{}, err
	}
	return workspace.Usage{Limit: w.Quota.Amount(), Balance: workspace.Sum(shards)}, nil
}

// shards reads all of a workspace's shards, in order. It returns a NotFound
// error when there is no such workspace.
func (s *Store) shards(ctx context.Context, w workspace.Workspace) ([]workspace.Shard, error) {
	keys := make([]map[string]types.AttributeValue, w.Shards)
	for i := range keys {
		keys[i] = attributes(s.schema.Shards.Key(workspace.Shard{Workspace: w.ID, Number: i}).Item())
	}
	items, err := s.batchGet(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("read usage of %s: %w", w.ID, err)
	}
	if len(items) != w.Shards || w.Shards == 0 {
		return nil, fault.New(fault.NotFound, "there is no workspace %s", w.ID)
	}
	shards := make([]workspace.Shard, len(items))
	for i, attrs := range items {
		if shards[i], err = s.schema.Shards.Decode(item(attrs)); err != nil {
			return nil, fmt.Errorf("read usage of %s: %w", w.ID, err)
		}
	}
	slices.SortFunc(shards, func(a, b workspace.Shard) int { return a.Number - b.Number })
	return shards, nil
}

// errUnprocessed marks keys that DynamoDB left for another call.
var errUnprocessed = errors.New("unprocessed keys")

// batchGet reads up to limits.BatchGetItems items, in any order. DynamoDB may
// answer a part and no error: the rest is asked for again.
func (s *Store) batchGet(ctx context.Context, keys []map[string]types.AttributeValue) ([]map[string]types.AttributeValue, error) {
	var items []map[string]types.AttributeValue
	err := s.repeat(ctx, "read", s.table, func() error {
		out, err := s.db.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{
				s.table: {Keys: keys, ConsistentRead: aws.Bool(true)},
			},
		})
		if err != nil {
			return failure(err, "batch get")
		}
		items = append(items, out.Responses[s.table]...)
		if rest, ok := out.UnprocessedKeys[s.table]; ok && len(rest.Keys) > 0 {
			keys = rest.Keys
			return fmt.Errorf("%w: %w", errLostRace, errUnprocessed)
		}
		return nil
	})
	return items, err
}
