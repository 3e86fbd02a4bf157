package uploadapi_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/functions/internal/uploadapi"
	"github.com/stowage-dev/stowage/shared/closing"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/s3store"
	"github.com/stowage-dev/stowage/shared/upload"
)

// held is what storage has at a key, seals left out.
func (w *world) held(tb testing.TB, key string) []object.Stored {
	tb.Helper()
	signer, ok := w.deps.Storage.(*s3store.Signer)
	if !ok {
		tb.Fatalf("storage is a %T", w.deps.Storage)
	}
	versions, err := signer.Held(context.Background(), key)
	if err != nil {
		tb.Fatal(err)
	}
	var held []object.Stored
	for _, v := range versions {
		if !v.Seal() {
			held = append(held, v)
		}
	}
	return held
}

// unreadable fails the test when anything of an upload can be read.
func (w *world) unreadable(tb testing.TB, u reply) {
	tb.Helper()
	if held := w.held(tb, object.Key("alpha", u.text("upload.objectId"), u.text("upload.id"))); len(held) > 0 {
		tb.Errorf("storage holds %v", held)
	}
	w.refused(tb, member("alpha", "reader"), "GET", "/v1/objects/"+u.text("upload.objectId")+"/content", nil, 404, "not_found")
}

// TestRefusedPuts changes the one request that was signed, in every way that there is. S3
// refuses each, with what is wrong, and holds nothing; the request as signed then passes, and
// not twice.
func TestRefusedPuts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer, content := member("alpha", "writer"), "exactly these bytes"
	changed := func(change func(q url.Values, target *url.URL)) func(*http.Request) {
		return func(r *http.Request) {
			q := r.URL.Query()
			change(q, r.URL)
			r.URL.RawQuery = q.Encode()
		}
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	other := w.must(t, writer, "POST", "/v1/uploads", declare("other.txt", content), 201)
	otherURL, err := url.Parse(other.text("put.url"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		body   string
		change func(*http.Request)
		codes  []string // of S3, one of them
	}{
		{"oversize", content + "!", nil, []string{"SignatureDoesNotMatch"}},
		{"undersize", content[1:], nil, []string{"SignatureDoesNotMatch"}},
		{"empty", "", nil, []string{"SignatureDoesNotMatch"}},
		{"other bytes", strings.ToUpper(content), nil, []string{"BadDigest"}},
		{"wrong type", content, header("Content-Type", "text/html"), []string{"SignatureDoesNotMatch"}},
		{"wrong checksum", content, header("X-Amz-Checksum-Sha256", sum("x")), []string{"SignatureDoesNotMatch"}},
		{"missing type", content, func(r *http.Request) { r.Header.Del("Content-Type") }, []string{"SignatureDoesNotMatch", "AccessDenied"}},
		{"missing checksum", content, func(r *http.Request) { r.Header.Del("X-Amz-Checksum-Sha256") }, []string{"SignatureDoesNotMatch", "AccessDenied"}},
		{"missing condition", content, func(r *http.Request) { r.Header.Del("If-None-Match") }, []string{"SignatureDoesNotMatch", "AccessDenied"}},
		{"other condition", content, header("If-None-Match", `"x"`), []string{"SignatureDoesNotMatch"}},
		{"extra tags", content, header("X-Amz-Tagging", "stowage=available"), []string{"AccessDenied", "SignatureDoesNotMatch"}},
		{"extra access", content, header("X-Amz-Acl", "public-read"), []string{"AccessDenied", "SignatureDoesNotMatch"}},
		{"changed key", content, func(r *http.Request) { r.URL.Path += "X" }, []string{"SignatureDoesNotMatch"}},
		{"key of another upload", content, func(r *http.Request) { r.URL.Path = otherURL.Path }, []string{"SignatureDoesNotMatch"}},
		{"key of another workspace", content, func(r *http.Request) { r.URL.Path = strings.Replace(r.URL.Path, "/alpha/", "/beta/", 1) }, []string{"SignatureDoesNotMatch"}},
		{"longer life", content, changed(func(q url.Values, _ *url.URL) { q.Set("X-Amz-Expires", "604800") }), []string{"SignatureDoesNotMatch"}},
		{"other method", content, func(r *http.Request) { r.Method = http.MethodPost }, []string{"SignatureDoesNotMatch", "MethodNotAllowed", "AccessDenied"}},
		{"a read", "", func(r *http.Request) { r.Method = http.MethodGet }, []string{"SignatureDoesNotMatch", "AccessDenied"}},
		{"a deletion", "", func(r *http.Request) { r.Method = http.MethodDelete }, []string{"SignatureDoesNotMatch", "AccessDenied"}},
		{"no signature", content, changed(func(q url.Values, _ *url.URL) { clear(q) }), []string{"AccessDenied"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			opened := w.must(t, writer, "POST", "/v1/uploads", declare("a-"+tc.name, content), 201)
			status, answer := send(t, opened, tc.body, tc.change)
			if status < 400 || !named(answer, tc.codes) {
				t.Errorf("%d %s, want one of %v", status, answer, tc.codes)
			}
			w.unreadable(t, opened)
			// The key is as it was: the request that was signed can still be sent, once.
			if status, answer := send(t, opened, content, nil); status != 200 {
				t.Fatalf("as signed: %d %s", status, answer)
			}
			for _, again := range []string{content, ""} {
				if status, answer := send(t, opened, again, nil); status < 400 {
					t.Errorf("replayed: %d %s", status, answer)
				}
			}
			if held := w.held(t, object.Key("alpha", opened.text("upload.objectId"), opened.text("upload.id"))); len(held) != 1 {
				t.Errorf("%d versions", len(held))
			}
		})
	}
}

// named reports whether answer is an error of S3 with one of codes.
func named(answer string, codes []string) bool {
	for _, code := range codes {
		if strings.Contains(answer, "<Code>"+code+"</Code>") {
			return true
		}
	}
	return answer == "" // of a method whose answers have no body
}

// send sends the signed PUT of an upload, changed.
func send(t *testing.T, opened reply, body string, change func(*http.Request)) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, opened.text("put.url"), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	headers, _ := opened.at("put.headers").(fields)
	for name, value := range headers {
		r.Header.Set(name, fmt.Sprint(value))
	}
	if change != nil {
		change(r)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// TestExpiredPut: a URL whose time is up stores nothing.
func TestExpiredPut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock.advance(-10 * time.Minute) // signed then, sent now
	declared := declare("late.txt", "x")
	declared["expiresIn"] = 60
	opened := w.must(t, member("alpha", "writer"), "POST", "/v1/uploads", declared, 201)
	status, answer := send(t, opened, "x", nil)
	if status != 403 || !strings.Contains(answer, "expired") {
		t.Errorf("%d %s", status, answer)
	}
	w.unreadable(t, opened)
}

// TestSlowPut: S3 looks at the end of a URL when the request begins. Bytes that are still on
// their way when the upload ends, by its client or because its time is up, find the key closed.
func TestSlowPut(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *world, string){
		"aborted": func(t *testing.T, w *world, id string) {
			t.Helper()
			w.must(t, member("alpha", "writer"), "DELETE", "/v1/uploads/"+id, nil, 204)
		},
		"expired": func(t *testing.T, w *world, id string) { // as the sweeper ends it
			t.Helper()
			u, err := w.store.EndUpload(t.Context(), "alpha", id, upload.Expire, upload.Sweeper)
			if err == nil {
				err = closing.New(w.deps.Storage, w.store).Close(t.Context(), u)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			before, content := w.usage(t, "alpha"), strings.Repeat("slow ", 200_000)
			opened := w.must(t, member("alpha", "writer"), "POST", "/v1/uploads", declare("slow.txt", content), 201)
			halfway, goOn := make(chan struct{}), make(chan struct{})
			body := &pausing{text: content, at: len(content) / 2, reached: halfway, goOn: goOn}
			answered := make(chan int, 1)
			go func() {
				r, err := http.NewRequestWithContext(context.Background(), http.MethodPut, opened.text("put.url"), body)
				if err != nil {
					panic(err)
				}
				r.ContentLength = int64(len(content))
				headers, _ := opened.at("put.headers").(fields)
				for name, value := range headers {
					r.Header.Set(name, fmt.Sprint(value))
				}
				res, err := http.DefaultClient.Do(r)
				if err != nil {
					answered <- 0 // hung up on: refused
					return
				}
				_ = res.Body.Close()
				answered <- res.StatusCode
			}()
			<-halfway
			end(t, w, opened.text("upload.id"))
			if after := w.usage(t, "alpha"); after != before {
				t.Errorf("usage after the end %s, was %s", after, before)
			}
			close(goOn)
			if status := <-answered; status != 412 && status != 0 {
				t.Errorf("the slow PUT was answered %d", status)
			}
			w.unreadable(t, opened)
			if after := w.usage(t, "alpha"); after != before {
				t.Errorf("usage %s, was %s", after, before)
			}
		})
	}
}

