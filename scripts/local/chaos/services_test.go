package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/scripts/local/bus"
	"github.com/stowage-dev/stowage/scripts/local/chaos"
	"github.com/stowage-dev/stowage/scripts/local/chaos/replica"
	"github.com/stowage-dev/stowage/scripts/local/engines/dynamodb"
	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/lambda"
)

const region = "us-east-1"

// services are a real engine and a real bus behind a gateway, with faults between.
type services struct {
	chaos       *chaos.Chaos
	engine      *dynamodb.Engine
	gateway     *gateway.Gateway
	issuer      *identity.Issuer
	credentials identity.Credentials // of a function
	puts        chan struct{}        // receives when S3's stand-in is called
}

func table() dynamodb.Table {
	return dynamodb.Table{
		Name: "catalog", PartitionKey: "pk", SortKey: "sk", StreamView: "NEW_AND_OLD_IMAGES",
		Attributes: map[string]string{"pk": "S", "sk": "S", "g": "S"},
		Global:     []dynamodb.Index{{Name: "gsi", PartitionKey: "g", SortKey: "sk", Projection: "ALL"}},
	}
}

func start(t *testing.T) *services {
	t.Helper()
	program := dynamodb.Program("../../../node_modules")
	engine, err := dynamodb.Start(t.Context(), dynamodb.Config{Program: program, DBPath: filepath.Join(t.TempDir(), "db"), Tables: []dynamodb.Table{table()}})
	if err != nil {
		t.Fatal(err)
	}
	s := &services{engine: engine, puts: make(chan struct{}, 100)}
	s.chaos = chaos.New(chaos.Config{
		Names: func() []string { return []string{"Ingest"} }, Engines: map[string]chaos.Engine{"dynamodb": engine},
		Tables: []chaos.Table{{Name: "catalog", Key: []string{"pk", "sk"}, Indexes: []string{"gsi"}}},
		Replica: func(ctx context.Context, lag func() time.Duration) (chaos.Replica, error) {
			return replica.Start(ctx, replica.Config{
				Engine:  dynamodb.Config{Program: program, DBPath: filepath.Join(t.TempDir(), "replica"), Tables: []dynamodb.Table{table()}},
				Primary: engine.Endpoint(), Lag: lag, Region: region,
			})
		},
	})
	if s.issuer, err = identity.New(identity.Config{MasterKey: make([]byte, identity.MasterKeySize)}); err != nil {
		t.Fatal(err)
	}
	if s.credentials, err = s.issuer.IssueFor("arn:aws:iam::000000000000:role/ingest", "Ingest"); err != nil {
		t.Fatal(err)
	}
	proxy, err := gateway.NewProxy(engine.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	events, err := bus.New(bus.Config{Account: "000000000000", Region: region, StateDir: t.TempDir(),
		Deliver: func(context.Context, string, []byte) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := events.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.gateway, err = gateway.New(gateway.Config{Region: region, Account: "000000000000", Credentials: s.issuer, Services: map[string]http.Handler{
		gateway.DynamoDB: s.chaos.Service("dynamodb", proxy),
		"events":         s.chaos.Service("events", events),
		gateway.S3:       s.chaos.Service("s3", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { s.puts <- struct{}{} })),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.gateway.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.gateway.Close(), s.chaos.Close(), events.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *services) set(t *testing.T, text string) {
	t.Helper()
	settings, err := chaos.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.chaos.Set(settings); err != nil {
		t.Fatal(err)
	}
}

func (s *services) provider(c identity.Credentials) aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
}

// table calls as the function.
func (s *services) table() *sdk.Client {
	return sdk.New(sdk.Options{BaseEndpoint: aws.String(s.gateway.Endpoint()), Region: region, Credentials: s.provider(s.credentials), Retryer: aws.NopRetryer{}})
}

func (s *services) bus() *eventbridge.Client {
	return eventbridge.New(eventbridge.Options{BaseEndpoint: aws.String(s.gateway.Endpoint()), Region: region, Credentials: s.provider(s.credentials), Retryer: aws.NopRetryer{}})
}

func (s *services) bucket() *awss3.Client {
	return awss3.New(awss3.Options{BaseEndpoint: aws.String(s.gateway.Endpoint()), Region: region, Credentials: s.provider(s.credentials), Retryer: aws.NopRetryer{}, UsePathStyle: true})
}

type item = map[string]types.AttributeValue

func text(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }

func key(pk string) item { return item{"pk": text(pk), "sk": text("s")} }

func put(pk string) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{TableName: aws.String("catalog"), Item: key(pk)}}
}

func check(pk string) types.TransactWriteItem {
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: aws.String("catalog"), Key: key(pk),
		ConditionExpression: aws.String("attribute_not_exists(nothing)")}}
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

// TestTransactionConflict holds one transaction under way and sees what DynamoDB
// refuses meanwhile, with which words.
func TestTransactionConflict(t *testing.T) {
	s := start(t)
	s.set(t, "seed=2,conflicts=1,linger=1m") // every transaction takes long: the first never ends by itself
	ctx, release := context.WithCancel(t.Context())
	held := make(chan error)
	go func() {
		_, err := s.table().TransactWriteItems(ctx, &sdk.TransactWriteItemsInput{
			TransactItems: []types.TransactWriteItem{put("a"), check("b")}, ClientRequestToken: aws.String("first")})
		held <- err
	}()
	c := s.table()
	write := func(pk string) error {
		_, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("catalog"), Item: key(pk)})
		return err
	}
	for code(write("a")) != "TransactionConflictException" { // until it is under way
		time.Sleep(time.Millisecond)
	}
	for name, call := range map[string]func() error{
		"put on the item": func() error { return write("a") },
		"delete of a checked item": func() error {
			_, err := c.DeleteItem(t.Context(), &sdk.DeleteItemInput{TableName: aws.String("catalog"), Key: key("b")})
			return err
		},
		"update by the table's ARN": func() error {
			_, err := c.UpdateItem(t.Context(), &sdk.UpdateItemInput{TableName: aws.String("arn:aws:dynamodb:us-east-1:000000000000:table/catalog"), Key: key("a")})
			return err
		},
	} {
		err := call()
		if code(err) != "TransactionConflictException" {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := c.TransactWriteItems(t.Context(), &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{put("z"), put("b"), put("a")}})
	var canceled *types.TransactionCanceledException
	if !errors.As(err, &canceled) {
		t.Fatalf("a second transaction: %v", err)
	}
	conflict := types.CancellationReason{Code: aws.String("TransactionConflict"), Message: aws.String("Transaction is ongoing for the item")}
	want := []types.CancellationReason{{Code: aws.String("None")}, conflict, conflict}
	if diff := cmp.Diff(want, canceled.CancellationReasons, cmp.AllowUnexported(types.CancellationReason{})); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	if got, want := canceled.ErrorMessage(), "Transaction cancelled, please refer cancellation reasons for specific reasons [None, TransactionConflict, TransactionConflict]"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	_, err = c.TransactGetItems(t.Context(), &sdk.TransactGetItemsInput{TransactItems: []types.TransactGetItem{{Get: &types.Get{TableName: aws.String("catalog"), Key: key("a")}}}})
	if !errors.As(err, &canceled) || aws.ToString(canceled.CancellationReasons[0].Code) != "TransactionConflict" {
		t.Errorf("a reading transaction: %v", err)
	}
	_, err = c.TransactWriteItems(t.Context(), &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{put("y")}, ClientRequestToken: aws.String("first")})
	if code(err) != "TransactionInProgressException" {
		t.Errorf("the same token again: %v", err)
	}
	for name, call := range map[string]func() error{
		"a read": func() error {
			_, err := c.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("catalog"), Key: key("a")})
			return err
		},
		"another item": func() error { return write("c") },
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	release()
	<-held
	for code(write("a")) == "TransactionConflictException" { // until its end is noticed
		time.Sleep(time.Millisecond)
	}
	if err := errors.Join(write("a"), write("b")); err != nil {
		t.Errorf("after the transaction: %v", err)
	}
}

