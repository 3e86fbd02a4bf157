package relational_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/jackc/pgx/v5"
	"github.com/oklog/ulid/v2"

	"github.com/stowage-dev/stowage/scripts/local/template"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

// developer is who runs commands on this machine.
func (w *world) developer() aws.Config {
	dev := w.Dev(nil)
	return aws.Config{Region: dev.Region, BaseEndpoint: aws.String(dev.S3Endpoint), Credentials: credentials.NewStaticCredentialsProvider(dev.AccessKeyID, dev.SecretAccessKey, "")}
}

// ledgerQueue is the URL of the queue of the projector.
func (w *world) ledgerQueue(t *testing.T) string {
	t.Helper()
	i := slices.IndexFunc(w.Model.Queues, func(q *template.Queue) bool { return q.ConstructPath == "Relational/LedgerEvents/Default/Resource" })
	if i < 0 {
		t.Fatal("there is no queue of the ledger")
	}
	return w.Model.Queues[i].URL
}

// publishedLongAgo writes an object into the catalog as two hours ago, and waits until it is
// booked.
func (w *world) publishedLongAgo(t *testing.T) object.Object {
	t.Helper()
	then := time.Now().Add(-2 * time.Hour).UTC()
	store := ddbstore.New(dynamodb.NewFromConfig(w.developer()), ddbstore.Config{Table: w.Dev(nil).Table, Now: func() time.Time { return then }})
	space, err := store.Workspace(t.Context(), "alpha")
	if err != nil {
		t.Fatal(err)
	}
	id := ulid.MustNew(ulid.Timestamp(then), ulid.DefaultEntropy()).String()
	u, err := store.OpenUpload(t.Context(), space, upload.Upload{
		Workspace: "alpha", ID: id, ObjectID: id, Path: "old/" + id, Size: 10, ContentType: "application/octet-stream",
		SHA256: "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=", Mode: upload.Single, IfExists: upload.Fail,
		CreatedBy: "owner", CreatedAt: then, ExpiresAt: then.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	o, err := store.Publish(t.Context(), u, object.Facts{Size: u.Size, DetectedType: u.ContentType, SHA256: u.SHA256, CRC64NVME: "AAAAAAAAAAA=", ETag: "e", S3VersionID: "v", Integrity: object.Recorded})
	if err != nil {
		t.Fatal(err)
	}
	w.items(t, "/v1/ledger/entries?object="+o.ID, 2)
	return o
}

// change makes an object hold a byte more, without a rev and so without an event.
func (w *world) change(t *testing.T, o object.Object) {
	t.Helper()
	_, err := dynamodb.NewFromConfig(w.developer()).UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: aws.String(w.Dev(nil).Table),
		Key: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: "O#" + o.Workspace + "#" + o.ID}, "sk": &types.AttributeValueMemberS{Value: "OBJECT"},
		},
		UpdateExpression: aws.String("ADD #stored :one"), ConditionExpression: aws.String("attribute_exists(pk)"),
		ExpressionAttributeNames:  map[string]string{"#stored": "stored"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":one": &types.AttributeValueMemberN{Value: "1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// isBackfilled has a ledger that is as new as on the day on which the stack is switched on.
func isBackfilled(t *testing.T, w *world) {
	t.Helper()
	u := w.put(t, "archive/almanac.txt", "text/plain", "Tides and harbours of the northern coast.")
	w.items(t, "/v1/ledger/entries?object="+u.ObjectID, 2)
	w.drained(t)
	w.empty(t)
	if status, none := w.get(t, "/v1/ledger/entries"); status != http.StatusOK || fmt.Sprint(none["items"]) != "[]" {
		t.Fatalf("a new ledger has %d %v", status, none)
	}
	if err := w.WriteDev(w.Dev(nil)); err != nil {
		t.Fatal(err)
	}
	if said := w.backfill(t, "-dry-run"); !strings.Contains(said, "events would be sent") {
		t.Errorf("-dry-run says %s", said)
	}
	said := w.backfill(t)
	if !strings.Contains(said, "events sent") || strings.HasPrefix(said, "0 ") {
		t.Errorf("it says %s", said)
	}
	w.items(t, "/v1/ledger/entries?object="+u.ObjectID, 2)
	for _, words := range []string{"almanac", "harbours"} { // of the name, and of the text
		if hit, _ := w.items(t, "/v1/search?q="+words, 1)[0].(map[string]any); hit["path"] != "archive/almanac.txt" {
			t.Errorf("%s: hit = %v", words, hit)
		}
	}
	w.drained(t)
	_, once := w.get(t, "/v1/ledger/entries")
	if again := w.backfill(t); again != said {
		t.Errorf("the second time it says %s, the first time %s", again, said)
	}
	w.drained(t)
	if _, twice := w.get(t, "/v1/ledger/entries"); fmt.Sprint(twice) != fmt.Sprint(once) {
		t.Errorf("after the second time the entries are %v, before %v", twice, once)
	}
}

func (w *world) backfill(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"run", "./scripts/backfill", "-dev", w.DevPath(), "-workspace", "alpha"}, args...)...)
	cmd.Dir = root
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("backfill: %v\n%s", err, said)
	}
	return string(said)
}

// empty takes everything out of the ledger and the index, as the runbook does before it puts
// something else there.
func (w *world) empty(t *testing.T) {
	t.Helper()
	db := w.Databases[0]
	conn, err := pgx.Connect(t.Context(), fmt.Sprintf("host=%s port=%d user=%s dbname=%s", db.Engine.Socket(), db.Engine.Port(), db.Declared.Master, db.Declared.Name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for _, sql := range []string{
		"BEGIN",
		"ALTER TABLE stowage.facts DISABLE TRIGGER USER", "ALTER TABLE stowage.entries DISABLE TRIGGER USER", "ALTER TABLE stowage.adjustments DISABLE TRIGGER USER",
		"TRUNCATE stowage.facts, stowage.holdings, stowage.entries, stowage.quarters, stowage.adjustments, stowage.documents, stowage.words",
		"SELECT setval(pg_get_serial_sequence('stowage.entries', 'id'), (SELECT coalesce(max(id), 1) FROM stowage.entries))",
		"ALTER TABLE stowage.facts ENABLE TRIGGER USER", "ALTER TABLE stowage.entries ENABLE TRIGGER USER", "ALTER TABLE stowage.adjustments ENABLE TRIGGER USER",
		"COMMIT",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// drained waits until the projector has done all that it was sent.
func (w *world) drained(t *testing.T) {
	t.Helper()
	client, url := sqs.NewFromConfig(w.developer()), w.ledgerQueue(t)
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}})
		if err != nil {
			t.Fatal(err)
		}
		if out.Attributes["ApproximateNumberOfMessages"] == "0" && out.Attributes["ApproximateNumberOfMessagesNotVisible"] == "0" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the queue of the ledger has %v", out.Attributes)
		}
	}
}
