package ddbstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// ListObjects returns the objects that own a path in one folder ("" is the
// root), by name, and where the next page begins: "" when there is none.
func (s *Store) ListObjects(ctx context.Context, ws, parent string, page catalog.Page) ([]object.Object, string, error) {
	from := object.Object{Workspace: ws, Parent: parent}
	q := query[object.Object]{entity: s.schema.Objects, index: catalog.FolderIndex, of: from, limit: page.Limit}
	if page.After != "" {
		var err error
		if from.ID, from.Name, err = parseEnd(page.After); err != nil {
			return nil, "", err
		}
		q.start = s.schema.Objects.Position(catalog.FolderIndex, from)
	}
	return list(ctx, s, q, func(o object.Object) string { return end(o.ID, o.Name) })
}

// ListByState returns the objects of a workspace in a state other than
// Available, the latest change first, and where the next page begins: "" when
// there is none.
func (s *Store) ListByState(ctx context.Context, ws string, state object.State, page catalog.Page) ([]object.Object, string, error) {
	if state == object.Available {
		return nil, "", fault.Invalid("state", "available objects are listed by folder")
	}
	from := object.Object{Workspace: ws, State: state}
	q := query[object.Object]{entity: s.schema.Objects, index: catalog.StateIndex, of: from, limit: page.Limit, latestFirst: true}
	if page.After != "" {
		id, at, err := parseEnd(page.After)
		if err != nil {
			return nil, "", err
		}
		from.ID = id
		if from.UpdatedAt, err = time.Parse(time.RFC3339Nano, at); err != nil {
			return nil, "", errEnd()
		}
		q.start = s.schema.Objects.Position(catalog.StateIndex, from)
	}
	return list(ctx, s, q, func(o object.Object) string { return end(o.ID, o.UpdatedAt.Format(time.RFC3339Nano)) })
}

// Members returns the members of a workspace, by subject, and where the next
// page begins: "" when there is none.
func (s *Store) Members(ctx context.Context, ws string, page catalog.Page) ([]workspace.Member, string, error) {
	q := query[workspace.Member]{
		entity: s.schema.Members, of: workspace.Member{Workspace: ws}, limit: page.Limit,
		sortPrefix: catalog.MemberSortPrefix,
	}
	if page.After != "" {
		if err := workspace.ValidateSub(page.After); err != nil {
			return nil, "", errEnd()
		}
		q.start = s.schema.Members.Key(workspace.Member{Workspace: ws, Sub: page.After}).Item()
	}
	return list(ctx, s, q, func(m workspace.Member) string { return m.Sub })
}

// MembershipsOf returns what a subject may do in each workspace. It is
// eventually consistent: decide with Member.
func (s *Store) MembershipsOf(ctx context.Context, sub string) ([]workspace.Member, error) {
	var all []workspace.Member
	q := query[workspace.Member]{entity: s.schema.Members, index: catalog.StateIndex, of: workspace.Member{Sub: sub}}
	for {
		members, next, err := list(ctx, s, q, func(m workspace.Member) string { return m.Workspace })
		if err != nil {
			return nil, err
		}
		all = append(all, members...)
		if next == "" {
			return all, nil
		}
		q.start = s.schema.Members.Position(catalog.StateIndex, workspace.Member{Workspace: next, Sub: sub})
	}
}

// query asks for the items of one partition.
type query[T any] struct {
	entity *catalog.Entity[T]
	index  string // "" is the table itself
	of     T      // names the partition
	limit  int
	// sortPrefix begins the sort keys of the items wanted.
	sortPrefix  string
	latestFirst bool
	start       catalog.Item // nil is the first page
}

// list returns a page of a query. It asks for one item more than it returns, so
// that a page is known to be the last one without another call.
func list[T any](ctx context.Context, s *Store, q query[T], end func(T) string) ([]T, string, error) {
	limit := q.limit
	if limit <= 0 || limit > limits.PageItems {
		limit = limits.PageItems
	}
	in := s.input(q.index, partition(q), q.sortPrefix)
	in.Limit = aws.Int32(int32(limit + 1))
	in.ScanIndexForward = aws.Bool(!q.latestFirst)
	if q.start != nil {
		in.ExclusiveStartKey = attributes(q.start)
	}
	out, err := s.db.Query(ctx, in)
	if err != nil {
		return nil, "", failure(err, "list %s", partition(q))
	}
	more := len(out.LastEvaluatedKey) > 0
	if len(out.Items) > limit {
		out.Items, more = out.Items[:limit], true
	}
	found := make([]T, len(out.Items))
	for i, attrs := range out.Items {
		if found[i], err = q.entity.Decode(item(attrs)); err != nil {
			return nil, "", fmt.Errorf("list %s: %w", partition(q), err)
		}
	}
	if !more || len(found) == 0 {
		return found, "", nil
	}
	return found, end(found[len(found)-1]), nil
}

// group is the attribute by which a query groups items, and its value.
type group struct{ attribute, value string }

func (g group) String() string { return g.attribute + " " + g.value }

func partition[T any](q query[T]) group {
	if q.index == "" {
		return group{catalog.MainTable().PartitionKey.Name, q.entity.Key(q.of).PK}
	}
	name, value := q.entity.Partition(q.index, q.of)
	return group{name, value}
}

func (s *Store) input(index string, of group, sortPrefix string) *dynamodb.QueryInput {
	in := &dynamodb.QueryInput{
		TableName:                 &s.table,
		KeyConditionExpression:    aws.String("#p = :p"),
		ExpressionAttributeNames:  map[string]string{"#p": of.attribute},
		ExpressionAttributeValues: map[string]types.AttributeValue{":p": attribute(catalog.Text(of.value))},
	}
	if index == "" {
		in.ConsistentRead = aws.Bool(true)
	} else {
		in.IndexName = &index
	}
	if sortPrefix != "" {
		in.KeyConditionExpression = aws.String("#p = :p AND begins_with(#s, :s)")
		in.ExpressionAttributeNames["#s"] = catalog.MainTable().SortKey.Name
		in.ExpressionAttributeValues[":s"] = attribute(catalog.Text(sortPrefix))
	}
	return in
}

// end says where a page of objects ends: the last one's id, and by what the list
// is sorted. Workspace and folder or state are the next call's own.
func end(id, sortedBy string) string { return id + " " + sortedBy }

func parseEnd(after string) (id, sortedBy string, err error) {
	id, sortedBy, found := strings.Cut(after, " ")
	if !found || !object.IsID(id) || sortedBy == "" || len(sortedBy) > limits.SortKeyBytes {
		return "", "", errEnd()
	}
	return id, sortedBy, nil
}

func errEnd() error {
	return fault.Wrap(fault.InvalidArgument, errors.New("malformed page end"), "the page does not begin where another one ended").
		WithField("cursor", "was not returned by this list")
}