// pausing is a text that is read to a point, and further when it is told to.
type pausing struct {
	text          string
	at, read      int
	reached, goOn chan struct{}
}

func (p *pausing) Read(into []byte) (int, error) {
	if p.read == p.at {
		close(p.reached)
		<-p.goOn
	}
	end := len(p.text)
	if p.read < p.at {
		end = p.at
	}
	if p.read == end {
		return 0, io.EOF
	}
	n := copy(into, p.text[p.read:end])
	p.read += n
	return n, nil
}

// TestRefusedParts: what storage and the API refuse of parts, and that it leaves nothing.
func TestRefusedParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer, before := member("alpha", "writer"), w.usage(t, "alpha")
	opened := w.must(t, writer, "POST", "/v1/uploads", inParts("a", 10*mib+7), 201)
	first, _ := opened.parts()[0].(fields)
	second, _ := opened.parts()[1].(fields)
	withURL := func(text string) fields {
		changed := maps.Clone(first)
		changed["url"] = text
		return changed
	}
	swapped := strings.Replace(fmt.Sprint(first["url"]), "partNumber=1", "partNumber=2", 1)
	for _, tc := range []struct {
		name string
		part fields
		n    int
	}{
		{"one byte too many", first, 5*mib + 1},
		{"one byte too few", first, 5*mib - 1},
		{"nothing", first, 0},
		{"the length of the last part", first, 7},
		{"a part number that was not signed", withURL(swapped), 5 * mib},
		{"another upload's id", withURL(strings.Replace(fmt.Sprint(first["url"]), "uploadId=", "uploadId=0", 1)), 5 * mib},
	} {
		if status, _ := sendPart(t, tc.part, 'x', tc.n); status == 200 {
			t.Errorf("%s was stored", tc.name)
		}
	}
	id := opened.text("upload.id")
	if got := w.must(t, writer, "GET", "/v1/uploads/"+id+"/parts", nil, 200); !strings.Contains(got.body, `"items":[]`) {
		t.Errorf("storage has parts: %s", got.body)
	}
	for _, tc := range []struct {
		name     string
		body     any
		location string
	}{
		{"no list", fields{}, "body"},
		{"no numbers", fields{"partNumbers": []int{}}, "body.partNumbers"},
		{"null", fields{"partNumbers": nil}, "body.partNumbers"},
		{"zero", fields{"partNumbers": []int{1, 0}}, "body.partNumbers[1]"},
		{"negative", fields{"partNumbers": []int{-1}}, "body.partNumbers[0]"},
		{"beyond the last", fields{"partNumbers": []int{4}}, "body.partNumbers[0]"},
		{"10,001", fields{"partNumbers": []int{10_001}}, "body.partNumbers[0]"},
		{"no integer", fields{"partNumbers": []any{1.5}}, "body.partNumbers[0]"},
		{"text", fields{"partNumbers": []any{"1"}}, "body.partNumbers[0]"},
		{"beyond 64 bits", `{"partNumbers":[18446744073709551617]}`, "body"},
		{"twice", fields{"partNumbers": []int{1, 2, 1}}, "body.partNumbers[2]"},
		{"1,001 of them", fields{"partNumbers": make([]int, 1001)}, "body.partNumbers"},
	} {
		got := w.refused(t, writer, "POST", "/v1/uploads/"+id+"/parts", tc.body, 400, "invalid_argument")
		if !strings.Contains(got.body, `"location":"`+tc.location+`"`) {
			t.Errorf("%s: does not blame %s: %s", tc.name, tc.location, got.body)
		}
	}
	single := w.must(t, writer, "POST", "/v1/uploads", declare("single", "x"), 201).text("upload.id")
	w.refused(t, writer, "POST", "/v1/uploads/"+single+"/parts", fields{"partNumbers": []int{1}}, 409, "conflict")
	w.refused(t, writer, "GET", "/v1/uploads/"+single+"/parts", nil, 409, "conflict")
	w.refused(t, writer, "POST", "/v1/uploads/"+single+"/complete", fields{}, 409, "conflict")
	w.must(t, writer, "DELETE", "/v1/uploads/"+single, nil, 204)

	if status, _ := sendPart(t, second, 'b', 5*mib); status != 200 {
		t.Errorf("as signed: %d", status)
	}
	w.must(t, writer, "DELETE", "/v1/uploads/"+id, nil, 204)
	w.unreadable(t, opened)
	if after := w.usage(t, "alpha"); after != before {
		t.Errorf("usage %s, was %s", after, before)
	}
}

