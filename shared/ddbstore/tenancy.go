package ddbstore

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// CreateWorkspace writes a workspace, its quota and its first member at once.
// It returns a Conflict error when the workspace exists.
func (s *Store) CreateWorkspace(ctx context.Context, w workspace.Workspace, owner workspace.Member) error {
	if err := w.Validate(); err != nil {
		return err
	}
	if err := owner.Validate(); err != nil {
		return err
	}
	if owner.Workspace != w.ID {
		return fault.Invalid("workspace", "the owner is a member of %q, not of %q", owner.Workspace, w.ID)
	}
	w.Rev = 1
	actions := []action{
		put(s, aWorkspace, s.schema.Workspaces, w, absent()),
		put(s, aMember, s.schema.Members, owner, absent()),
	}
	for _, shard := range workspace.Spread(w.ID, w.Quota.Amount(), w.Shards) {
		actions = append(actions, put(s, aShard, s.schema.Shards, shard, absent()))
	}
	return s.repeat(ctx, "create workspace", w.ID, func() error {
		err := s.commit(ctx, actions...)
		var refused *refusal
		if errors.As(err, &refused) {
			return fault.Wrap(fault.Conflict, err, "the workspace %s exists", w.ID)
		}
		return err
	})
}

// Workspace returns a workspace, or a NotFound error.
func (s *Store) Workspace(ctx context.Context, ws string) (workspace.Workspace, error) {
	return get(ctx, s, s.schema.Workspaces, workspace.Workspace{ID: ws}, "workspace")
}

// PutMember writes a member, new or changed. It returns a NotFound error when
// there is no such workspace.
func (s *Store) PutMember(ctx context.Context, m workspace.Member) error {
	if err := m.Validate(); err != nil {
		return err
	}
	return s.repeat(ctx, "put member of", m.Workspace, func() error {
		err := s.commit(ctx,
			check(s, aWorkspace, s.schema.Workspaces, workspace.Workspace{ID: m.Workspace}, present()),
			put(s, aMember, s.schema.Members, m, condition{}),
		)
		if refusedBy(err, aWorkspace) {
			return fault.Wrap(fault.NotFound, err, "there is no workspace %s", m.Workspace)
		}
		return err
	})
}

// Member returns a member, or a NotFound error.
func (s *Store) Member(ctx context.Context, ws, sub string) (workspace.Member, error) {
	return get(ctx, s, s.schema.Members, workspace.Member{Workspace: ws, Sub: sub}, "member")
}

// RemoveMember makes sure that sub is no member of ws.
func (s *Store) RemoveMember(ctx context.Context, ws, sub string) error {
	key := s.schema.Members.Key(workspace.Member{Workspace: ws, Sub: sub})
	return s.repeat(ctx, "remove member of", ws, func() error {
		_, err := s.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &s.table, Key: attributes(key.Item())})
		if err != nil {
			return failure(err, "remove %s", key)
		}
		return nil
	})
}
