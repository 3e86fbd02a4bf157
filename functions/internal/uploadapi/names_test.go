package uploadapi_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"mime"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
)

// hostileNames is how many names TestHostileNames tries.
const hostileNames = 5000

// corpus reads the names of testdata.
func corpus(tb testing.TB) []string {
	tb.Helper()
	file, err := os.Open("testdata/hostile-names.txt")
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	var names []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		var name string
		if err := json.Unmarshal([]byte(line), &name); err != nil {
			tb.Fatalf("%s: %v", line, err)
		}
		names = append(names, name)
	}
	if len(names) < 300 {
		tb.Fatalf("%d names", len(names))
	}
	return names
}

// hostile returns n names: the corpus, and what comes of putting its names together, cutting
// them up and mixing them with characters of all of Unicode.
func hostile(tb testing.TB, n int) []string {
	tb.Helper()
	names := corpus(tb)
	given := len(names)
	random := rand.New(rand.NewPCG(3, 14))
	one := func() []rune { return []rune(names[random.IntN(given)]) }
	cut := func(r []rune) []rune { return r[:random.IntN(len(r)+1)] }
	for len(names) < n {
		var name string
		switch random.IntN(6) {
		case 0:
			name = string(one()) + string(one())
		case 1:
			name = string(one()) + "/" + string(one())
		case 2:
			name = string(cut(one())) + string(cut(one()))
		case 3:
			a := one()
			i := random.IntN(len(a) + 1)
			name = string(slices.Insert(a, i, rune(random.IntN(unicode.MaxRune+1))))
		case 4:
			name = strings.ToUpper(string(one())) + norm.NFD.String(string(one()))
		case 5:
			for range random.IntN(12) {
				name += string(rune(random.IntN(unicode.MaxRune + 1)))
			}
		}
		if utf8.ValidString(name) { // TestHostileBodies sends what is not
			names = append(names, name)
		}
	}
	return names
}