// TestRefusedMultiparts: what cannot be opened, and takes no quota.
func TestRefusedMultiparts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(t, admin(), "PUT", "/v1/workspaces/alpha/quota", fields{"bytes": int64(1) << 50, "objects": 9, "openUploads": 9, "maxObjectBytes": int64(1) << 46}, 200)
	before := w.usage(t, "alpha")
	for _, tc := range []struct {
		name     string
		changes  fields
		status   int
		code     string
		location string
	}{
		{"nothing to send", fields{"size": 0}, 400, "invalid_argument", "body.size"},
		{"parts under 5 MiB", fields{"partSize": 5*mib - 1}, 400, "invalid_argument", "body.partSize"},
		{"parts over 5 GiB", fields{"partSize": 5<<30 + 1}, 400, "invalid_argument", "body.partSize"},
		{"10,001 parts", fields{"size": 10_000*5*mib + 1}, 400, "invalid_argument", "body.partSize"},
		{"more than any parts hold", fields{"size": 50_000<<30 + 1, "partSize": 5 << 30}, 400, "invalid_argument", "body.partSize"},
		{"a SHA-256, which nobody could verify", fields{"sha256": sum("x")}, 400, "invalid_argument", "body.sha256"},
		{"a short checksum", fields{"crc64nvme": "AAAA"}, 400, "invalid_argument", "body.crc64nvme"},
		{"a checksum in hex", fields{"crc64nvme": "0123456789ab"}, 400, "invalid_argument", "body.crc64nvme"},
		{"wrong type", fields{"contentType": "application/x-msdownload"}, 415, "unsupported_type", ""},
	} {
		declared := inParts("a", 11*mib)
		maps.Copy(declared, tc.changes)
		got := w.refused(t, member("alpha", "writer"), "POST", "/v1/uploads", declared, tc.status, tc.code)
		if tc.location != "" && !strings.Contains(got.body, `"location":"`+tc.location+`"`) {
			t.Errorf("%s: does not blame %s: %s", tc.name, tc.location, got.body)
		}
	}
	w.must(t, admin(), "PUT", "/v1/workspaces/alpha/quota", fields{"bytes": 20 * mib, "objects": 9, "openUploads": 9, "maxObjectBytes": 10 * mib}, 200)
	large := w.refused(t, member("alpha", "writer"), "POST", "/v1/uploads", inParts("a", 10*mib+1), 413, "too_large")
	if large.at("details.limit") != 10.0*mib {
		t.Errorf("no figures: %s", large.body)
	}
	w.must(t, admin(), "PUT", "/v1/workspaces/alpha/quota", fields{"bytes": 10 * mib, "objects": 9, "openUploads": 9, "maxObjectBytes": 1 << 40}, 200)
	w.refused(t, member("alpha", "writer"), "POST", "/v1/uploads", inParts("a", 10*mib+1), 402, "quota_exceeded")
	w.must(t, admin(), "PUT", "/v1/workspaces/alpha/quota", fields{"bytes": int64(1) << 50, "objects": 9, "openUploads": 9, "maxObjectBytes": int64(1) << 46}, 200)
	if after := w.usage(t, "alpha"); after != before {
		t.Errorf("usage %s, was %s", after, before)
	}
}

