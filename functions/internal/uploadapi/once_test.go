package uploadapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/stowage-dev/stowage/functions/internal/uploadapi"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// write is a request that changes something, and another one for the same key.
type write struct {
	who    token
	method string
	path   string
	body   any
	status int
	// other says something else: a body, or when it is text a query.
	other any
}

// writes makes one request for each operation that changes something, by the operation's
// method and path in the document.
func (w *world) writes(t *testing.T) map[string]write {
	t.Helper()
	writer, owner := member("alpha", "writer"), member("alpha", "owner")
	version := declare("version.txt", "x")
	version["ifExists"] = "version"
	toSign, _ := w.openParts(t, "to-sign", 6*mib, 0)
	toComplete, etags := w.openParts(t, "to-complete", 6*mib, 2)
	toAbort := w.must(t, writer, "POST", "/v1/uploads", declare("to-abort", "x"), 201).text("upload.id")
	toDelete := w.publish(t, "alpha", "to-delete", "x")
	toUndelete := w.publish(t, "alpha", "to-undelete", "x")
	w.must(t, writer, "DELETE", "/v1/objects/"+toUndelete, nil, 204)
	quota := func(objects int) fields {
		return fields{"bytes": 1 << 30, "objects": objects, "openUploads": 50, "maxObjectBytes": 1 << 30}
	}
	return map[string]write{
		"POST /v1/workspaces":                      {owner, "POST", "/v1/workspaces", fields{"id": "gamma", "name": "a"}, 201, fields{"id": "gamma", "name": "b"}},
		"PUT /v1/workspaces/{ws}/members/{sub}":    {owner, "PUT", "/v1/workspaces/alpha/members/new", fields{"role": "reader"}, 200, fields{"role": "writer"}},
		"DELETE /v1/workspaces/{ws}/members/{sub}": {owner, "DELETE", "/v1/workspaces/alpha/members/old", nil, 204, nil},
		"PUT /v1/workspaces/{ws}/quota":            {owner, "PUT", "/v1/workspaces/alpha/quota", quota(90), 200, quota(91)},
		"POST /v1/uploads":                         {writer, "POST", "/v1/uploads", version, 201, declare("version.txt", "x")},
		"POST /v1/uploads/{id}/parts":              {writer, "POST", "/v1/uploads/" + toSign + "/parts", fields{"partNumbers": []int{2}}, 200, fields{"partNumbers": []int{1}}},
		"POST /v1/uploads/{id}/complete":           {writer, "POST", "/v1/uploads/" + toComplete + "/complete", fields{"parts": etags}, 200, fields{}},
		"DELETE /v1/uploads/{id}":                  {writer, "DELETE", "/v1/uploads/" + toAbort, nil, 204, nil},
		"POST /v1/objects/{id}/undelete":           {writer, "POST", "/v1/objects/" + toUndelete + "/undelete", nil, 200, nil},
		"DELETE /v1/objects/{id}":                  {writer, "DELETE", "/v1/objects/" + toDelete, nil, 204, nil},
	}
}

// TestWritesAreRepeatable sends every write of the document twice with one key, the second
// time to another process: one effect, one answer; and refuses the key with anything else.
func TestWritesAreRepeatable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	requests := w.writes(t)
	var documented []string
	for _, name := range operations(t) {
		if !strings.HasPrefix(name, "GET ") {
			documented = append(documented, name)
		}
	}
	if known := slices.Sorted(maps.Keys(requests)); !slices.Equal(known, documented) {
		t.Fatalf("the document has the writes %v, this test %v", documented, known)
	}
	for name, r := range requests {
		t.Run(name, func(t *testing.T) {
			first := w.must(t, r.who, r.method, r.path, r.body, r.status, "Idempotency-Key", "my key")
			usage := w.usage(t, "alpha")
			again := w.restarted(nil).must(t, r.who, r.method, r.path, r.body, r.status, "Idempotency-Key", "my key")
			if a, b := unsigned(first.json), unsigned(again.json); a != b {
				t.Errorf("answers differ:\n%s\n%s", a, b)
			}
			for _, header := range []string{"Location", "ETag"} {
				if a, b := first.header.Get(header), again.header.Get(header); a != b {
					t.Errorf("%s %q, then %q", header, a, b)
				}
			}
			if after := w.usage(t, "alpha"); after != usage {
				t.Errorf("usage %s, was %s", after, usage)
			}
			if r.other != nil {
				w.refused(t, r.who, r.method, r.path, r.other, 422, "idempotency_mismatch", "Idempotency-Key", "my key")
			}
			w.refused(t, r.who, r.method, r.path, r.body, 422, "idempotency_mismatch", "Idempotency-Key", "my key", "If-Match", "*")
		})
	}
	w.secretsIn(t, w.records(t))
}