// TestConflictsNeedOverlap: calls one after the other never conflict.
func TestConflictsNeedOverlap(t *testing.T) {
	s := start(t)
	s.set(t, "seed=2,conflicts=1,linger=1ms")
	for range 20 {
		if _, err := s.table().TransactWriteItems(t.Context(), &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{put("a")}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestThrottles(t *testing.T) {
	s := start(t)
	s.set(t, "seed=4,throttles=1")
	seen := map[string]bool{}
	for range 20 {
		_, err := s.table().GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("catalog"), Key: key("a")})
		seen[code(err)] = true
		_, err = s.table().TransactWriteItems(t.Context(), &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{put("a"), put("b")}})
		var canceled *types.TransactionCanceledException
		if errors.As(err, &canceled) {
			reasons := aws.ToString(canceled.CancellationReasons[0].Code) + aws.ToString(canceled.CancellationReasons[1].Code)
			if reasons != "NoneThrottlingError" && reasons != "ThrottlingErrorNone" {
				t.Errorf("reasons %s", reasons)
			}
		}
		seen[code(err)] = true
	}
	want := map[string]bool{"ProvisionedThroughputExceededException": true, "ThrottlingException": true, "TransactionCanceledException": true}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("DynamoDB (-want +got):\n%s", diff)
	}
	if _, err := s.bucket().HeadBucket(t.Context(), &awss3.HeadBucketInput{Bucket: aws.String("b")}); err == nil {
		t.Error("S3 was not busy")
	}
	if _, err := s.bucket().GetBucketVersioning(t.Context(), &awss3.GetBucketVersioningInput{Bucket: aws.String("b")}); code(err) != "SlowDown" {
		t.Errorf("S3 said %v", err)
	}
	if _, err := s.bus().PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: entries(1)}); code(err) != "ThrottlingException" {
		t.Errorf("EventBridge said %v", err)
	}
	s.credentials = s.issuer.IssueUser("arn:aws:iam::000000000000:user/developer")
	if _, err := s.table().GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("catalog"), Key: key("a")}); err != nil {
		t.Errorf("a user was throttled: %v", err)
	}
}

