package replica_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/scripts/local/chaos/replica"
	"github.com/stowage-dev/stowage/scripts/local/engines/dynamodb"
)

const program = "../../../../node_modules"

func tables() []dynamodb.Table {
	table := func(name, stream string) dynamodb.Table {
		return dynamodb.Table{Name: name, PartitionKey: "pk", StreamView: stream, Attributes: map[string]string{"pk": "S"}}
	}
	return []dynamodb.Table{table("followed", "NEW_AND_OLD_IMAGES"), table("still", "")}
}

func client(endpoint string) *sdk.Client {
	return sdk.New(sdk.Options{BaseEndpoint: &endpoint, Region: "us-east-1",
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "s"}, nil
		})})
}

// contents are the items of a table, as text.
func contents(t *testing.T, c *sdk.Client) map[string]string {
	t.Helper()
	all := map[string]string{}
	pages := sdk.NewScanPaginator(c, &sdk.ScanInput{TableName: aws.String("followed")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page.Items {
			all[i["pk"].(*types.AttributeValueMemberS).Value] = i["n"].(*types.AttributeValueMemberN).Value
		}
	}
	return all
}

// TestCatchesUp: whatever was written before and after the replica's start, deleted
// and written again, is in it once writes have stopped.
func TestCatchesUp(t *testing.T) {
	primary, err := dynamodb.Start(t.Context(), dynamodb.Config{Program: dynamodb.Program(program), DBPath: filepath.Join(t.TempDir(), "primary"), Tables: tables()})
	if err != nil {
		t.Fatal(err)
	}
	c := client(primary.Endpoint())
	numbers := rand.New(rand.NewPCG(1, 2))
	write := func(n int) {
		t.Helper()
		for i := range n {
			key := map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: fmt.Sprint(numbers.IntN(40))}}
			var err error
			if numbers.IntN(3) == 0 {
				_, err = c.DeleteItem(t.Context(), &sdk.DeleteItemInput{TableName: aws.String("followed"), Key: key})
			} else {
				key["n"] = &types.AttributeValueMemberN{Value: fmt.Sprint(i)}
				_, err = c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("followed"), Item: key})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	write(200)
	r, err := replica.Start(t.Context(), replica.Config{
		Engine:  dynamodb.Config{Program: dynamodb.Program(program), DBPath: filepath.Join(t.TempDir(), "copy"), Tables: tables()},
		Primary: primary.Endpoint(), Lag: func() time.Duration { return 5 * time.Millisecond }, Region: "us-east-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := primary.Close(); err != nil {
			t.Error(err)
		}
	})
	write(200)
	want := contents(t, c)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		diff := cmp.Diff(want, contents(t, client(r.Endpoint())))
		if diff == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the replica did not catch up (-want +got):\n%s", diff)
		}
	}
	if _, err := client(r.Endpoint()).Scan(t.Context(), &sdk.ScanInput{TableName: aws.String("still")}); err == nil {
		t.Error("a table without a stream was copied")
	}
}
