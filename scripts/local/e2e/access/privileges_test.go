package access_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/iam/privileges"
	"github.com/stowage-dev/stowage/scripts/local/iam/usage"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/client"
	"github.com/stowage-dev/stowage/shared/completion"
	"github.com/stowage-dev/stowage/shared/upload"
)

// TestEveryGrantIsUsed has each function do all that it may have to do one day, and then looks whether
// any role was granted more than that, or less.
func TestEveryGrantIsUsed(t *testing.T) {
	record := os.Getenv("STOWAGE_USAGE")
	if record == "" {
		record = filepath.Join(t.TempDir(), "usage.jsonl")
	}
	w := startWorld(t, record)
	for _, step := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"the API lists", apiLists},
		{"the API aborts", apiAborts},
		{"ingest publishes an older version", ingestPublishesOlder},
		{"ingest clears what came late", ingestClears},
		{"ingest meets what is gone, and what makes no sense", ingestGivesUp},
		{"the completer finishes", completerFinishes},
		{"the completer looks", completerLooks},
		{"the completer gives up", completerGivesUp},
		{"derivatives are made, again, and in vain", derivativesAreMade},
		{"the fan-out gives up", fanoutGivesUp},
		{"the sweeper sweeps", sweeperSweeps},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, w) }) {
			return // what it did not use would be told as if nobody needed it
		}
	}
	lines, err := usage.Read(record)
	if err != nil {
		t.Fatal(err)
	}
	report, err := privileges.New(w.Model, lines)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := report.Write(&table); err != nil {
		t.Fatal(err)
	}
	if count := report.Count(); !count.OK() {
		t.Errorf("%s\n%s", table.String(), count)
	}
}

func apiLists(t *testing.T, w *world) {
	t.Helper()
	kept := w.put(t, "lists/a.txt")
	if _, err := w.client.Download(t.Context(), kept.ObjectID, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	deleted := w.put(t, "lists/b.txt")
	page := w.api(t, http.MethodGet, "/v1/objects?limit=1&parent=lists", "", http.StatusOK)
	cursor, _ := page["nextCursor"].(string)
	if cursor == "" {
		t.Fatalf("two objects in a page of one: %v", page)
	}
	w.api(t, http.MethodGet, "/v1/objects?limit=1&parent=lists&cursor="+url.QueryEscape(cursor), "", http.StatusOK)
	if err := w.client.Delete(t.Context(), deleted.ObjectID); err != nil {
		t.Fatal(err)
	}
	w.api(t, http.MethodGet, "/v1/objects?state=deleted", "", http.StatusOK)
	w.api(t, http.MethodPut, "/v1/workspaces/alpha/members/a-reader", `{"role":"reader"}`, http.StatusOK)
	w.api(t, http.MethodGet, "/v1/workspaces/alpha/members", "", http.StatusOK)
	if _, err := w.client.Usage(t.Context()); err != nil {
		t.Fatal(err)
	}
	taken, _ := document("lists/a.txt")
	taken.IfExists = "fail"
	if _, err := w.client.Open(t.Context(), taken); client.CodeOf(err) != "path_taken" {
		t.Errorf("a path that is taken: %v", err)
	}
}

// parts opens a multipart upload of two parts and sends them.
func (w *world) parts(t *testing.T, path string) client.Opened {
	t.Helper()
	body := bytes.Repeat([]byte("0123456789abcdef"), 6<<20/16)
	rand.New(rand.NewPCG(1, 2)).Shuffle(16, func(i, j int) { body[i], body[j] = body[j], body[i] })
	opened := w.open(t, client.NewUpload{Path: path, Size: int64(len(body)), ContentType: "application/octet-stream", Mode: "multipart", PartSize: 5 << 20})
	signed, err := w.client.SignParts(t.Context(), opened.Upload.ID, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range signed {
		from := int64(p.PartNumber-1) * (5 << 20)
		if err := w.client.Send(t.Context(), p.SignedRequest, bytes.NewReader(body[from:from+p.Size]), p.Size); err != nil {
			t.Fatal(err)
		}
	}
	return opened
}

func apiAborts(t *testing.T, w *world) {
	t.Helper()
	parts := w.parts(t, "aborted/parts.bin")
	if err := w.client.Abort(t.Context(), parts.Upload.ID); err != nil {
		t.Fatal(err)
	}
	// The bytes of this one are there, and nobody has looked at them yet.
	held, end := w.hold(w.by(t, "S3Ingest", "HeadObject", "GetObject"))
	defer end()
	u, body := document("aborted/whole.txt")
	opened := w.open(t, u)
	w.sendBytes(t, opened, body)
	<-held
	if err := w.client.Abort(t.Context(), opened.Upload.ID); err != nil {
		t.Fatal(err)
	}
}

func ingestPublishesOlder(t *testing.T, w *world) {
	t.Helper()
	older, olderBody := document("versions/a.txt")
	newer, newerBody := document("versions/a.txt")
	first, second := w.open(t, older), w.open(t, newer)
	w.sendBytes(t, second, newerBody)
	w.await(t, second.Upload.ID, upload.Available)
	w.sendBytes(t, first, olderBody)
	w.await(t, first.Upload.ID, upload.Available)
}

// ingestClears: two versions come to the key of an upload that has ended and still holds its quota.
func ingestClears(t *testing.T, w *world) {
	t.Helper()
	held, end := w.hold(w.by(t, "S3Ingest", "GetItem"))
	defer end()
	u, _ := document("late/a.txt")
	opened := w.open(t, u)
	key := w.endOnly(t, opened.Upload.ID)
	for range 2 {
		w.plant(t, key, "late")
	}
	<-held
	end()
	w.awaitRelease(t, opened.Upload.ID)
}

// endOnly aborts an upload as an API would that was killed before it closed it, and gives its key.
func (w *world) endOnly(t *testing.T, id string) string {
	t.Helper()
	ended, err := w.catalog().EndUpload(t.Context(), "alpha", id, upload.Abort, upload.Client)
	if err != nil {
		t.Fatal(err)
	}
	return ended.S3Key
}

// plant puts an object where clients put theirs.
func (w *world) plant(t *testing.T, key, body string) {
	t.Helper()
	if _, err := w.s3(w.developer()).PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String(w.Dev(nil).Bucket), Key: &key, Body: strings.NewReader(body)}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) awaitRelease(t *testing.T, id string) {
	t.Helper()
	eventually(t, "upload "+id+" holds no quota", func() bool {
		u, err := w.catalog().Upload(t.Context(), "alpha", id)
		return err == nil && len(u.Reservation) == 0
	})
}

func ingestGivesUp(t *testing.T, w *world) {
	t.Helper()
	before := w.letters(t, "dead/")
	w.send(t, "S3Ingest", "no JSON")
	// S3 told of a version of an upload that is open, and somebody has removed it since.
	u, body := document("gone/a.txt")
	opened := w.open(t, u)
	held, end := w.hold(w.by(t, "S3Ingest", "HeadObject"))
	defer end()
	w.sendBytes(t, opened, body)
	<-held
	stored, err := w.catalog().Upload(t.Context(), "alpha", opened.Upload.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.erase(t, stored.S3Key)
	end()
	eventually(t, "both have a dead letter", func() bool { return w.letters(t, "dead/") >= before+2 })
}

// erase deletes all versions of a key.
func (w *world) erase(t *testing.T, key string) {
	t.Helper()
	bucket := aws.String(w.Dev(nil).Bucket)
	out, err := w.s3(w.developer()).ListObjectVersions(t.Context(), &awss3.ListObjectVersionsInput{Bucket: bucket, Prefix: &key})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range out.Versions {
		if _, err := w.s3(w.developer()).DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: bucket, Key: &key, VersionId: v.VersionId}); err != nil {
			t.Fatal(err)
		}
	}
}