// TestUnprocessed writes and reads batches until nothing is left, as clients must.
func TestUnprocessed(t *testing.T) {
	s := start(t)
	s.set(t, "seed=5,unprocessed=1")
	var writes []types.WriteRequest
	var keys []item
	for i := range 25 {
		writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: key(fmt.Sprint(i))}})
		keys = append(keys, key(fmt.Sprint(i)))
	}
	calls := 0
	for left := map[string][]types.WriteRequest{"catalog": writes}; len(left) > 0; calls++ {
		out, err := s.table().BatchWriteItem(t.Context(), &sdk.BatchWriteItemInput{RequestItems: left})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.UnprocessedItems["catalog"]) >= len(left["catalog"]) {
			t.Fatal("nothing was done")
		}
		left = out.UnprocessedItems
	}
	got := map[string]bool{}
	for left := map[string]types.KeysAndAttributes{"catalog": {Keys: keys, ConsistentRead: aws.Bool(true)}}; len(left) > 0; calls++ {
		out, err := s.table().BatchGetItem(t.Context(), &sdk.BatchGetItemInput{RequestItems: left})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range out.Responses["catalog"] {
			got[i["pk"].(*types.AttributeValueMemberS).Value] = true
		}
		left = out.UnprocessedKeys
		if l, ok := left["catalog"]; ok && !aws.ToBool(l.ConsistentRead) {
			t.Fatal("what goes for all keys was lost")
		}
	}
	if len(got) != 25 || calls < 4 {
		t.Errorf("%d items after %d calls", len(got), calls)
	}
}

func entries(n int) []ebtypes.PutEventsRequestEntry {
	var all []ebtypes.PutEventsRequestEntry
	for i := range n {
		all = append(all, ebtypes.PutEventsRequestEntry{Source: aws.String("test"), DetailType: aws.String("t"), Detail: aws.String(fmt.Sprintf(`{"n":%d}`, i))})
	}
	return all
}

func TestPartialPutEvents(t *testing.T) {
	s := start(t)
	s.set(t, "seed=6,partial=1")
	codes := map[string]bool{}
	for range 20 {
		out, err := s.bus().PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: entries(5)})
		if err != nil {
			t.Fatal(err)
		}
		failed := 0
		for _, e := range out.Entries {
			if (e.ErrorCode == nil) == (e.EventId == nil) {
				t.Errorf("entry %+v neither failed nor succeeded", e)
			}
			if e.ErrorCode != nil {
				failed++
				codes[*e.ErrorCode] = true
			}
		}
		if len(out.Entries) != 5 || failed == 0 || failed != int(out.FailedEntryCount) {
			t.Errorf("%d entries, %d failed, %d are said to have failed", len(out.Entries), failed, out.FailedEntryCount)
		}
	}
	if diff := cmp.Diff(map[string]bool{"ThrottlingException": true, "InternalFailure": true}, codes); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
}

// TestStaleIndex: an index shows what the table held before, then what it holds.
func TestStaleIndex(t *testing.T) {
	s := start(t)
	c := s.table()
	write := func(pk, g string) {
		t.Helper()
		i := key(pk)
		i["g"] = text(g)
		if _, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("catalog"), Item: i}); err != nil {
			t.Fatal(err)
		}
	}
	count := func(g string) int32 {
		t.Helper()
		out, err := c.Query(t.Context(), &sdk.QueryInput{TableName: aws.String("catalog"), IndexName: aws.String("gsi"),
			KeyConditionExpression: aws.String("g = :g"), ExpressionAttributeValues: item{":g": text(g)}})
		if err != nil {
			t.Fatal(err)
		}
		return out.Count
	}
	eventually := func(what string, holds func() bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("in vain: " + what)
			}
		}
	}
	write("old", "x") // before there is a replica
	s.set(t, "seed=9,stale=1,staleness=1s")
	missed := func(pk string) bool { write(pk, pk); return count(pk) == 0 }
	n := 0
	eventually("a read that misses what was just written", func() bool { n++; return missed(fmt.Sprint("new-", n)) })
	eventually("the index shows what was there before", func() bool { return count("x") == 1 })
	eventually("the index shows what was written", func() bool { return count(fmt.Sprint("new-", n)) == 1 })
	if _, err := c.DeleteItem(t.Context(), &sdk.DeleteItemInput{TableName: aws.String("catalog"), Key: key("old")}); err != nil {
		t.Fatal(err)
	}
	eventually("what was deleted goes", func() bool { return count("x") == 0 })
	got, err := c.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("catalog"), Key: key(fmt.Sprint("new-", n))})
	if err != nil || got.Item == nil {
		t.Errorf("the table itself lags: %v", err)
	}
}

