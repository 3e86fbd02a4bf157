package dynamodb_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/scripts/local/engines/dynamodb"
)

// TestLongStreamsSlowNothing: a write does not take time in proportion to the
// records of the stream, which the engine's own schema would have it do.
func TestLongStreamsSlowNothing(t *testing.T) {
	e, err := dynamodb.Start(t.Context(), dynamodb.Config{
		Program: dynamodb.Program("../../../../node_modules"), DBPath: filepath.Join(t.TempDir(), "dynamodb.sqlite"), Tables: []dynamodb.Table{catalog()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	c := client(e.Endpoint())
	n, text := 0, strings.Repeat("x", 4<<10)
	item := func() map[string]types.AttributeValue {
		n++
		return map[string]types.AttributeValue{"pk": s(fmt.Sprint(n)), "sk": s("s"), "text": s(text)}
	}
	median := func() time.Duration {
		var took []time.Duration
		for range 100 {
			begun := time.Now()
			put(t, c, item())
			took = append(took, time.Since(begun))
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	short := median()
	const batch, records = 25, 5_000
	for range records / batch {
		var writes []types.WriteRequest
		for range batch {
			writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: item()}})
		}
		if _, err := c.BatchWriteItem(t.Context(), &sdk.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"catalog": writes}}); err != nil {
			t.Fatal(err)
		}
	}
	long := median()
	t.Logf("a write takes %s at the start, %s behind %d records", short, long, records)
	if long > 5*short {
		t.Errorf("a write takes %s behind %d records, %s at the start", long, records, short)
	}
}
