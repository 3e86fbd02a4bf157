package ddbstore

import (
	"context"
	"fmt"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/object"
)

// AllObjects yields every object of every workspace, in pages, in no order. It reads the
// whole table, eventually consistent: for who checks it at night. It ends after an error.
//
// It needs dynamodb:Scan on the table.
func (s *Store) AllObjects(ctx context.Context) iter.Seq2[[]object.Object, error] {
	return func(yield func([]object.Object, error) bool) {
		in := &dynamodb.ScanInput{
			TableName:                 &s.table,
			FilterExpression:          aws.String("#s = :s"),
			ExpressionAttributeNames:  map[string]string{"#s": catalog.MainTable().SortKey.Name},
			ExpressionAttributeValues: map[string]types.AttributeValue{":s": attribute(catalog.Text(catalog.ObjectSortKey))},
		}
		for {
			out, err := s.db.Scan(ctx, in)
			if err != nil {
				yield(nil, failure(err, "scan the objects"))
				return
			}
			page := make([]object.Object, len(out.Items))
			for i, found := range out.Items {
				if page[i], err = s.schema.Objects.Decode(item(found)); err != nil {
					yield(nil, fmt.Errorf("scan the objects: %w", err))
					return
				}
			}
			if !yield(page, nil) || len(out.LastEvaluatedKey) == 0 {
				return
			}
			in.ExclusiveStartKey = out.LastEvaluatedKey
		}
	}
}