// TestHostileNames opens an upload under each name, with the name for a tag and a piece of
// metadata too. It is opened under exactly that name, which then does no harm anywhere, or
// refused with the field that is wrong and without taking quota.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(t, admin(), "PUT", "/v1/workspaces/alpha/quota", fields{
		"bytes": 1 << 40, "objects": 1 << 20, "openUploads": 1 << 20, "maxObjectBytes": 1 << 40, "writesPerSecond": 1_000_000, "writesBurst": 1_000_000,
	}, 200)
	names := hostile(t, hostileNames)
	var accepted, refused atomic.Int64
	var all sync.WaitGroup
	for lane := range 4 {
		all.Go(func() {
			for i := lane; i < len(names); i += 4 {
				if w.tryName(t, names[i]) {
					accepted.Add(1)
				} else {
					refused.Add(1)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d accepted, %d refused", accepted.Load(), refused.Load())
	if accepted.Load() < hostileNames/20 || refused.Load() < hostileNames/20 {
		t.Errorf("%d accepted, %d refused: the names test one side only", accepted.Load(), refused.Load())
	}
	if usage := w.usage(t, "alpha"); !strings.Contains(usage, fmt.Sprintf(`"openUploads":{"limit":1048576,"reserved":%d,`, accepted.Load())) {
		t.Errorf("%d accepted, usage %s", accepted.Load(), usage)
	}
	if strings.Contains(w.log.String(), "DROP TABLE") {
		t.Error("the log holds a name")
	}
}

// tryName reports whether an upload was opened under name.
func (w *world) tryName(t *testing.T, name string) bool {
	t.Helper()
	declared := declare(name, "x")
	declared["tags"], declared["metadata"] = fields{name: name}, fields{name: name}
	got := w.call(t, member("alpha", "writer"), "POST", "/v1/uploads", declared)
	for got.status == 429 { // held up for a second by a busy machine, while the others went on
		got = w.call(t, member("alpha", "writer"), "POST", "/v1/uploads", declared)
	}
	switch {
	case got.status == 400 && got.text("code") == "invalid_argument":
		locations := fmt.Sprint(got.at("errors"))
		if !strings.Contains(locations, "body.path") && !strings.Contains(locations, "body.tags") && !strings.Contains(locations, "body.metadata") {
			t.Errorf("%q: blames something else: %s", name, got.body)
		}
		return false
	case got.status == 201:
		w.harmless(t, name, got)
		return true
	default:
		t.Errorf("%q: %d %s", name, got.status, got.body)
		return false
	}
}

// harmless looks at where an accepted name ends up.
func (w *world) harmless(t *testing.T, name string, opened reply) {
	t.Helper()
	if opened.text("upload.path") != name || !norm.NFC.IsNormalString(name) || len(name) > 1024 {
		t.Errorf("%q was opened as %q", name, opened.text("upload.path"))
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment == "." || segment == ".." {
			t.Errorf("%q has the segment %q", name, segment)
		}
	}
	for _, r := range name {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			t.Errorf("%q holds %U", name, r)
		}
	}
	signed, err := url.Parse(opened.text("put.url"))
	if want := "/" + testBucket + "/" + object.Key("alpha", opened.text("upload.objectId"), opened.text("upload.id")); err != nil || signed.Path != want {
		t.Errorf("%q: signed for %s, want %s (%v)", name, signed.Path, want, err)
	}
	for header, value := range opened.at("put.headers").(fields) {
		if text := fmt.Sprint(value); len(name) > 3 && strings.Contains(text, name) && !strings.Contains("text/plain", name) {
			t.Errorf("%q is in the header %s: %s", name, header, text)
		}
	}
}

// TestHostileDownloads publishes objects under accepted names and downloads them: each browser
// is told the same name, in a header that holds nothing else.
func TestHostileDownloads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := hostile(t, 1500)
	downloaded := 0
	for i := 0; i < len(names) && downloaded < 60; i++ {
		name := names[(i*17)%len(names)]
		if object.ValidatePath(name) != nil {
			continue
		}
		opened := w.call(t, member("alpha", "writer"), "POST", "/v1/uploads", declare(name, "x"))
		if opened.status == 409 {
			continue // there already
		}
		if status, answer := send(t, opened, "x", nil); status != 200 {
			t.Fatalf("%q: %d %s", name, status, answer)
		}
		key := object.Key("alpha", opened.text("upload.objectId"), opened.text("upload.id"))
		id := w.settle(t, "alpha", opened.text("upload.id"), w.held(t, key)[0].VersionID, "x")
		read := w.must(t, member("alpha", "reader"), "GET", "/v1/objects/"+id+"/content", nil, 200)
		status, answer, header := storage(t, "GET", read.text("url"), nil, "")
		if status != 200 || answer != "x" {
			t.Fatalf("%q: %d %s", name, status, answer)
		}
		_, want := object.SplitPath(name)
		disposition, params, err := mime.ParseMediaType(header.Get("Content-Disposition"))
		if err != nil || disposition != "attachment" || params["filename"] != want || len(params) != 1 {
			t.Errorf("%q: %q reads as %v (%v)", name, header.Get("Content-Disposition"), params, err)
		}
		parent, _ := object.SplitPath(name)
		if listed := w.must(t, member("alpha", "reader"), "GET", "/v1/objects?limit=1000&parent="+url.QueryEscape(parent), nil, 200); !strings.Contains(listed.body, id) {
			t.Errorf("%q is not in its folder", name)
		}
		downloaded++
	}
	if downloaded < 60 {
		t.Errorf("%d downloads", downloaded)
	}
}

// TestHostileBodies: bodies that two readers would read differently, or not at all, are
// refused before anything is done.
func TestHostileBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.openParts(t, "open", 6*mib, 0)
	before := w.usage(t, "alpha")
	checksum := sum("x")
	with := func(members string) string {
		return `{"path":"a","size":1,"contentType":"text/plain","sha256":"` + checksum + `"` + members + `}`
	}
	bodies := map[string]string{
		"duplicate key":                `{"path":"a","path":"b","size":1,"contentType":"text/plain","sha256":"` + checksum + `"}`,
		"duplicate key, escaped":       with(`,"p\u0061th":"b"`),
		"duplicate key in tags":        with(`,"tags":{"a":"1","a":"2"}`),
		"key in another case":          with(`,"Mode":"multipart"`),
		"key that folds":               with(`,"tag\u017f":{}`),
		"invalid UTF-8 in a value":     strings.Replace(with(""), `"a"`, "\"\xff\"", 1),
		"invalid UTF-8 in a key":       with(",\"\xc3\x28\":1"),
		"UTF-8 of a surrogate":         strings.Replace(with(""), `"a"`, "\"\xed\xa0\x80\"", 1),
		"overlong UTF-8":               strings.Replace(with(""), `"a"`, "\"\xc0\xaf\"", 1),
		"unpaired surrogate":           strings.Replace(with(""), `"a"`, `"\ud800"`, 1),
		"surrogates the wrong way":     strings.Replace(with(""), `"a"`, `"\udc00\ud800"`, 1),
		"byte order mark":              "\ufeff" + with(""),
		"UTF-16":                       "{\x00\"\x00}\x00",
		"two values":                   with("") + with(""),
		"something after it":           with("") + "x",
		"nothing":                      "",
		"a blank":                      " ",
		"null":                         "null",
		"an array":                     "[" + with("") + "]",
		"text":                         `"{}"`,
		"a number":                     "1",
		"cut off":                      with("")[:40],
		"single quotes":                "{'path':'a'}",
		"a comment":                    "/**/" + with(""),
		"a trailing comma":             with(","),
		"nested deeply":                with(`,"tags":` + strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)),
		"nested arrays":                strings.Repeat("[", 100_000),
		"a number beyond 64 bits":      strings.Replace(with(""), `"size":1`, `"size":9223372036854775808`, 1),
		"a number with many digits":    strings.Replace(with(""), `"size":1`, `"size":1`+strings.Repeat("0", 100_000), 1),
		"an exponent":                  strings.Replace(with(""), `"size":1`, `"size":1e999999999`, 1),
		"NaN":                          strings.Replace(with(""), `"size":1`, `"size":NaN`, 1),
		"a form":                       "path=a&size=1",
		"control character in a value": strings.Replace(with(""), `"a"`, "\"a\x01\"", 1),
	}
	for name, body := range bodies {
		for _, path := range []string{"/v1/uploads", "/v1/uploads/" + id + "/parts", "/v1/uploads/" + id + "/complete"} {
			if got := w.call(t, member("alpha", "writer"), "POST", path, body); got.status != 400 || got.text("code") != string(fault.InvalidArgument) {
				t.Errorf("%s to %s: %d %s", name, path, got.status, got.body)
			}
		}
	}
	for _, size := range []int{1 << 20, 1<<20 + 1, 10 << 20} {
		body := with("")
		body += strings.Repeat(" ", size-len(body))
		want := 413
		if size <= 1<<20 {
			want = 201
		}
		if got := w.call(t, member("alpha", "writer"), "POST", "/v1/uploads", body); got.status != want {
			t.Errorf("%d bytes: %d %s, want %d", size, got.status, got.body, want)
		} else if want == 201 {
			w.must(t, member("alpha", "writer"), "DELETE", "/v1/uploads/"+got.text("upload.id"), nil, 204)
		}
	}
	w.refused(t, member("alpha", "writer"), "POST", "/v1/uploads", with(""), 415, "unsupported_media_type", "Content-Type", "text/xml")
	if after := w.usage(t, "alpha"); after != before {
		t.Errorf("usage %s, was %s", after, before)
	}
}
