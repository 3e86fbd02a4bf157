package uploadapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/functions/internal/uploadapi"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/upload"
)

const mib = 1 << 20

// inParts declares a multipart upload of size bytes in parts of 5 MiB.
func inParts(path string, size int) fields {
	return fields{"path": path, "size": size, "contentType": "application/octet-stream", "mode": "multipart", "partSize": 5 * mib}
}

// sendPart sends a signed part as a client does, with n bytes whatever was signed, and
// returns its status and ETag. The status is 0 when storage hung up on the bytes.
func sendPart(tb testing.TB, part any, fill byte, n int) (status int, etag string) {
	tb.Helper()
	p, _ := part.(fields)
	req, err := http.NewRequestWithContext(tb.Context(), fmt.Sprint(p["method"]), fmt.Sprint(p["url"]), bytes.NewReader(bytes.Repeat([]byte{fill}, n)))
	if err != nil {
		tb.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return 0, ""
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		tb.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("ETag")
}

// parts are the signed parts of an answer.
func (r reply) parts() []any {
	parts, _ := r.at("parts").([]any)
	return parts
}

// openParts opens a multipart upload and sends the first n parts of it.
func (w *world) openParts(tb testing.TB, path string, size, n int) (id string, etags []fields) {
	tb.Helper()
	opened := w.must(tb, member("alpha", "writer"), "POST", "/v1/uploads", inParts(path, size), 201)
	for i, part := range opened.parts()[:n] {
		p, _ := part.(fields)
		length, _ := p["size"].(float64)
		status, etag := sendPart(tb, part, byte('a'+i), int(length))
		if status != 200 {
			tb.Fatalf("part %d: %d", i+1, status)
		}
		etags = append(etags, fields{"partNumber": i + 1, "etag": etag})
	}
	return opened.text("upload.id"), etags
}

// TestMultipartJourney opens, loses its memory, finds what storage has, sends the rest and
// completes.
func TestMultipartJourney(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer, size := member("alpha", "writer"), 12*mib+5

	opened := w.must(t, writer, "POST", "/v1/uploads", inParts("raw.bin", size), 201)
	id := opened.text("upload.id")
	if opened.text("upload.state") != "uploading" || opened.at("upload.partSize") != 5.0*mib || opened.at("upload.partCount") != 3.0 ||
		len(opened.parts()) != 3 || opened.at("put") != nil || opened.header.Get("Location") != "/v1/uploads/"+id {
		t.Fatalf("opened: %s", opened.body)
	}
	last, _ := opened.parts()[2].(fields)
	if last["size"] != float64(size-10*mib) || last["partNumber"] != 3.0 {
		t.Errorf("last part: %v", last)
	}
	if status, _ := sendPart(t, opened.parts()[1], 'b', 5*mib); status != 200 {
		t.Fatalf("part 2: %d", status)
	}

	// Another machine, which knows the id alone.
	listed := w.must(t, writer, "GET", "/v1/uploads/"+id+"/parts", nil, 200)
	items, _ := listed.at("items").([]any)
	if len(items) != 1 || listed.at("partCount") != 3.0 || items[0].(fields)["partNumber"] != 2.0 || items[0].(fields)["size"] != 5.0*mib {
		t.Fatalf("parts: %s", listed.body)
	}
	signed := w.must(t, writer, "POST", "/v1/uploads/"+id+"/parts", fields{"partNumbers": []int{3, 1}}, 200)
	for i, length := range []int{size - 10*mib, 5 * mib} {
		if status, _ := sendPart(t, signed.parts()[i], 'x', length); status != 200 {
			t.Fatalf("part: %d", status)
		}
	}
	done := w.must(t, writer, "POST", "/v1/uploads/"+id+"/complete", fields{}, 200)
	if done.text("upload.state") != "uploaded" {
		t.Errorf("completed: %s", done.body)
	}
	if len(w.queue.messages) != 1 || strings.Contains(w.queue.messages[0], "X-Amz") {
		t.Errorf("messages: %q", w.queue.messages)
	}

	// Twice changes nothing; the parts are gone.
	w.must(t, writer, "POST", "/v1/uploads/"+id+"/complete", fields{}, 200)
	w.refused(t, writer, "GET", "/v1/uploads/"+id+"/parts", nil, 409, "conflict")
	w.refused(t, writer, "POST", "/v1/uploads/"+id+"/parts", fields{"partNumbers": []int{1}}, 409, "conflict")
	w.refused(t, writer, "DELETE", "/v1/uploads/"+id, nil, 409, "conflict")
	// Nothing can be added by a URL that is still good.
	if status, _ := sendPart(t, opened.parts()[0], 'y', 5*mib); status != 404 && status != 0 {
		t.Errorf("a part after completion: %d", status)
	}
	if got := w.usage(t, "alpha"); !strings.Contains(got, fmt.Sprintf(`"reserved":%d,"stored":0`, size)) {
		t.Errorf("usage before it is verified: %s", got)
	}
}

// TestFirstParts: an answer holds at most 100 signed parts, and the rest is signed on demand.
func TestFirstParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer := member("alpha", "writer")
	w.must(t, admin(), "PUT", "/v1/workspaces/alpha/quota", fields{"bytes": int64(1) << 50, "objects": 9, "openUploads": 9, "maxObjectBytes": int64(1) << 50}, 200)
	for _, tc := range []struct {
		size     int64
		partSize float64
		count    float64
		signed   int
	}{
		{1, 8 * mib, 1, 1},
		{8 * mib, 8 * mib, 1, 1},
		{8*mib + 1, 8 * mib, 2, 2},
		{100 * 8 * mib, 8 * mib, 100, 100},
		{100*8*mib + 1, 8 * mib, 101, 100},
		{80_000 * mib, 8 * mib, 10_000, 100},
		{80_000*mib + 1, 9 * mib, 8889, 100},
		{5 << 40, 525 * mib, 9987, 100},
	} {
		opened := w.must(t, writer, "POST", "/v1/uploads", fields{
			"path": fmt.Sprint("of-", tc.size), "size": tc.size, "contentType": "text/plain", "mode": "multipart",
		}, 201)
		if opened.at("upload.partSize") != tc.partSize || opened.at("upload.partCount") != tc.count || len(opened.parts()) != tc.signed {
			t.Errorf("%d bytes: %v parts of %v, %d signed; want %+v", tc.size, opened.at("upload.partCount"), opened.at("upload.partSize"), len(opened.parts()), tc)
		}
		w.must(t, writer, "DELETE", "/v1/uploads/"+opened.text("upload.id"), nil, 204)
	}
}