// TestRefusedCompletions: each is refused with what is wrong and leaves the upload to be put
// right: in the end it can still be completed.
func TestRefusedCompletions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer := member("alpha", "writer")
	id, etags := w.openParts(t, "a", 15*mib+9, 3)
	route := "/v1/uploads/" + id + "/complete"
	one, two, three := etags[0], etags[1], etags[2]

	missing := w.refused(t, writer, "POST", route, fields{}, 409, "parts_incomplete")
	if missing.at("details.missing") != 1.0 || missing.at("details.firstMissing") != 4.0 {
		t.Errorf("no figures: %s", missing.body)
	}
	last := w.must(t, writer, "POST", "/v1/uploads/"+id+"/parts", fields{"partNumbers": []int{4}}, 200)
	status, etag := sendPart(t, last.parts()[0], 'd', 9)
	if status != 200 {
		t.Fatal(status)
	}
	four := fields{"partNumber": 4, "etag": etag}
	many := make([]fields, 10_001)
	for i := range many {
		many[i] = fields{"partNumber": i%10_000 + 1, "etag": "x"}
	}
	for _, tc := range []struct {
		name     string
		body     any
		location string
	}{
		{"an empty list", fields{"parts": []fields{}}, "body.parts"},
		{"one part only", fields{"parts": []fields{one}}, "body.parts"},
		{"without the last", fields{"parts": []fields{one, two, three}}, "body.parts"},
		{"without the first", fields{"parts": []fields{two, three, four}}, "body.parts[0].partNumber"},
		{"in another order", fields{"parts": []fields{one, three, two, four}}, "body.parts[1].partNumber"},
		{"one twice", fields{"parts": []fields{one, two, two, three}}, "body.parts[2].partNumber"},
		{"one too many", fields{"parts": []fields{one, two, three, four, {"partNumber": 5, "etag": "x"}}}, "body.parts"},
		{"10,001 parts", fields{"parts": many}, "body.parts"},
		{"part 0", fields{"parts": []fields{{"partNumber": 0, "etag": "x"}}}, "body.parts[0].partNumber"},
		{"part 10,001", fields{"parts": []fields{{"partNumber": 10_001, "etag": "x"}}}, "body.parts[0].partNumber"},
		{"no ETag", fields{"parts": []fields{{"partNumber": 1}, two, three, four}}, "body.parts[0]"},
		{"an empty ETag", fields{"parts": []fields{{"partNumber": 1, "etag": ""}, two, three, four}}, "body.parts[0].etag"},
		{"quotes and nothing in them", fields{"parts": []fields{{"partNumber": 1, "etag": `""`}, two, three, four}}, "body.parts[0].etag"},
		{"another part's ETag", fields{"parts": []fields{{"partNumber": 1, "etag": two["etag"]}, two, three, four}}, "body.parts[0].etag"},
		{"a long ETag", fields{"parts": []fields{{"partNumber": 1, "etag": strings.Repeat("e", 65)}, two, three, four}}, "body.parts[0].etag"},
		{"an unknown field", fields{"size": 1}, "body.size"},
	} {
		got := w.refused(t, writer, "POST", route, tc.body, 400, "invalid_argument")
		if !strings.Contains(got.body, `"location":"`+tc.location+`"`) {
			t.Errorf("%s: does not blame %s: %s", tc.name, tc.location, got.body)
		}
	}
	w.refused(t, writer, "POST", route, "", 400, "invalid_argument")
	if got := w.must(t, writer, "GET", "/v1/uploads/"+id, nil, 200); got.text("state") != "uploading" || len(w.queue.messages) > 0 {
		t.Errorf("after refusals: %s, %d messages", got.body, len(w.queue.messages))
	}
	all := fields{"parts": []fields{one, two, three, four}}
	w.must(t, writer, "POST", route, all, 200)
	// A second completion is the same or is refused.
	w.must(t, writer, "POST", route, all, 200)
	w.must(t, writer, "POST", route, fields{}, 200)
	w.refused(t, writer, "POST", route, fields{"parts": []fields{one, two, three, {"partNumber": 4, "etag": "x"}}}, 409, "conflict")
	w.refused(t, writer, "POST", route, fields{"crc64nvme": "rosUhgp5mIg="}, 409, "conflict")
}

