package ddbstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// action is one part of a transaction. Its subject says, when its condition
// refuses the transaction, what stood in the way.
type action struct {
	subject subject
	types.TransactWriteItem
}

type subject string

const (
	aWorkspace  subject = "workspace"
	aMember     subject = "member"
	aShard      subject = "usage shard"
	aPath       subject = "path"
	anObject    subject = "object"
	aVersion    subject = "version"
	aDerivative subject = "derivative"
	anUpload    subject = "upload"
)

// condition is a condition expression with its one name and one value.
type condition struct {
	expression string
	names      map[string]string
	values     map[string]types.AttributeValue
}

func absent() condition { return condition{expression: "attribute_not_exists(pk)"} }

func present() condition { return condition{expression: "attribute_exists(pk)"} }

// unchanged holds while an item still has the rev that was read.
func unchanged(rev int64) condition { return equal("rev", catalog.Int(rev)) }

func equal(attributeName string, v catalog.Value) condition {
	return condition{
		expression: "#a = :a",
		names:      map[string]string{"#a": attributeName},
		values:     map[string]types.AttributeValue{":a": attribute(v)},
	}
}

func put[T any](s *Store, of subject, e *catalog.Entity[T], v T, when condition) action {
	return action{of, types.TransactWriteItem{Put: &types.Put{
		TableName:                 &s.table,
		Item:                      attributes(e.Encode(v)),
		ConditionExpression:       optional(when.expression),
		ExpressionAttributeNames:  when.names,
		ExpressionAttributeValues: when.values,
	}}}
}

func remove[T any](s *Store, of subject, e *catalog.Entity[T], v T, when condition) action {
	return action{of, types.TransactWriteItem{Delete: &types.Delete{
		TableName:                 &s.table,
		Key:                       attributes(e.Key(v).Item()),
		ConditionExpression:       optional(when.expression),
		ExpressionAttributeNames:  when.names,
		ExpressionAttributeValues: when.values,
	}}}
}

func check[T any](s *Store, of subject, e *catalog.Entity[T], v T, when condition) action {
	return action{of, types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
		TableName:                 &s.table,
		Key:                       attributes(e.Key(v).Item()),
		ConditionExpression:       optional(when.expression),
		ExpressionAttributeNames:  when.names,
		ExpressionAttributeValues: when.values,
	}}}
}

func optional(expression string) *string {
	if expression == "" {
		return nil
	}
	return aws.String(expression)
}

// move changes the counters of a shard, on condition that none of them falls
// below zero.
func (s *Store) move(ws string, m workspace.Movement) action {
	var set, when []string
	values := map[string]types.AttributeValue{}
	for i, d := range catalog.Deltas(m) {
		by, least := ":d"+strconv.Itoa(i), ":n"+strconv.Itoa(i)
		set = append(set, d.Attribute+" = "+d.Attribute+" + "+by)
		values[by] = attribute(catalog.Int(d.By))
		if d.By < 0 {
			when = append(when, d.Attribute+" >= "+least)
			values[least] = attribute(catalog.Int(-d.By))
		}
	}
	if len(when) == 0 {
		when = append(when, present().expression)
	}
	return action{aShard, types.TransactWriteItem{Update: &types.Update{
		TableName:                 &s.table,
		Key:                       attributes(s.schema.Shards.Key(workspace.Shard{Workspace: ws, Number: m.Shard}).Item()),
		UpdateExpression:          aws.String("SET " + strings.Join(set, ", ")),
		ConditionExpression:       aws.String(strings.Join(when, " AND ")),
		ExpressionAttributeValues: values,
	}}}
}

// moves is move for each of several shards. A movement of nothing is left out.
func (s *Store) moves(ws string, movements []workspace.Movement) []action {
	var actions []action
	for _, m := range movements {
		if m.Balance != (workspace.Balance{}) {
			actions = append(actions, s.move(ws, m))
		}
	}
	return actions
}

// refusal says whose conditions cancelled a transaction.
type refusal struct {
	subjects []subject
}

func (r *refusal) Error() string { return fmt.Sprintf("condition failed on %v", r.subjects) }

// refusedBy reports whether the condition on of cancelled the transaction that
// returned err.
func refusedBy(err error, of subject) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	for _, s := range r.subjects {
		if s == of {
			return true
		}
	}
	return false
}

// lostRace turns a refusal into errLostRace: all that the transaction was
// conditioned on was read just before it.
func lostRace(err error) error {
	var r *refusal
	if errors.As(err, &r) {
		return fmt.Errorf("%w: %w", errLostRace, err)
	}
	return err
}

// commit writes all of actions or none. It returns a *refusal when conditions
// failed, and errLostRace when DynamoDB cancelled the transaction for
// contention or throttling.
func (s *Store) commit(ctx context.Context, actions ...action) error {
	if len(actions) > limits.TransactItems {
		return fmt.Errorf("commit: %d actions in one transaction, the most is %d", len(actions), limits.TransactItems)
	}
	items := make([]types.TransactWriteItem, len(actions))
	for i, a := range actions {
		items[i] = a.TransactWriteItem
	}
	_, err := s.db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items})
	if err == nil {
		return nil
	}
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		return cancellation(canceled, actions)
	}
	return failure(err, "commit")
}

// cancellation reads the reasons of a cancelled transaction, one for each action.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
func cancellation(canceled *types.TransactionCanceledException, actions []action) error {
	var refused refusal
	contended := false
	for i, reason := range canceled.CancellationReasons {
		switch aws.ToString(reason.Code) {
		case "", "None":
		case "ConditionalCheckFailed":
			if i < len(actions) {
				refused.subjects = append(refused.subjects, actions[i].subject)
			}
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
			contended = true
		default:
			return fmt.Errorf("commit: action %d: %s: %s", i, aws.ToString(reason.Code), aws.ToString(reason.Message))
		}
	}
	switch {
	case len(refused.subjects) > 0:
		return &refused
	case contended:
		return fmt.Errorf("%w: %w", errLostRace, canceled)
	default:
		return fmt.Errorf("commit: %w", canceled)
	}
}