// TestPartsInPages reads the list of parts by cursor; a cursor is good for its own upload.
func TestPartsInPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer := member("alpha", "writer")
	id, _ := w.openParts(t, "a", 15*mib, 3)
	other, _ := w.openParts(t, "b", 15*mib, 0)
	var numbers []float64
	cursor := ""
	for range 5 {
		page := w.must(t, writer, "GET", "/v1/uploads/"+id+"/parts?limit=1&cursor="+cursor, nil, 200)
		items, _ := page.at("items").([]any)
		for _, item := range items {
			number, _ := item.(fields)["partNumber"].(float64)
			numbers = append(numbers, number)
		}
		if page.text("nextCursor") == "" {
			break
		}
		cursor = page.text("nextCursor")
		w.refused(t, writer, "GET", "/v1/uploads/"+other+"/parts?cursor="+cursor, nil, 400, "invalid_argument")
		w.refused(t, writer, "GET", "/v1/objects?cursor="+cursor, nil, 400, "invalid_argument")
	}
	if !slices.Equal(numbers, []float64{1, 2, 3}) {
		t.Errorf("parts %v", numbers)
	}
	if got := w.must(t, writer, "GET", "/v1/uploads/"+other+"/parts", nil, 200); !strings.Contains(got.body, `"items":[]`) {
		t.Errorf("parts of an upload without any: %s", got.body)
	}
}

// TestDeclaredChecksum: S3 compares it at the end, whenever it was declared.
func TestDeclaredChecksum(t *testing.T) {
	t.Parallel()
	const right, wrong = "rosUhgp5mIg=", "AAAAAAAAAAA=" // of "123456789"
	for _, tc := range []struct {
		name             string
		opening, closing string
		status           int
		code             string
	}{
		{"right at opening", right, "", 200, ""},
		{"right at completing", "", right, 200, ""},
		{"right twice", right, right, 200, ""},
		{"wrong at opening", wrong, "", 422, "checksum_mismatch"},
		{"wrong at completing", "", wrong, 422, "checksum_mismatch"},
		{"two different ones", right, wrong, 400, "invalid_argument"},
		{"no base64", "", "AAAAAAAAAA!=", 400, "invalid_argument"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			writer, declared := member("alpha", "writer"), inParts("nine", 9)
			if tc.opening != "" {
				declared["crc64nvme"] = tc.opening
			}
			opened := w.must(t, writer, "POST", "/v1/uploads", declared, 201)
			first, _ := opened.parts()[0].(fields)
			if status, _, _ := storage(t, "PUT", fmt.Sprint(first["url"]), nil, "123456789"); status != 200 {
				t.Fatalf("part: %d", status)
			}
			said := fields{}
			if tc.closing != "" {
				said["crc64nvme"] = tc.closing
			}
			route := "/v1/uploads/" + opened.text("upload.id") + "/complete"
			got := w.call(t, writer, "POST", route, said)
			if got.status != tc.status || got.text("code") != tc.code {
				t.Fatalf("%d %s", got.status, got.body)
			}
			if tc.status == 400 && !strings.Contains(got.body, `"location":"body.crc64nvme"`) {
				t.Errorf("blames something else: %s", got.body)
			}
			if tc.status != 200 { // it can be put right
				after := w.must(t, writer, "GET", "/v1/uploads/"+opened.text("upload.id"), nil, 200)
				if after.text("state") != "uploading" || tc.status == 422 && after.text("reason.code") != tc.code {
					t.Errorf("after the refusal: %s", after.body)
				}
			}
		})
	}
}