// operations are the methods and paths of the document.
func operations(t *testing.T) []string {
	t.Helper()
	text, err := uploadapi.Document()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	var names []string
	for path, methods := range doc.Paths {
		for method := range methods {
			names = append(names, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(names)
	return names
}

// unsigned is an answer without what is signed anew.
func unsigned(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var copied any
	if err := json.Unmarshal(text, &copied); err != nil {
		panic(err)
	}
	var strip func(any)
	strip = func(v any) {
		switch v := v.(type) {
		case fields:
			if _, signed := v["url"]; signed {
				delete(v, "url")
				delete(v, "expiresAt")
			}
			for _, inner := range v {
				strip(inner)
			}
		case []any:
			for _, inner := range v {
				strip(inner)
			}
		}
	}
	strip(copied)
	text, err = json.Marshal(copied)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// records is all that the table of idempotency records holds.
func (w *world) records(t *testing.T) string {
	t.Helper()
	out, err := ddbtest.Client(nil).Scan(t.Context(), &dynamodb.ScanInput{TableName: &w.recordsTable})
	if err != nil {
		t.Fatal(err)
	}
	if out.Count == 0 {
		t.Fatal("no records")
	}
	text := ""
	for _, item := range out.Items {
		for name, value := range item {
			plain, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			text += name + "=" + string(plain) + "\n"
		}
	}
	return text
}

// secretsIn fails the test when records hold more than ids.
func (w *world) secretsIn(t *testing.T, records string) {
	t.Helper()
	for _, secret := range []string{"X-Amz", "my key", "version.txt", w.creds.SessionToken[:20], "127.0.0.1"} {
		if strings.Contains(records, secret) {
			t.Errorf("the records hold %q", secret)
		}
	}
}

// TestKeysBelongToTheirCaller: the same key of another caller, workspace or route is
// another key.
func TestKeysBelongToTheirCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	version := declare("a.txt", "x")
	version["ifExists"] = "version"
	ids := map[string]bool{}
	for _, who := range []token{member("alpha", "writer"), member("alpha", "owner"), member("beta", "writer")} {
		opened := w.must(t, who, "POST", "/v1/uploads", version, 201, "Idempotency-Key", "k")
		ids[opened.text("upload.id")] = true
		w.must(t, who, "DELETE", "/v1/uploads/"+opened.text("upload.id"), nil, 204, "Idempotency-Key", "k")
	}
	if len(ids) != 3 {
		t.Errorf("%d uploads: %v", len(ids), ids)
	}
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, key := range []string{"", strings.Repeat("k", 256), "\x00", "\x1f", "\x7f", "ü", "a\tb", "\xff"} {
		got := w.refused(t, member("alpha", "writer"), "POST", "/v1/uploads", declare("a", "x"), 400, "invalid_argument", "Idempotency-Key", key)
		if !strings.Contains(got.body, `"location":"header.Idempotency-Key"`) {
			t.Errorf("%q: %s", key, got.body)
		}
	}
	for i, key := range []string{" ", "~", strings.Repeat("k", 255), `{"a":1}`} {
		w.must(t, member("alpha", "writer"), "POST", "/v1/uploads", declare(fmt.Sprint(i), "x"), 201, "Idempotency-Key", key)
	}
	if after := w.usage(t, "alpha"); !strings.Contains(after, `"openUploads":{"limit":1000,"reserved":4`) {
		t.Errorf("usage %s", after)
	}
}

// TestSignedAgain: a repetition's URLs are good although those of the first answer are not any
// more, and none is given for an upload that takes no bytes.
func TestSignedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer, declared := member("alpha", "writer"), declare("a", "x")
	declared["expiresIn"] = 60
	w.clock.advance(-10 * time.Minute)
	first := w.must(t, writer, "POST", "/v1/uploads", declared, 201, "Idempotency-Key", "k")
	if status, _ := send(t, first, "x", nil); status != 403 {
		t.Fatalf("an expired URL: %d", status)
	}
	w.clock.advance(10 * time.Minute)
	again := w.must(t, writer, "POST", "/v1/uploads", declared, 201, "Idempotency-Key", "k")
	if status, answer := send(t, again, "x", nil); status != 200 || again.text("upload.id") != first.text("upload.id") {
		t.Errorf("signed again: %d %s", status, answer)
	}
	w.settle(t, "alpha", again.text("upload.id"), "v", "x")
	for range 2 {
		done := w.must(t, writer, "POST", "/v1/uploads", declared, 201, "Idempotency-Key", "k")
		if done.text("upload.state") != "available" || done.at("put") != nil {
			t.Errorf("after it was published: %s", done.body)
		}
		w.clock.advance(2 * time.Hour)
	}
	// A day later the key is free.
	w.clock.advance(24 * time.Hour)
	w.refused(t, writer, "POST", "/v1/uploads", declared, 409, "path_taken", "Idempotency-Key", "k")
}

// TestSignedWithinTheUpload: no URL outlives its upload.
func TestSignedWithinTheUpload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer := member("alpha", "writer")
	first := w.must(t, writer, "POST", "/v1/uploads", declare("a", "x"), 201, "Idempotency-Key", "k")
	ends, err := time.Parse(time.RFC3339, first.text("upload.expiresAt"))
	if err != nil {
		t.Fatal(err)
	}
	w.clock.advance(70 * time.Minute) // of 75
	again := w.must(t, writer, "POST", "/v1/uploads", declare("a", "x"), 201, "Idempotency-Key", "k")
	if urlEnds, err := time.Parse(time.RFC3339, again.text("put.expiresAt")); err != nil || urlEnds.After(ends) {
		t.Errorf("the URL ends %s, the upload %s", urlEnds, ends)
	}
	w.clock.advance(10 * time.Minute)
	if late := w.must(t, writer, "POST", "/v1/uploads", declare("a", "x"), 201, "Idempotency-Key", "k"); late.at("put") != nil {
		t.Errorf("signed for an upload whose time is up: %s", late.body)
	}
	parts := w.must(t, writer, "POST", "/v1/uploads", inParts("b", 6*mib), 201).text("upload.id")
	w.clock.advance(7*24*time.Hour + time.Second)
	w.refused(t, writer, "POST", "/v1/uploads/"+parts+"/parts", fields{"partNumbers": []int{1}}, 409, "upload_ended")
}

// TestRefusalLeavesTheKey: a request that was refused had no effect; with its key it can be
// sent again, and changed.
func TestRefusalLeavesTheKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer := member("alpha", "writer")
	id := w.publish(t, "alpha", "a", "x")
	w.refused(t, writer, "POST", "/v1/uploads", declare("a", "y"), 409, "path_taken", "Idempotency-Key", "k")
	w.refused(t, writer, "POST", "/v1/uploads", declare("/a", "y"), 400, "invalid_argument", "Idempotency-Key", "k")
	w.must(t, writer, "DELETE", "/v1/objects/"+id, nil, 204)
	w.must(t, writer, "POST", "/v1/uploads", declare("a", "y"), 201, "Idempotency-Key", "k")
}

