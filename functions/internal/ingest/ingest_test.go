package ingest_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

var (
	pdf = []byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n")
	png = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89")
	elf = append([]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00"), make([]byte, 64)...)
)

func TestVerdicts(t *testing.T) {
	objects := startS3(t)
	for name, tc := range map[string]struct {
		contentType string
		declared    []byte // what the upload says
		stored      []byte // what arrives; nil: the same
		edit        func(*upload.Upload)
		rejected    fault.Code
		detected    string
		integrity   object.Integrity
	}{
		"as declared":                       {contentType: "application/pdf", declared: pdf, detected: "application/pdf", integrity: object.Verified},
		"empty":                             {contentType: "image/png", declared: []byte{}, integrity: object.Verified},
		"with parameters":                   {contentType: "text/plain; charset=utf-8", declared: []byte("hello"), detected: "text/plain", integrity: object.Verified},
		"a kind of what was declared":       {contentType: "application/octet-stream", declared: pdf, detected: "application/pdf", integrity: object.Verified},
		"a text, as all texts are":          {contentType: "text/csv", declared: []byte("just words"), detected: "text/plain", integrity: object.Verified},
		"of a type nobody can tell":         {contentType: "application/x-own-format", declared: png, detected: "image/png", integrity: object.Verified},
		"larger than what is sniffed":       {contentType: "image/png", declared: append(bytes.Clone(png), make([]byte, 1<<20)...), detected: "image/png", integrity: object.Verified},
		"without a declared checksum":       {contentType: "image/png", declared: png, edit: multipartUpload, detected: "image/png", integrity: object.Recorded},
		"one byte short":                    {contentType: "image/png", declared: png, stored: png[:len(png)-1], rejected: fault.SizeMismatch},
		"one byte long":                     {contentType: "image/png", declared: png, stored: append(bytes.Clone(png), 0), rejected: fault.SizeMismatch},
		"one byte different":                {contentType: "image/png", declared: png, stored: append(bytes.Clone(png[:len(png)-1]), 0), rejected: fault.ChecksumMismatch},
		"another image type":                {contentType: "image/jpeg", declared: png, rejected: fault.UnsupportedType, detected: "image/png"},
		"no image at all":                   {contentType: "image/png", declared: []byte("<script>alert(1)</script>"), rejected: fault.UnsupportedType, detected: "text/html"},
		"noise for an image":                {contentType: "image/png", declared: []byte{0, 1, 2, 3, 0xfe}, rejected: fault.UnsupportedType, detected: "application/octet-stream"},
		"a program":                         {contentType: "application/x-executable", declared: elf, rejected: fault.UnsupportedType},
		"a program that says it is nothing": {contentType: "application/octet-stream", declared: elf, rejected: fault.UnsupportedType, detected: "application/x-executable"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, objects)
			before := w.used(t)
			u := w.open(t, "folder/file", tc.contentType, tc.declared, tc.edit)
			if tc.stored == nil {
				tc.stored = tc.declared
			}
			at := w.put(t, u, tc.stored)
			if back := w.created(t, at); back != nil {
				t.Fatalf("handed back, errors are in the log")
			}
			o, err := w.store.Object(t.Context(), alpha, u.ObjectID)
			if err != nil {
				t.Fatal(err)
			}
			verdict, stored := w.exists(t, at)
			if tc.rejected != "" {
				if o.State != object.Rejected || o.Reason == nil || o.Reason.Code != tc.rejected || o.Reason.Detail == "" {
					t.Errorf("object is %s for %+v, want rejected for %s", o.State, o.Reason, tc.rejected)
				}
				if stored {
					t.Error("the bytes are still there")
				}
				if diff := cmp.Diff(before, w.used(t)); diff != "" {
					t.Errorf("quota (-before +after):\n%s", diff)
				}
			} else {
				if o.State != object.Available || o.S3VersionID != at.VersionID || o.Integrity != tc.integrity || o.Size != int64(len(tc.stored)) {
					t.Errorf("object is %+v", o)
				}
				if !stored || verdict != object.VerdictAvailable {
					t.Errorf("stored %t with the verdict %q", stored, verdict)
				}
				if got := w.used(t); got.Stored != (workspace.Amount{Bytes: int64(len(tc.stored)), Objects: 1}) || got.Reserved != (workspace.Amount{}) {
					t.Errorf("quota is %+v", got)
				}
			}
			if o.DetectedType != tc.detected {
				t.Errorf("detected %q, want %q", o.DetectedType, tc.detected)
			}
			if len(w.dead.letters) > 0 {
				t.Errorf("dead letters: %v", w.dead.letters)
			}
		})
	}
}

