package idempotency_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/shared/idempotency"
)

// A handler creates something under the claim's id, returns that id, and builds its
// answer from it, the first time and every other time.
func ExampleDo() {
	type created struct {
		Upload string `json:"upload"`
	}
	open := func(ctx context.Context, store *idempotency.Store, key, body string) (string, error) {
		request := idempotency.Request{
			Scope:   []string{"acme", "zoe", "POST /v1/uploads"},
			Key:     key,
			Payload: idempotency.Sum(body),
		}
		result, _, err := idempotency.Do(ctx, store, request, func(_ context.Context, c idempotency.Claim) (created, error) {
			return created{Upload: c.ID}, nil // insert under c.ID unless it is there
		})
		if err != nil {
			return "", err
		}
		return "https://example.com/" + result.Upload, nil
	}
	_ = open
}

// An effect that is a DynamoDB transaction takes the storing of its result along.
func ExampleStore_Finishing() {
	type transfer struct {
		Moved int `json:"moved"`
	}
	move := func(store *idempotency.Store, db *dynamodb.Client, movement []types.TransactWriteItem) func(context.Context, idempotency.Claim) (transfer, error) {
		return func(ctx context.Context, c idempotency.Claim) (transfer, error) {
			result := transfer{Moved: 3}
			finish, err := store.Finishing(c, result)
			if err != nil {
				return transfer{}, err
			}
			_, err = db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: append(movement, finish)})
			return result, err
		}
	}
	_ = move
}

func ExampleSum() {
	fmt.Println(idempotency.Sum("PUT", "/a", "b") == idempotency.Sum("PUT", "/", "ab"))
	// Output: false
}
