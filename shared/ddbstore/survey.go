package ddbstore

import (
	"context"
	"encoding/base64"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
)

// AllObjects yields every object of every workspace, in pages, in no order. It reads the
// whole table, eventually consistent: for who checks it at night. It ends after an error.
//
// It needs dynamodb:Scan on the table.
func (s *Store) AllObjects(ctx context.Context) iter.Seq2[[]object.Object, error] {
	return func(yield func([]object.Object, error) bool) {
		for page, err := range s.ObjectsFrom(ctx, "") {
			if !yield(page.Objects, err) {
				return
			}
		}
	}
}

// ObjectPage is some objects, in no order.
type ObjectPage struct {
	Objects []object.Object
	// End is where the page ends, from which ObjectsFrom goes on; empty after the last one.
	End string
}

// ObjectsFrom is AllObjects from where another page ended; "" is the beginning. Objects that
// are there all the while are in some page; those that come meanwhile may be.
func (s *Store) ObjectsFrom(ctx context.Context, end string) iter.Seq2[ObjectPage, error] {
	return func(yield func(ObjectPage, error) bool) {
		in := &dynamodb.ScanInput{
			TableName:                 &s.table,
			FilterExpression:          aws.String("#s = :s"),
			ExpressionAttributeNames:  map[string]string{"#s": catalog.MainTable().SortKey.Name},
			ExpressionAttributeValues: map[string]types.AttributeValue{":s": attribute(catalog.Text(catalog.ObjectSortKey))},
		}
		var err error
		if in.ExclusiveStartKey, err = parsePlace(end); err != nil {
			yield(ObjectPage{}, err)
			return
		}
		for {
			out, err := s.db.Scan(ctx, in)
			if err != nil {
				yield(ObjectPage{}, failure(err, "scan the objects"))
				return
			}
			page := ObjectPage{Objects: make([]object.Object, len(out.Items)), End: place(out.LastEvaluatedKey)}
			for i, found := range out.Items {
				if page.Objects[i], err = s.schema.Objects.Decode(item(found)); err != nil {
					yield(ObjectPage{}, fmt.Errorf("scan the objects: %w", err))
					return
				}
			}
			if !yield(page, nil) || page.End == "" {
				return
			}
			in.ExclusiveStartKey = out.LastEvaluatedKey
		}
	}
}

// place writes a key of the table as one word.
func place(key map[string]types.AttributeValue) string {
	if len(key) == 0 {
		return ""
	}
	table, found := catalog.MainTable(), item(key)
	return base64.RawURLEncoding.EncodeToString([]byte(found[table.PartitionKey.Name].Text + "\n" + found[table.SortKey.Name].Text))
}

func parsePlace(end string) (map[string]types.AttributeValue, error) {
	if end == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(end)
	partition, sort, found := strings.Cut(string(text), "\n")
	if err != nil || !found || partition == "" || sort == "" {
		return nil, fault.New(fault.InvalidArgument, "%q is no place where a page of objects ended", end)
	}
	table := catalog.MainTable()
	return attributes(catalog.Item{table.PartitionKey.Name: catalog.Text(partition), table.SortKey.Name: catalog.Text(sort)}), nil
}

// ObjectsOf returns, of the objects whose workspace and id are given, those that there are,
// in no order, strongly consistent.
//
// It needs dynamodb:BatchGetItem on the table.
func (s *Store) ObjectsOf(ctx context.Context, named []object.Object) ([]object.Object, error) {
	var objects []object.Object
	for some := range slices.Chunk(named, limits.BatchGetItems) {
		keys := make([]map[string]types.AttributeValue, len(some))
		for i, o := range some {
			keys[i] = attributes(s.schema.Objects.Key(o).Item())
		}
		items, err := s.batchGet(ctx, keys)
		if err != nil {
			return nil, fmt.Errorf("read %d objects: %w", len(some), err)
		}
		for _, found := range items {
			o, err := s.schema.Objects.Decode(item(found))
			if err != nil {
				return nil, fmt.Errorf("read %d objects: %w", len(some), err)
			}
			objects = append(objects, o)
		}
	}
	return objects, nil
}