// TestEveryWayOfCreation: however S3 says that an object came, it is verified.
func TestEveryWayOfCreation(t *testing.T) {
	w := newWorld(t, startS3(t))
	for _, sample := range []string{"s3/object-created-put", "s3/object-created-post", "s3/object-created-copy", "s3/object-created-multipart"} {
		u := w.open(t, sample, "image/png", png, nil)
		at := w.put(t, u, png)
		if back := w.deliver(t, about(t, sample, at, nil)); back != nil {
			t.Errorf("%s was handed back", sample)
		}
		if o, err := w.store.Object(t.Context(), alpha, u.ObjectID); err != nil || o.State != object.Available {
			t.Errorf("%s: object is %+v, %v", sample, o, err)
		}
	}
}

// multipartUpload has no checksum declared.
func multipartUpload(u *upload.Upload) {
	u.SHA256, u.Mode, u.PartSize = "", upload.Multipart, upload.DefaultPartSize(u.Size)
}

// TestWhatIsLate: versions that arrive after their upload has ended, or again, are
// deleted for good and change nothing else.
func TestWhatIsLate(t *testing.T) {
	objects := startS3(t)

	t.Run("the same event again", func(t *testing.T) {
		w := newWorld(t, objects)
		u := w.open(t, "a", "image/png", png, nil)
		at := w.put(t, u, png)
		w.created(t, at)
		used := w.used(t)
		if back := w.created(t, at); back != nil {
			t.Error("handed back")
		}
		if verdict, stored := w.exists(t, at); !stored || verdict != object.VerdictAvailable {
			t.Errorf("stored %t with the verdict %q", stored, verdict)
		}
		o, err := w.store.Object(t.Context(), alpha, u.ObjectID)
		if err != nil || o.Rev != 1 {
			t.Errorf("object has rev %d, error %v: want 1", o.Rev, err)
		}
		if diff := cmp.Diff(used, w.used(t)); diff != "" {
			t.Errorf("quota (-before +after):\n%s", diff)
		}
	})

	t.Run("another version of a published key", func(t *testing.T) {
		w := newWorld(t, objects)
		u := w.open(t, "a", "image/png", png, nil)
		at := w.put(t, u, png)
		w.created(t, at)
		used := w.used(t)
		late := w.put(t, u, png)
		if back := w.created(t, late); back != nil {
			t.Error("handed back")
		}
		if _, stored := w.exists(t, late); stored {
			t.Error("the late version is still there")
		}
		if _, stored := w.exists(t, at); !stored {
			t.Error("the published version is gone")
		}
		if diff := cmp.Diff(used, w.used(t)); diff != "" {
			t.Errorf("quota (-before +after):\n%s", diff)
		}
	})

	for _, end := range []struct {
		event upload.Event
		by    upload.Actor
	}{{upload.Abort, upload.Client}, {upload.Expire, upload.Sweeper}} {
		t.Run("after "+string(end.event), func(t *testing.T) {
			w := newWorld(t, objects)
			before := w.used(t)
			u := w.open(t, "a", "image/png", png, nil)
			if _, err := w.store.EndUpload(t.Context(), alpha, u.ID, end.event, end.by); err != nil {
				t.Fatal(err)
			}
			at := w.put(t, u, png)
			if back := w.created(t, at); back != nil {
				t.Error("handed back")
			}
			if _, stored := w.exists(t, at); stored {
				t.Error("the bytes are still there")
			}
			if _, err := w.store.Object(t.Context(), alpha, u.ObjectID); !fault.Is(err, fault.NotFound) {
				t.Errorf("an object came of it: %v", err)
			}
			if diff := cmp.Diff(before, w.used(t)); diff != "" {
				t.Errorf("quota (-before +after):\n%s", diff)
			}
		})
	}

	t.Run("seals", func(t *testing.T) {
		for name, end := range map[string]func(w *world, u upload.Upload){
			"of an aborted upload": func(w *world, u upload.Upload) {
				if _, err := w.store.EndUpload(t.Context(), alpha, u.ID, upload.Abort, upload.Client); err != nil {
					t.Fatal(err)
				}
			},
			"of a rejected upload": func(w *world, u upload.Upload) { w.created(t, w.put(t, u, pdf)) },
		} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, objects)
				u := w.open(t, "a", "image/png", png, nil)
				end(w, u)
				if err := w.flaky.sealer.Seal(t.Context(), u.S3Key); err != nil {
					t.Fatal(err)
				}
				held, err := w.flaky.sealer.Held(t.Context(), u.S3Key)
				if err != nil || len(held) != 1 {
					t.Fatalf("the key holds %v, %v", held, err)
				}
				w.flaky.reset(0, false)
				if back := w.deliver(t, notificationOf(t, "ObjectCreated:Put", held[0].Location, 0)); back != nil {
					t.Error("handed back")
				}
				if _, stored := w.exists(t, held[0].Location); !stored {
					t.Error("the seal is gone")
				}
				if diff := cmp.Diff([]string{"Upload"}, w.flaky.calls); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
			})
		}
	})

	t.Run("a rejected key is closed to a replay", func(t *testing.T) {
		w := newWorld(t, objects)
		u := w.open(t, "a", "image/png", png, nil)
		w.created(t, w.put(t, u, pdf))
		held, err := w.flaky.sealer.Held(t.Context(), u.S3Key)
		if err != nil || len(held) != 1 || !held[0].Seal() {
			t.Errorf("the key holds %v, %v", held, err)
		}
	})

	t.Run("an empty object that is rejected", func(t *testing.T) {
		w := newWorld(t, objects)
		before := w.used(t)
		u := w.open(t, "a", "image/png", nil, nil)
		u2 := w.open(t, "a", "text/plain", nil, nil)
		at := w.put(t, u2, nil)
		w.deliver(t, notificationOf(t, "ObjectCreated:Put", w.put(t, u, nil), 0), notificationOf(t, "ObjectCreated:Put", at, 0))
		for _, u := range []upload.Upload{u, u2} {
			now, err := w.store.Upload(t.Context(), alpha, u.ID)
			if err != nil || !now.State.Ended() || len(now.Reservation) > 0 {
				t.Errorf("%s is %s holding %v, %v", u.ContentType, now.State, now.Reservation, err)
			}
		}
		if used := w.used(t); used.Reserved != before.Reserved || used.Stored.Bytes != 0 {
			t.Errorf("quota is %+v", used)
		}
	})

	t.Run("a second version of a rejected key", func(t *testing.T) {
		w := newWorld(t, objects)
		before := w.used(t)
		u := w.open(t, "a", "image/png", png, nil)
		first := w.put(t, u, pdf)
		w.created(t, first)
		second := w.put(t, u, png)
		if back := w.created(t, second); back != nil {
			t.Error("handed back")
		}
		for _, at := range []object.Location{first, second} {
			if _, stored := w.exists(t, at); stored {
				t.Errorf("%s is still there", at)
			}
		}
		if diff := cmp.Diff(before, w.used(t)); diff != "" {
			t.Errorf("quota (-before +after):\n%s", diff)
		}
	})
}