// holding is a catalog that waits before it opens an upload.
type holding struct {
	uploadapi.Catalog
	reached, goOn chan struct{}
}

func (h holding) OpenUpload(ctx context.Context, ws workspace.Workspace, u upload.Upload) (upload.Upload, error) {
	h.reached <- struct{}{}
	<-h.goOn
	return h.Catalog.OpenUpload(ctx, ws, u)
}

// TestTwins: while a request is at work its twins are told to wait, and afterwards get its
// answer.
func TestTwins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer := member("alpha", "writer")
	h := holding{w.deps.Catalog, make(chan struct{}), make(chan struct{})}
	slow := w.restarted(func(d *uploadapi.Deps) { d.Catalog = h })
	var first reply
	var done sync.WaitGroup
	done.Go(func() { first = slow.call(t, writer, "POST", "/v1/uploads", declare("a", "x"), "Idempotency-Key", "k") })
	<-h.reached
	for range 3 {
		twin := w.refused(t, writer, "POST", "/v1/uploads", declare("a", "x"), 409, "idempotency_in_progress", "Idempotency-Key", "k")
		if seconds, err := strconv.Atoi(twin.header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 61 {
			t.Errorf("Retry-After %q", twin.header.Get("Retry-After"))
		}
	}
	w.refused(t, writer, "POST", "/v1/uploads", declare("a", "y"), 422, "idempotency_mismatch", "Idempotency-Key", "k")
	close(h.goOn)
	done.Wait()
	after := w.must(t, writer, "POST", "/v1/uploads", declare("a", "x"), 201, "Idempotency-Key", "k")
	if first.status != 201 || after.text("upload.id") != first.text("upload.id") {
		t.Errorf("first %d %s, then %s", first.status, first.body, after.body)
	}
	if usage := w.usage(t, "alpha"); !strings.Contains(usage, `"openUploads":{"limit":1000,"reserved":1`) {
		t.Errorf("usage %s", usage)
	}
}