// unsure is storage whose answer to a completion is lost, before or after it had effect.
type unsure struct {
	uploadapi.Storage
	had bool
}

func (s unsure) CompleteMultipart(ctx context.Context, u upload.Upload, parts []upload.Part) error {
	if s.had {
		if err := s.Storage.CompleteMultipart(ctx, u, parts); err != nil {
			return err
		}
	}
	return fault.Wrap(fault.Unavailable, errors.New("connection reset"), "storage does not answer")
}

// TestSlowCompletion: what storage does not do in time is left to the queue, and nobody can
// abort it meanwhile.
func TestSlowCompletion(t *testing.T) {
	t.Parallel()
	for _, had := range []bool{false, true} {
		t.Run(fmt.Sprint("had effect ", had), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w = w.restarted(func(d *uploadapi.Deps) { d.Storage = unsure{d.Storage, had} })
			writer := member("alpha", "writer")
			id, etags := w.openParts(t, "slow", 6*mib, 2)
			said := fields{"parts": etags}
			got := w.must(t, writer, "POST", "/v1/uploads/"+id+"/complete", said, 202, "Idempotency-Key", "k")
			if got.text("upload.state") != "completing" {
				t.Errorf("answer: %s", got.body)
			}
			w.must(t, writer, "POST", "/v1/uploads/"+id+"/complete", said, 202, "Idempotency-Key", "k")
			w.must(t, writer, "POST", "/v1/uploads/"+id+"/complete", said, 202)
			w.refused(t, writer, "DELETE", "/v1/uploads/"+id, nil, 409, "conflict")
			if len(w.queue.messages) != 1 {
				t.Errorf("%d messages", len(w.queue.messages))
			}
			if after := w.usage(t, "alpha"); !strings.Contains(after, fmt.Sprintf(`"reserved":%d`, 6*mib)) {
				t.Errorf("usage: %s", after)
			}
		})
	}
}

// TestAbortParts: parts that arrived are discarded, and the quota is back at once.
func TestAbortParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer, before := member("alpha", "writer"), w.usage(t, "alpha")
	opened := w.must(t, writer, "POST", "/v1/uploads", inParts("a", 10*mib), 201)
	id := opened.text("upload.id")
	if status, _ := sendPart(t, opened.parts()[0], 'a', 5*mib); status != 200 {
		t.Fatal(status)
	}
	w.must(t, writer, "DELETE", "/v1/uploads/"+id, nil, 204)
	w.must(t, writer, "DELETE", "/v1/uploads/"+id, nil, 204)
	if after := w.usage(t, "alpha"); after != before {
		t.Errorf("usage %s, was %s", after, before)
	}
	if status, _ := sendPart(t, opened.parts()[1], 'b', 5*mib); status != 404 && status != 0 {
		t.Errorf("a part after the abort: %d", status)
	}
	w.refused(t, writer, "GET", "/v1/uploads/"+id+"/parts", nil, 409, "upload_ended")
	w.refused(t, writer, "POST", "/v1/uploads/"+id+"/parts", fields{"partNumbers": []int{1}}, 409, "upload_ended")
	w.refused(t, writer, "POST", "/v1/uploads/"+id+"/complete", fields{}, 409, "upload_ended")
}

// TestAbortAgainstComplete lets both happen at once, many times: one of them wins, and what
// is left fits.
func TestAbortAgainstComplete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer, before := member("alpha", "writer"), w.usage(t, "alpha")
	won := map[string]int{}
	for i := range 12 {
		opened := w.must(t, writer, "POST", "/v1/uploads", inParts(fmt.Sprint("p", i), 1000), 201)
		id := opened.text("upload.id")
		if status, _ := sendPart(t, opened.parts()[0], 'a', 1000); status != 200 {
			t.Fatal(status)
		}
		var completed, aborted reply
		var both sync.WaitGroup
		both.Go(func() { completed = w.call(t, writer, "POST", "/v1/uploads/"+id+"/complete", fields{}) })
		time.Sleep(time.Duration(i) * 500 * time.Microsecond) // an even start would always be won by the same one
		both.Go(func() { aborted = w.call(t, writer, "DELETE", "/v1/uploads/"+id, nil) })
		both.Wait()
		state := w.must(t, writer, "GET", "/v1/uploads/"+id, nil, 200).text("state")
		switch {
		case state == "aborted" && aborted.status == 204 && completed.status == 409:
		case state == "uploaded" && aborted.status == 409 && completed.status == 200:
		default:
			t.Errorf("upload is %s; complete: %d %s; abort: %d %s", state, completed.status, completed.body, aborted.status, aborted.body)
		}
		won[state]++
		if state == "uploaded" {
			w.settle(t, "alpha", id, "version-of-"+id, strings.Repeat("a", 1000))
		}
	}
	t.Logf("outcomes: %v", won)
	stored := 1000 * won["uploaded"]
	if after := w.usage(t, "alpha"); won["uploaded"] == 0 && after != before || !strings.Contains(after, fmt.Sprintf(`"reserved":0,"stored":%d`, stored)) {
		t.Errorf("usage: %s", after)
	}
}