// TestManyDeliveriesAtOnce: the same events several times over in one batch, handled at
// the same time.
func TestManyDeliveriesAtOnce(t *testing.T) {
	w := newWorld(t, startS3(t))
	var bodies []string
	var good, bad []upload.Upload
	for i := range 3 {
		g, b := w.open(t, fmt.Sprint("good", i), "image/png", png, nil), w.open(t, fmt.Sprint("bad", i), "image/png", png, nil)
		good, bad = append(good, g), append(bad, b)
		for _, at := range []object.Location{w.put(t, g, png), w.put(t, b, pdf)} {
			one := notification(t, "ObjectCreated:Put", at)
			bodies = append(bodies, one, one, one)
		}
	}
	for back := w.deliver(t, bodies...); back != nil; {
		var again []string
		for _, i := range back {
			again = append(again, bodies[i])
		}
		bodies = again
		back = w.deliver(t, bodies...)
	}
	for _, u := range good {
		if o, err := w.store.Object(t.Context(), alpha, u.ObjectID); err != nil || o.State != object.Available || o.Rev != 1 {
			t.Errorf("%s is %+v, error %v", u.Path, o, err)
		}
	}
	for _, u := range bad {
		if o, err := w.store.Object(t.Context(), alpha, u.ObjectID); err != nil || o.State != object.Rejected || o.Rev != 1 {
			t.Errorf("%s is %+v, error %v", u.Path, o, err)
		}
	}
	want := workspace.Amount{Bytes: int64(3 * len(png)), Objects: 3}
	if got := w.used(t); got.Stored != want || got.Reserved != (workspace.Amount{}) || len(w.dead.letters) > 0 {
		t.Errorf("quota %+v, dead letters %v", got, w.dead.letters)
	}
}