// TestPartsOfAnotherLength: storage that took a part of another length, as S3 does without a
// signed length, cannot make the API complete it.
func TestPartsOfAnotherLength(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer := member("alpha", "writer")
	id, _ := w.openParts(t, "a", 10*mib, 2)
	w = w.restarted(func(d *uploadapi.Deps) { d.Storage = shorter{d.Storage} })
	got := w.refused(t, writer, "POST", "/v1/uploads/"+id+"/complete", fields{}, 422, "size_mismatch")
	if got.at("details.partNumber") != 2.0 {
		t.Errorf("no figures: %s", got.body)
	}
}

// shorter is storage in which each second part is short.
type shorter struct{ uploadapi.Storage }

func (s shorter) AllParts(ctx context.Context, u upload.Upload) ([]upload.Part, error) {
	parts, err := s.Storage.AllParts(ctx, u)
	for i := range parts {
		parts[i].Size -= int64(i % 2)
	}
	return parts, err
}

// TestAnothersParts tries to reach alpha's multipart upload as a member of beta.
func TestAnothersParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, etags := w.openParts(t, "a", 10*mib, 2)
	cursor := w.must(t, member("alpha", "reader"), "GET", "/v1/uploads/"+id+"/parts?limit=1", nil, 200).text("nextCursor")
	stranger := member("beta", "owner")
	for _, name := range []string{id, strings.ToLower(id), "x", "01KB3Z5V0QJ8W4N6T2M9R7XHCE", "..", "%2e%2e", "%00"} {
		w.refused(t, stranger, "GET", "/v1/uploads/"+name+"/parts", nil, 404, "not_found")
		w.refused(t, stranger, "GET", "/v1/uploads/"+name+"/parts?cursor="+cursor, nil, 404, "not_found")
		w.refused(t, stranger, "POST", "/v1/uploads/"+name+"/parts", fields{"partNumbers": []int{1}}, 404, "not_found")
		w.refused(t, stranger, "POST", "/v1/uploads/"+name+"/complete", fields{"parts": etags}, 404, "not_found")
		w.refused(t, stranger, "DELETE", "/v1/uploads/"+name, nil, 404, "not_found")
	}
	w.must(t, stranger, "POST", "/v1/uploads", inParts("b", 10*mib), 201)
	if got := w.must(t, member("alpha", "reader"), "GET", "/v1/uploads/"+id, nil, 200); got.text("state") != "uploading" {
		t.Errorf("alpha's upload: %s", got.body)
	}
}
