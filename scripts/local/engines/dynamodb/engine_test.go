package dynamodb_test

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/scripts/local/engines/dynamodb"
)

func catalog() dynamodb.Table {
	return dynamodb.Table{
		Name: "catalog", PartitionKey: "pk", SortKey: "sk", StreamView: "NEW_AND_OLD_IMAGES", TTLAttribute: "ttl",
		Attributes: map[string]string{"pk": "S", "sk": "S", "gsi1pk": "S"},
		Global:     []dynamodb.Index{{Name: "gsi1", PartitionKey: "gsi1pk", SortKey: "sk", Projection: "ALL"}},
	}
}

func start(t *testing.T, dir string, tables ...dynamodb.Table) (*dynamodb.Engine, *sdk.Client) {
	t.Helper()
	e, err := dynamodb.Start(t.Context(), dynamodb.Config{
		Program: dynamodb.Program("../../../../node_modules"), DBPath: filepath.Join(dir, "dynamodb.sqlite"), Tables: tables, Sweep: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, client(e.Endpoint())
}

func client(endpoint string) *sdk.Client {
	return sdk.New(sdk.Options{BaseEndpoint: aws.String(endpoint), Region: "us-east-1",
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "s"}, nil
		})})
}

func put(t *testing.T, c *sdk.Client, item map[string]types.AttributeValue) {
	t.Helper()
	if _, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("catalog"), Item: item}); err != nil {
		t.Fatal(err)
	}
}

func s(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }

func TestTablesAreAsDeclared(t *testing.T) {
	_, c := start(t, t.TempDir(), catalog())
	out, err := c.DescribeTable(t.Context(), &sdk.DescribeTableInput{TableName: aws.String("catalog")})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Table.GlobalSecondaryIndexes) != 1 || aws.ToString(out.Table.LatestStreamArn) == "" {
		t.Errorf("table = %+v", out.Table)
	}
	put(t, c, map[string]types.AttributeValue{"pk": s("a"), "sk": s("b"), "gsi1pk": s("g")})
	got, err := c.Query(t.Context(), &sdk.QueryInput{TableName: aws.String("catalog"), IndexName: aws.String("gsi1"),
		KeyConditionExpression: aws.String("gsi1pk = :g"), ExpressionAttributeValues: map[string]types.AttributeValue{":g": s("g")}})
	if err != nil || got.Count != 1 {
		t.Errorf("query by index: %+v, %v", got, err)
	}
}

func TestDataAndChangesSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	first, c := start(t, dir, catalog())
	put(t, c, map[string]types.AttributeValue{"pk": s("a"), "sk": s("b"), "label": s("o")})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	changed := catalog()
	changed.Attributes["label"] = "S"
	delete(changed.Attributes, "gsi1pk")
	changed.Global = []dynamodb.Index{{Name: "gsi9", PartitionKey: "label", Projection: "KEYS_ONLY"}}
	_, c = start(t, dir, changed)
	out, err := c.Query(t.Context(), &sdk.QueryInput{TableName: aws.String("catalog"), IndexName: aws.String("gsi9"),
		KeyConditionExpression: aws.String("label = :o"), ExpressionAttributeValues: map[string]types.AttributeValue{":o": s("o")}})
	if err != nil || out.Count != 1 {
		t.Errorf("query by the new index: %+v, %v", out, err)
	}
}

func TestOtherKeysNeedANewTable(t *testing.T) {
	dir := t.TempDir()
	first, _ := start(t, dir, catalog())
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	other := catalog()
	other.SortKey = ""
	_, err := dynamodb.Start(t.Context(), dynamodb.Config{Program: dynamodb.Program("../../../../node_modules"),
		DBPath: filepath.Join(dir, "dynamodb.sqlite"), Tables: []dynamodb.Table{other}})
	if err == nil || !strings.Contains(err.Error(), "table catalog: its keys are pk/sk and should be pk/") || !strings.Contains(err.Error(), "RESET=1") {
		t.Errorf("err = %v", err)
	}
}

func TestExpiredItemsAreSwept(t *testing.T) {
	_, c := start(t, t.TempDir(), catalog())
	past := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	future := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	put(t, c, map[string]types.AttributeValue{"pk": s("old"), "sk": s("x"), "ttl": &types.AttributeValueMemberN{Value: past}})
	put(t, c, map[string]types.AttributeValue{"pk": s("new"), "sk": s("x"), "ttl": &types.AttributeValueMemberN{Value: future}})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		out, err := c.Scan(t.Context(), &sdk.ScanInput{TableName: aws.String("catalog")})
		if err != nil {
			t.Fatal(err)
		}
		if out.Count == 1 {
			if pk, ok := out.Items[0]["pk"].(*types.AttributeValueMemberS); !ok || pk.Value != "new" {
				t.Errorf("left: %v", out.Items)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d items left", out.Count)
		}
	}
}

func TestDeathIsReported(t *testing.T) {
	e, _ := start(t, t.TempDir())
	if err := syscall.Kill(e.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-e.Wait():
		if !strings.Contains(err.Error(), "DynamoDB engine ended") {
			t.Errorf("err = %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody noticed")
	}
}

func TestCloseIsNotADeath(t *testing.T) {
	e, _ := start(t, t.TempDir())
	endpoint := e.Endpoint()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-e.Wait():
		t.Errorf("reported %v", err)
	default:
	}
	if resp, err := http.Get(endpoint); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		t.Error("it still answers")
	}
}

func TestMissingProgram(t *testing.T) {
	_, err := dynamodb.Start(t.Context(), dynamodb.Config{Program: "/nonexistent/dynoxide"})
	if err == nil || !strings.Contains(err.Error(), "make setup") || !strings.Contains(err.Error(), "STOWAGE_DYNAMODB_ENDPOINT") {
		t.Errorf("err = %v, want one that says what to do", err)
	}
}

func TestBrokenDatabaseSaysWhy(t *testing.T) {
	_, err := dynamodb.Start(t.Context(), dynamodb.Config{Program: dynamodb.Program("../../../../node_modules"), DBPath: "/nonexistent/dir/db.sqlite"})
	if err == nil || !strings.Contains(err.Error(), "start the DynamoDB engine") {
		t.Errorf("err = %v", err)
	}
}

func TestAnEngineThatRunsAlready(t *testing.T) {
	running, _ := start(t, t.TempDir())
	e, err := dynamodb.Start(t.Context(), dynamodb.Config{Endpoint: running.Endpoint(), Tables: []dynamodb.Table{catalog()}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, client(e.Endpoint()), map[string]types.AttributeValue{"pk": s("a"), "sk": s("b")})
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}