func TestRaceForAPath(t *testing.T) {
	objects := startS3(t)
	for name, tc := range map[string]struct {
		ifExists upload.IfExists
		rejected fault.Code
	}{
		"fail":    {upload.Fail, fault.PathTaken},
		"version": {upload.NewVersion, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, objects)
			first := w.open(t, "a", "image/png", png, nil)
			second := w.open(t, "a", "image/png", png, func(u *upload.Upload) { u.IfExists = tc.ifExists })
			w.created(t, w.put(t, first, png))
			at := w.put(t, second, png)
			if back := w.created(t, at); back != nil {
				t.Fatal("handed back")
			}
			_, stored := w.exists(t, at)
			if stored != (tc.rejected == "") {
				t.Errorf("stored is %t", stored)
			}
			winner, err := w.store.Object(t.Context(), alpha, first.ObjectID)
			if err != nil {
				t.Fatal(err)
			}
			if tc.rejected == "" {
				if winner.Version != second.ID || winner.Rev != 2 || winner.S3Key != second.S3Key {
					t.Errorf("the winner's current version is %s of rev %d under %s", winner.Version, winner.Rev, winner.S3Key)
				}
				return
			}
			loser, err := w.store.Object(t.Context(), alpha, second.ObjectID)
			if err != nil || loser.State != object.Rejected || loser.Reason.Code != tc.rejected {
				t.Errorf("the loser is %+v, error %v", loser, err)
			}
			if got := w.used(t); got.Stored.Bytes != int64(len(png)) || got.Reserved != (workspace.Amount{}) {
				t.Errorf("quota is %+v", got)
			}
		})
	}
}