// TestRestartsInService: calls go on through kills of the engine, if they are repeated.
func TestRestartsInService(t *testing.T) {
	s := start(t)
	s.set(t, "seed=1,dynamodb.restarts=0.05")
	pid := s.engine.PID()
	c := sdk.New(sdk.Options{BaseEndpoint: aws.String(s.gateway.Endpoint()), Region: region, Credentials: s.provider(s.credentials), RetryMaxAttempts: 10})
	for i := range 50 {
		if _, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("catalog"), Item: key(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	s.set(t, "off")
	out, err := c.Scan(t.Context(), &sdk.ScanInput{TableName: aws.String("catalog")})
	if err != nil || out.Count != 50 {
		t.Errorf("%d items of 50, error %v", out.Count, err)
	}
	if s.engine.PID() == pid {
		t.Error("the engine was never restarted")
	}
}

// TestPoints ends runs of a function that makes two calls at each of the points there are.
func TestPoints(t *testing.T) {
	s := start(t)
	s.set(t, "seed=1,Ingest.kills=1")
	reached := map[string]int{} // calls that took effect, and whether the answer came, by how often
	for range 200 {
		for len(s.puts) > 0 {
			<-s.puts
		}
		process, kill := context.WithCancel(t.Context())
		r := &lambda.Run{Function: "Ingest", AccessKeyID: s.credentials.AccessKeyID, Timeout: time.Minute, Kill: kill, Freeze: func() { t.Error("frozen") }}
		d := s.chaos.Begin(r)
		for range 2 {
			if process.Err() == nil {
				_, _ = s.bucket().HeadBucket(process, &awss3.HeadBucketInput{Bucket: aws.String("b")}) // its answer may be lost
			}
		}
		calls := len(s.puts)
		taken := process.Err() == nil && d.Answering()
		d.End()
		if taken || process.Err() == nil {
			t.Fatal("the run came to its end")
		}
		reached[fmt.Sprint(calls)]++
	}
	if len(reached) != 3 {
		t.Errorf("runs were ended after so many calls, so often: %v; want each of 0, 1 and 2", reached)
	}
}

// TestCallsInAssumedRoles are the process's own; presigned ones may be anybody's.
func TestCallsInAssumedRoles(t *testing.T) {
	s := start(t)
	s.set(t, "seed=1,kills=1")
	own := s.credentials.AccessKeyID
	var err error
	s.credentials, _, err = s.issuer.IssueSession(identity.Session{RoleARN: "arn:aws:iam::000000000000:role/signer", Name: "s", AssumedBy: own, Duration: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		process, kill := context.WithCancel(t.Context())
		defer kill()
		d := s.chaos.Begin(&lambda.Run{Function: "Ingest", AccessKeyID: own, Kill: kill})
		signed, err := awss3.NewPresignClient(s.bucket()).PresignHeadBucket(t.Context(), &awss3.HeadBucketInput{Bucket: aws.String("b")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := http.Head(signed.URL); err != nil {
			t.Fatal(err)
		}
		if process.Err() != nil {
			t.Fatal("killed over a presigned request")
		}
		_, _ = s.bucket().HeadBucket(process, &awss3.HeadBucketInput{Bucket: aws.String("b")}) // its answer may be lost
		d.End()
		if process.Err() != nil {
			return
		}
	}
	t.Error("never killed over a call in the role")
}

// TestFrozen shortens the time-out of a run that is frozen, and spares others.
func TestFrozen(t *testing.T) {
	s := start(t)
	s.set(t, "seed=1,timeouts=1,stall=50ms")
	frozen := 0
	r := &lambda.Run{Function: "Ingest", AccessKeyID: s.credentials.AccessKeyID, Timeout: time.Minute, Kill: func() { t.Error("killed") }, Freeze: func() { frozen++ }}
	d := s.chaos.Begin(r)
	if d.Answering() || frozen != 1 || r.Timeout != 50*time.Millisecond {
		t.Errorf("frozen %d times, time-out %s", frozen, r.Timeout)
	}
	d.End()
	s.set(t, "seed=1,Ingest.throttles=1,timeouts=0")
	if !s.chaos.Throttle("Ingest") || s.chaos.Throttle("Other") {
		t.Error("the wrong function was throttled")
	}
	if d := s.chaos.Begin(r); !d.Answering() {
		t.Error("an answer was lost")
	}
}