// leaveToQueue completes a multipart upload while S3 does not answer the API.
func (w *world) leaveToQueue(t *testing.T, path string) client.Opened {
	t.Helper()
	opened := w.parts(t, path)
	end := w.fail(w.by(t, "Signer", "CompleteMultipartUpload"))
	defer end()
	w.api(t, http.MethodPost, "/v1/uploads/"+opened.Upload.ID+"/complete", "{}", http.StatusAccepted)
	return opened
}

// finish has the completer look at an upload now: its own message waits for a while.
func (w *world) finish(t *testing.T, id string) {
	t.Helper()
	body, err := json.Marshal(completion.Message{Workspace: "alpha", Upload: id})
	if err != nil {
		t.Fatal(err)
	}
	w.send(t, "UploadCompleter", string(body))
}

func completerFinishes(t *testing.T, w *world) {
	t.Helper()
	opened := w.leaveToQueue(t, "completed/a.bin")
	w.finish(t, opened.Upload.ID)
	w.await(t, opened.Upload.ID, upload.Available)
}

// completerLooks: the answer of S3 was lost.
func completerLooks(t *testing.T, w *world) {
	t.Helper()
	opened := w.leaveToQueue(t, "completed/b.bin")
	u, err := w.catalog().Upload(t.Context(), "alpha", opened.Upload.ID)
	if err != nil {
		t.Fatal(err)
	}
	bucket, admin := aws.String(w.Dev(nil).Bucket), w.s3(w.developer())
	parts, err := admin.ListParts(t.Context(), &awss3.ListPartsInput{Bucket: bucket, Key: &u.S3Key, UploadId: &u.S3UploadID})
	if err != nil {
		t.Fatal(err)
	}
	var done s3types.CompletedMultipartUpload
	for _, p := range parts.Parts {
		done.Parts = append(done.Parts, s3types.CompletedPart{PartNumber: p.PartNumber, ETag: p.ETag, ChecksumCRC64NVME: p.ChecksumCRC64NVME})
	}
	held, end := w.hold(w.by(t, "S3Ingest", "GetItem"))
	defer end()
	if _, err := admin.CompleteMultipartUpload(t.Context(), &awss3.CompleteMultipartUploadInput{Bucket: bucket, Key: &u.S3Key, UploadId: &u.S3UploadID, MultipartUpload: &done}); err != nil {
		t.Fatal(err)
	}
	<-held
	w.finish(t, opened.Upload.ID)
	eventually(t, "the completer has found the object", func() bool {
		now, err := w.catalog().Upload(t.Context(), "alpha", opened.Upload.ID)
		return err == nil && now.State == upload.Uploaded
	})
	end()
	w.await(t, opened.Upload.ID, upload.Available)
}