// TestManyTwins sends one request many times at once: one upload comes of it.
func TestManyTwins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	ids, statuses := map[string]bool{}, map[int]int{}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			got := w.call(t, member("alpha", "writer"), "POST", "/v1/uploads", inParts("a", 6*mib), "Idempotency-Key", "k")
			mu.Lock()
			defer mu.Unlock()
			statuses[got.status]++
			if got.status == 201 {
				ids[got.text("upload.id")] = true
			}
		})
	}
	all.Wait()
	if len(ids) != 1 || statuses[201]+statuses[409] != 20 {
		t.Errorf("uploads %v, statuses %v", ids, statuses)
	}
	if usage := w.usage(t, "alpha"); !strings.Contains(usage, `"openUploads":{"limit":1000,"reserved":1`) {
		t.Errorf("usage %s", usage)
	}
}

// cut is a catalog and a storage that lose the answer of one step, once: before it had its
// effect or after.
type cut struct {
	uploadapi.Catalog
	uploadapi.Storage

	step  string
	after bool
	panic bool
	done  *sync.Once
}

func (c cut) lose(step string, do func() error) error {
	if step != c.step {
		return do()
	}
	lost := false
	c.done.Do(func() { lost = true })
	if lost && c.after {
		if err := do(); err != nil {
			return err
		}
	}
	switch {
	case lost && c.panic:
		panic("cut off")
	case lost:
		return errors.New("cut off")
	default:
		return do()
	}
}

func (c cut) OpenUpload(ctx context.Context, ws workspace.Workspace, u upload.Upload) (out upload.Upload, err error) {
	err = c.lose("OpenUpload", func() error { out, err = c.Catalog.OpenUpload(ctx, ws, u); return err })
	return out, err
}

func (c cut) StartMultipart(ctx context.Context, ws, id, s3UploadID string) (out upload.Upload, err error) {
	err = c.lose("StartMultipart", func() error { out, err = c.Catalog.StartMultipart(ctx, ws, id, s3UploadID); return err })
	return out, err
}

func (c cut) CreateWorkspace(ctx context.Context, ws workspace.Workspace, m workspace.Member) error {
	return c.lose("CreateWorkspace", func() error { return c.Catalog.CreateWorkspace(ctx, ws, m) })
}

func (c cut) SetQuota(ctx context.Context, ws string, q workspace.Quota, ifRev int64) (out workspace.Workspace, err error) {
	err = c.lose("SetQuota", func() error { out, err = c.Catalog.SetQuota(ctx, ws, q, ifRev); return err })
	return out, err
}

func (c cut) CreateMultipart(ctx context.Context, u upload.Upload) (id string, err error) {
	err = c.lose("CreateMultipart", func() error { id, err = c.Storage.CreateMultipart(ctx, u); return err })
	return id, err
}

// TestCutOff loses the answer of each step of an opening, before and after its effect, by an
// error and by a crash: sent again with its key, the request has its effect once.
func TestCutOff(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"OpenUpload", "CreateMultipart", "StartMultipart", "CreateWorkspace", "SetQuota"} {
		for _, after := range []bool{false, true} {
			for _, crash := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s after=%v crash=%v", step, after, crash), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t)
					c := cut{w.deps.Catalog, w.deps.Storage, step, after, crash, &sync.Once{}}
					cutOff(t, w.restarted(func(d *uploadapi.Deps) { d.Catalog, d.Storage = c, c }), step)
				})
			}
		}
	}
}

