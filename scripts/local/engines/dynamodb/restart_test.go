package dynamodb_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// TestRestartKeepsWhatWasAcknowledged writes through kills of the engine, which
// comes back at the same address and is not reported as dead.
func TestRestartKeepsWhatWasAcknowledged(t *testing.T) {
	e, c := start(t, t.TempDir(), catalog())
	address, pid := e.Endpoint(), e.PID()
	ctx, stop := context.WithCancel(t.Context())
	acknowledged := 0
	var writer sync.WaitGroup
	writer.Go(func() {
		for ctx.Err() == nil {
			item := map[string]types.AttributeValue{"pk": s(fmt.Sprint(acknowledged)), "sk": s("s")}
			if _, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("catalog"), Item: item}); err == nil {
				acknowledged++
			}
		}
	})
	for range 3 {
		time.Sleep(50 * time.Millisecond)
		if err := e.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	writer.Wait()
	if acknowledged == 0 || e.Endpoint() != address || e.PID() == pid {
		t.Fatalf("%d writes, address %s then %s, process %d then %d", acknowledged, address, e.Endpoint(), pid, e.PID())
	}
	for i := range acknowledged {
		got, err := c.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("catalog"),
			Key: map[string]types.AttributeValue{"pk": s(fmt.Sprint(i)), "sk": s("s")}})
		if err != nil || got.Item == nil {
			t.Errorf("item %d of %d is lost: %v", i, acknowledged, err)
		}
	}
	select {
	case err := <-e.Wait():
		t.Errorf("reported as dead: %v", err)
	default:
	}
}

func TestClosedEngineIsNotRestarted(t *testing.T) {
	e, _ := start(t, t.TempDir(), catalog())
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Restart(t.Context()); err != nil {
		t.Errorf("restart after close: %v", err)
	}
}