// TestInterruptedAnywhere lets the function die before and after each of its calls,
// delivers the event again, and wants the same end every time.
func TestInterruptedAnywhere(t *testing.T) {
	objects := startS3(t)
	for name, body := range map[string][]byte{"published": png, "rejected": pdf[:len(png)]} {
		for n := 1; ; n++ {
			reached := false
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/call %d after %t", name, n, after), func(t *testing.T) {
					w := newWorld(t, objects)
					before := w.used(t)
					u := w.open(t, "a", "image/png", png, func(u *upload.Upload) { u.SHA256 = sha(body) })
					at := w.put(t, u, body)
					w.flaky.reset(n, after)
					back := w.created(t, at)
					calls := w.flaky.calls
					reached = len(calls) >= n
					if reached != (back != nil) {
						t.Fatalf("handed back %v after the calls %v", back, calls)
					}
					w.flaky.reset(0, false)
					if back := w.created(t, at); back != nil {
						t.Fatalf("handed back again; the calls had been %v", calls)
					}
					o, err := w.store.Object(t.Context(), alpha, u.ObjectID)
					if err != nil {
						t.Fatal(err)
					}
					verdict, stored := w.exists(t, at)
					used := w.used(t)
					switch {
					case o.Rev != 1:
						t.Errorf("object has rev %d", o.Rev)
					case name == "published" && (o.State != object.Available || verdict != object.VerdictAvailable || used.Stored.Bytes != int64(len(png))):
						t.Errorf("object is %s, verdict %q, quota %+v", o.State, verdict, used)
					case name == "rejected" && (o.State != object.Rejected || o.Reason.Code != fault.UnsupportedType || stored || used != before):
						t.Errorf("object is %s for %+v, stored %t, quota %+v", o.State, o.Reason, stored, used)
					}
					if len(w.dead.letters) > 0 {
						t.Errorf("dead letters: %v", w.dead.letters)
					}
				})
			}
			if !reached {
				break
			}
		}
	}
}

// TestOvertakenAnywhere has another delivery of the same event come and go before
// each of the calls of the first one, and wants the end that one alone has.
func TestOvertakenAnywhere(t *testing.T) {
	objects := startS3(t)
	for name, body := range map[string][]byte{"published": png, "rejected": pdf[:len(png)]} {
		for n, reached := 1, true; reached; n++ {
			reached = false
			t.Run(fmt.Sprintf("%s/before call %d", name, n), func(t *testing.T) {
				w := newWorld(t, objects)
				before := w.used(t)
				u := w.open(t, "a", "image/png", png, func(u *upload.Upload) { u.SHA256 = sha(body) })
				at := w.put(t, u, body)
				w.flaky.before = func(call int) {
					if call == n {
						reached = true
						w.created(t, at)
					}
				}
				w.flaky.reset(0, false)
				for again := 0; w.created(t, at) != nil; again++ {
					if again == 3 {
						t.Fatal("handed back again and again")
					}
				}
				o, err := w.store.Object(t.Context(), alpha, u.ObjectID)
				_, stored := w.exists(t, at)
				published := name == "published"
				if err != nil || o.Rev != 1 || (o.State == object.Available) != published || stored != published || !published && w.used(t) != before {
					t.Errorf("object is %+v, error %v, stored %t, quota %+v", o, err, stored, w.used(t))
				}
				if len(w.dead.letters) > 0 {
					t.Errorf("dead letters: %v", w.dead.letters)
				}
			})
		}
	}
}

func TestAtMostSixCalls(t *testing.T) {
	w := newWorld(t, startS3(t))
	for _, size := range []int{0, 5 << 10, 5 << 20} {
		body := append(bytes.Clone(png), make([]byte, size)...)
		u := w.open(t, fmt.Sprint(size), "image/png", body, nil)
		at := w.put(t, u, body)
		w.flaky.reset(0, false)
		w.created(t, at)
		if want := []string{"Upload", "Inspect", "Workspace", "FirstBytes", "SetVerdict", "Publish"}; !cmp.Equal(want, w.flaky.calls) {
			t.Errorf("%d bytes took the calls %v, want %v", size, w.flaky.calls, want)
		}
	}
}
