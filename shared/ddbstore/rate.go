package ddbstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// Spend takes tokens out of a workspace's bucket, and reports whether they were
// taken. It makes one write: as of a bucket that is full, or as of one that is
// not, which an expression cannot find out and the caller has to guess. The bucket
// is returned as it is known to be afterwards: after a wrong guess, and when too
// little was left, as it was found.
func (s *Store) Spend(ctx context.Context, ws string, spend workspace.Spending, full bool) (workspace.Bucket, bool, error) {
	bucket := workspace.Bucket{Workspace: ws}
	key := s.schema.Buckets.Key(bucket)
	out, err := s.db.UpdateItem(ctx, spending(s.table, attributes(key.Item()), ws, spend, full))
	if err == nil {
		bucket, err = s.schema.Buckets.Decode(item(out.Attributes))
		if err != nil {
			return workspace.Bucket{}, false, fmt.Errorf("spend from %s: %w", key, err)
		}
		return bucket, true, nil
	}
	var refused *types.ConditionalCheckFailedException
	if !errors.As(err, &refused) {
		return workspace.Bucket{}, false, failure(err, "spend from %s", key)
	}
	if len(refused.Item) == 0 {
		return bucket, false, nil // there is none yet: it is full
	}
	if bucket, err = s.schema.Buckets.Decode(item(refused.Item)); err != nil {
		return workspace.Bucket{}, false, fmt.Errorf("spend from %s: %w", key, err)
	}
	return bucket, false, nil
}

func spending(table string, key map[string]types.AttributeValue, ws string, spend workspace.Spending, full bool) *dynamodb.UpdateItemInput {
	cost, least, most, after := spend.Bounds()
	in := &dynamodb.UpdateItemInput{
		TableName:                           &table,
		Key:                                 key,
		ExpressionAttributeNames:            map[string]string{"#s": catalog.SpentAttribute, "#w": "workspace"},
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	n := func(v int64) types.AttributeValue { return attribute(catalog.Int(v)) }
	if full {
		in.UpdateExpression = aws.String("SET #s = :after, #w = :w")
		in.ConditionExpression = aws.String("attribute_not_exists(#s) OR #s < :least")
		in.ExpressionAttributeValues = map[string]types.AttributeValue{":after": n(after), ":least": n(least), ":w": attribute(catalog.Text(ws))}
		return in
	}
	in.UpdateExpression = aws.String("SET #s = #s + :cost, #w = :w")
	in.ConditionExpression = aws.String("#s BETWEEN :least AND :most")
	in.ExpressionAttributeValues = map[string]types.AttributeValue{
		":cost": n(cost), ":least": n(least), ":most": n(most), ":w": attribute(catalog.Text(ws)),
	}
	return in
}