func cutOff(t *testing.T, w *world, step string) {
	t.Helper()
	who, method, path, status := member("alpha", "owner"), "POST", "/v1/uploads", 201
	var body any = inParts("a", 6*mib)
	headers := []string{"Idempotency-Key", "k"}
	switch step {
	case "CreateWorkspace":
		path, body = "/v1/workspaces", fields{"id": "gamma", "name": "Gamma"}
	case "SetQuota":
		method, path, status = "PUT", "/v1/workspaces/alpha/quota", 200
		body = fields{"bytes": 1 << 30, "objects": 90, "openUploads": 50, "maxObjectBytes": 1 << 30}
		headers = append(headers, "If-Match", w.must(t, who, "GET", path, nil, 200).header.Get("ETag"))
	}
	if lost := w.call(t, who, method, path, body, headers...); lost.status != 500 {
		t.Fatalf("cut off: %d %s", lost.status, lost.body)
	}
	first := w.must(t, who, method, path, body, status, headers...)
	again := w.must(t, who, method, path, body, status, headers...)
	if a, b := unsigned(first.json), unsigned(again.json); a != b {
		t.Errorf("answers differ:\n%s\n%s", a, b)
	}
	if path != "/v1/uploads" {
		return
	}
	usage := w.usage(t, "alpha")
	if !strings.Contains(usage, fmt.Sprintf(`"reserved":%d,`, 6*mib)) || !strings.Contains(usage, `"openUploads":{"limit":1000,"reserved":1`) {
		t.Errorf("usage %s", usage)
	}
	// What came of it is whole: its parts can be sent.
	if status, _ := sendPart(t, first.parts()[1], 'x', mib); status != 200 {
		t.Errorf("a part: %d", status)
	}
}

// TestBegunTwice: an upload that two attempts begin in storage keeps the one that the catalog
// recorded first.
func TestBegunTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer := member("alpha", "writer")
	c := cut{w.deps.Catalog, w.deps.Storage, "CreateMultipart", false, false, &sync.Once{}}
	stuck := w.restarted(func(d *uploadapi.Deps) { d.Catalog, d.Storage = c, c })
	stuck.refused(t, writer, "POST", "/v1/uploads", inParts("a", 6*mib), 500, "internal", "Idempotency-Key", "k")
	var mu sync.Mutex
	var urls []any
	var all sync.WaitGroup
	id := ""
	for range 3 {
		all.Go(func() {
			got := w.call(t, writer, "POST", "/v1/uploads", inParts("a", 6*mib), "Idempotency-Key", "k")
			mu.Lock()
			defer mu.Unlock()
			if got.status == 201 {
				urls, id = append(urls, got.parts()[1]), got.text("upload.id")
			}
		})
	}
	all.Wait()
	for range 3 { // and the parts' own route begins what was not begun
		all.Go(func() {
			got := w.call(t, writer, "POST", "/v1/uploads/"+id+"/parts", fields{"partNumbers": []int{2}})
			mu.Lock()
			defer mu.Unlock()
			if got.status != 200 {
				t.Errorf("%d %s", got.status, got.body)
				return
			}
			urls = append(urls, got.parts()[0])
		})
	}
	all.Wait()
	for _, part := range urls {
		if status, _ := sendPart(t, part, 'x', mib); status != 200 {
			t.Errorf("a part: %d", status)
		}
	}
}

// TestOutage: a session that cannot be had leaves no reservation.
func TestOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.usage(t, "alpha")
	out := w.restarted(func(d *uploadapi.Deps) { d.Signer = noSession{d.Signer} })
	for _, declared := range []fields{declare("a", "x"), inParts("b", 6*mib)} {
		out.refused(t, member("alpha", "writer"), "POST", "/v1/uploads", declared, 503, "unavailable")
	}
	if after := w.usage(t, "alpha"); after != before {
		t.Errorf("usage %s, was %s", after, before)
	}
}

type noSession struct{ uploadapi.Signer }

func (noSession) Ready(context.Context) error { return fault.New(fault.Unavailable, "no session") }
