package uploadapi

import (
	"context"
	"fmt"

	"github.com/stowage-dev/stowage/functions/internal/tenancy"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/cursor"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// Cursors seals the position of a list for the client that reads it.
type Cursors interface {
	Seal(ctx context.Context, binding cursor.Binding, position []byte) (string, error)
	Open(ctx context.Context, binding cursor.Binding, cursor string) ([]byte, error)
}

// list reads the page of a list that the client asks for. query describes the list, in
// one spelling for one meaning: a cursor is good for that list only.
func list[T any](ctx context.Context, cursors Cursors, query string, in httpapi.PageQuery, read func(catalog.Page) ([]T, string, error)) (items []T, next *string, err error) {
	binding := cursor.Binding{Workspace: tenancy.CallerFrom(ctx).Workspace, Query: query}
	page := catalog.Page{Limit: in.Limit}
	if in.Cursor != "" {
		position, err := cursors.Open(ctx, binding, in.Cursor)
		if err != nil {
			return nil, nil, fmt.Errorf("open the cursor: %w", err)
		}
		page.After = string(position)
	}
	items, after, err := read(page)
	if err != nil {
		return nil, nil, fmt.Errorf("list %s: %w", query, err)
	}
	if after == "" {
		return items, nil, nil
	}
	sealed, err := cursors.Seal(ctx, binding, []byte(after))
	if err != nil {
		return nil, nil, fmt.Errorf("seal the cursor: %w", err)
	}
	return items, &sealed, nil
}

func (a *api) listObjects(ctx context.Context, in *objectList) (*objectPage, error) {
	ws := tenancy.CallerFrom(ctx).Workspace
	query := "objects in " + in.Parent
	read := func(page catalog.Page) ([]object.Object, string, error) {
		return a.Catalog.ListObjects(ctx, ws, in.Parent, page)
	}
	if state := object.State(in.State); state != "" && state != object.Available {
		if in.Parent != "" {
			return nil, fault.Invalid("query.parent", "cannot be combined with the state %s: such objects are listed by state alone", state)
		}
		query = "objects that are " + in.State
		read = func(page catalog.Page) ([]object.Object, string, error) {
			return a.Catalog.ListByState(ctx, ws, state, page)
		}
	} else if err := object.ValidateFolder(in.Parent); err != nil {
		return nil, fault.Inside("query.", err)
	}
	objects, next, err := list(ctx, a.Cursors, query, in.PageQuery, read)
	if err != nil {
		return nil, err
	}
	out := &objectPage{}
	out.Body.NextCursor = next
	out.Body.Items = make([]objectView, len(objects))
	for i, o := range objects {
		out.Body.Items[i] = viewObject(o)
	}
	return out, nil
}

func (a *api) listMembers(ctx context.Context, in *memberList) (*memberPage, error) {
	ws := tenancy.CallerFrom(ctx).Workspace
	read := func(page catalog.Page) ([]workspace.Member, string, error) {
		return a.Catalog.Members(ctx, ws, page)
	}
	members, next, err := list(ctx, a.Cursors, "members", in.PageQuery, read)
	if err != nil {
		return nil, err
	}
	out := &memberPage{}
	out.Body.NextCursor = next
	out.Body.Items = make([]memberView, len(members))
	for i, m := range members {
		out.Body.Items[i] = viewMember(m)
	}
	return out, nil
}