// completerGivesUp: the parts were removed from outside, long ago.
func completerGivesUp(t *testing.T, w *world) {
	t.Helper()
	opened := w.leaveToQueue(t, "completed/c.bin")
	u, err := w.catalog().Upload(t.Context(), "alpha", opened.Upload.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.s3(w.developer()).AbortMultipartUpload(t.Context(), &awss3.AbortMultipartUploadInput{Bucket: aws.String(w.Dev(nil).Bucket), Key: &u.S3Key, UploadId: &u.S3UploadID}); err != nil {
		t.Fatal(err)
	}
	w.set(t, opened.Upload.ID, map[string]string{"completion.begunAt": catalog.DueUntil(time.Now().Add(-time.Hour)).Text})
	before := w.letters(t, "dead/")
	w.finish(t, opened.Upload.ID)
	w.awaitRelease(t, opened.Upload.ID)
	w.send(t, "UploadCompleter", "no JSON")
	eventually(t, "what makes no sense has a dead letter", func() bool { return w.letters(t, "dead/") > before })
}

func (w *world) picture(t *testing.T, path string) client.Upload {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "src", "image", "testdata", "video-001.png"))
	if err != nil {
		t.Fatal(err)
	}
	opened := w.open(t, single(path, "image/png", body))
	w.sendBytes(t, opened, body)
	return w.await(t, opened.Upload.ID, upload.Available)
}

func (w *world) awaitPicture(t *testing.T, object string) {
	t.Helper()
	eventually(t, "object "+object+" has its derivatives", func() bool {
		o, err := w.client.Object(t.Context(), object)
		return err == nil && o.Picture != nil
	})
}

func derivativesAreMade(t *testing.T, w *world) {
	t.Helper()
	writes := w.by(t, "ImageDerivatives", "TransactWriteItems", "PutItem")
	end := w.fail(writes) // so that they are made again, and found written
	first := w.picture(t, "pictures/a.png")
	found, proceed := w.hold(w.by(t, "ImageDerivatives", "HeadObject"))
	<-found
	proceed()
	end()
	w.awaitPicture(t, first.ObjectID)
	content, err := w.client.Content(t.Context(), first.ObjectID, &client.ContentOptions{Derivative: "256"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.Fetch(t.Context(), content, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}

	held, release := w.hold(writes) // so that another version comes first
	defer release()
	second := w.picture(t, "pictures/b.png")
	<-held
	w.picture(t, "pictures/b.png")
	release()
	w.awaitPicture(t, second.ObjectID)

	before := w.letters(t, "dead/")
	w.send(t, "ImageDerivatives", "no JSON")
	eventually(t, "what makes no sense has a dead letter", func() bool { return w.letters(t, "dead/") > before })
}

func fanoutGivesUp(t *testing.T, w *world) {
	t.Helper()
	before := w.letters(t, "dead/")
	if _, err := w.tables().PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(w.Dev(nil).Table), Item: map[string]types.AttributeValue{
		"pk": text("O#alpha#nothing"), "sk": text("OBJECT"), "rev": text("not a number"),
	}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a record that makes no sense has a dead letter", func() bool { return w.letters(t, "dead/") > before })

	end := w.fail(func(c *gateway.Call) bool { return c.Name == "PutEvents" })
	defer end()
	w.put(t, "fanout/a.txt")
	eventually(t, "Lambda has given up the record", func() bool { return w.letters(t, "aws/lambda/") > 0 })
}

func sweeperSweeps(t *testing.T, w *world) {
	t.Helper()
	whole, _ := document("swept/whole.txt")
	late, _ := document("swept/late.txt")
	due := []string{w.open(t, whole).Upload.ID, w.parts(t, "swept/parts.bin").Upload.ID}
	for _, id := range due {
		hour := time.Now().Add(-time.Hour)
		partition, value, sort := catalog.DuePartition(hour, catalog.ExpiryShard(id))
		at := catalog.DueUntil(hour).Text
		w.set(t, id, map[string]string{"expiresAt": at, partition: value, sort: at})
	}
	held, end := w.hold(w.by(t, "S3Ingest", "GetItem"))
	defer end()
	ended := w.open(t, late).Upload.ID
	w.plant(t, w.endOnly(t, ended), "late")
	<-held
	w.sweep(t, "uploads")
	for _, id := range append(due, ended) {
		w.awaitRelease(t, id)
	}
	end()
	w.sweep(t, "bytes")
}

func (w *world) sweep(t *testing.T, what string) {
	t.Helper()
	out, err := w.Host.Invoke(t.Context(), w.function(t, "UploadSweeper"), []byte(`{"sweep":"`+what+`"}`))
	if err != nil || out.FunctionError != "" || !strings.Contains(string(out.Payload), `"complete":true`) {
		t.Fatalf("sweep %s: %s %v", what, out.Payload, err)
	}
}
