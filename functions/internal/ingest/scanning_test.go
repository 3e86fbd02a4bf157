package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/functions/internal/ingest"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/guarddutyscan"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/scan"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

const verdicts = "arn:aws:sqs:eu-west-1:123456789012:Verdicts"

// asked is what was submitted to a scanner that nobody runs.
type asked struct {
	ingest.Scanner
	world *world
	of    []scan.Request
}

func (a *asked) Submit(ctx context.Context, r scan.Request) error {
	return a.world.flaky.pass("Submit", func() error {
		a.of = append(a.of, r)
		return a.Scanner.Submit(ctx, r)
	})
}

// scanned is a world with a scanner.
func scanned(t *testing.T, w *world, s ingest.Scanner) (*world, *asked) {
	t.Helper()
	a := &asked{Scanner: s, world: w}
	w.parts.Scanner, w.parts.VerdictQueueARN = a, verdicts
	w.handler = ingest.New(w.parts)
	return w, a
}

// guardDuty is the sample of a result of GuardDuty's, about another version.
func guardDuty(t *testing.T, sample string, at object.Location) string {
	t.Helper()
	var ev map[string]any
	if err := json.Unmarshal(samples.Read("eventbridge/guardduty-"+sample), &ev); err != nil {
		t.Fatal(err)
	}
	of := ev["detail"].(map[string]any)["s3ObjectDetails"].(map[string]any)
	of["objectKey"], of["versionId"] = at.Key, at.VersionID
	text, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (w *world) object(t *testing.T, id string) object.Object {
	t.Helper()
	o, err := w.store.Object(t.Context(), alpha, id)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestScannersDecide: whatever a scanner says, and however often and in which order, an
// object is open only once it was said to be clean.
func TestScannersDecide(t *testing.T) {
	objects := startS3(t)
	for name, tc := range map[string]struct {
		said []string // by GuardDuty, after S3's event
		want object.State
		why  fault.Code // of the upload
	}{
		"nothing":                 {nil, object.Quarantined, ""},
		"clean":                   {[]string{"no-threats-found"}, object.Available, ""},
		"infected":                {[]string{"threats-found"}, object.Rejected, fault.MalwareFound},
		"unsupported":             {[]string{"unsupported"}, object.Quarantined, fault.ScanInconclusive},
		"failed":                  {[]string{"failed"}, object.Quarantined, fault.ScanInconclusive},
		"access denied":           {[]string{"access-denied"}, object.Quarantined, fault.ScanInconclusive},
		"failed, then clean":      {[]string{"failed", "no-threats-found"}, object.Available, ""},
		"failed, then infected":   {[]string{"failed", "threats-found"}, object.Rejected, fault.MalwareFound},
		"clean, then failed":      {[]string{"no-threats-found", "failed"}, object.Available, ""},
		"infected, then clean":    {[]string{"threats-found", "no-threats-found"}, object.Rejected, fault.MalwareFound},
		"clean, clean and failed": {[]string{"no-threats-found", "no-threats-found", "failed"}, object.Available, ""},
	} {
		for _, early := range []bool{false, true} { // the verdicts overtake S3's event
			t.Run(fmt.Sprintf("%s, early %t", name, early), func(t *testing.T) {
				w, a := scanned(t, newWorld(t, objects), guarddutyscan.New(bucket))
				u := w.open(t, "a", "image/png", png, nil)
				at := w.put(t, u, png)
				told := func() {
					if back := w.created(t, at); back != nil {
						t.Fatal("handed back")
					}
				}
				if !early {
					told()
					if verdict, _ := w.exists(t, at); verdict != "" || w.object(t, u.ObjectID).State != object.Quarantined {
						t.Fatalf("before any verdict the object is %s and tagged %q", w.object(t, u.ObjectID).State, verdict)
					}
				}
				for _, said := range tc.said {
					if back := w.deliverFrom(t, verdicts, guardDuty(t, said, at)); back != nil {
						t.Fatalf("handed back %q", said)
					}
				}
				told()
				o := w.object(t, u.ObjectID)
				verdict, stored := w.exists(t, at)
				if o.State != tc.want || (verdict == object.VerdictAvailable) != (tc.want == object.Available) || stored != (tc.want != object.Rejected) {
					t.Errorf("object is %s, stored %t with the verdict %q, want %s", o.State, stored, verdict, tc.want)
				}
				ended, err := w.store.Upload(t.Context(), alpha, u.ID)
				if err != nil || string(ended.State) != string(tc.want) || (ended.Reason != nil) != (tc.why != "") || ended.Reason != nil && ended.Reason.Code != tc.why {
					t.Errorf("upload is %s for %v, %v", ended.State, ended.Reason, err)
				}
				size := int64(len(png))
				wantUsed := map[object.State]workspace.Balance{
					object.Available:   {Stored: workspace.Amount{Bytes: size, Objects: 1}},
					object.Quarantined: {Reserved: workspace.Amount{Bytes: size, Objects: 1}},
					object.Rejected:    {},
				}[tc.want]
				if used := w.used(t); used.Stored != wantUsed.Stored || used.Reserved != wantUsed.Reserved {
					t.Errorf("quota is %+v", used)
				}
				inconclusive := 0
				for i, said := range tc.said {
					decided := slices.ContainsFunc(tc.said[:i], func(s string) bool { return s == "no-threats-found" || s == "threats-found" })
					if said != "no-threats-found" && said != "threats-found" && !decided {
						inconclusive++
					}
				}
				if got := w.counted(t, "ScanInconclusive"); got != inconclusive {
					t.Errorf("the alarm's metric is %d, want %d", got, inconclusive)
				}
				if len(w.dead.letters) > 0 || len(a.of) > 2 {
					t.Errorf("dead letters %v, submitted %v", w.dead.letters, a.of)
				}
			})
		}
	}
}

// TestNewVersionsWaitBesideTheirObject: an object stays open at the version that it has
// until the next one was said to be clean.
func TestNewVersionsWaitBesideTheirObject(t *testing.T) {
	w, _ := scanned(t, newWorld(t, startS3(t)), guarddutyscan.New(bucket))
	begin := func() (upload.Upload, object.Location) {
		u := w.open(t, "a", "image/png", png, func(u *upload.Upload) { u.IfExists = upload.NewVersion })
		at := w.put(t, u, png)
		w.created(t, at)
		return u, at
	}
	first, at := begin()
	w.deliverFrom(t, verdicts, guardDuty(t, "no-threats-found", at))
	want := func(rev int64, version string) {
		t.Helper()
		if o := w.object(t, first.ObjectID); o.State != object.Available || o.Rev != rev || o.Version != version {
			t.Errorf("object is %s at %s of rev %d, want %s of rev %d", o.State, o.Version, o.Rev, version, rev)
		}
	}
	want(2, first.ID)
	second, secondAt := begin()
	_, badAt := begin()
	want(2, first.ID)
	w.deliverFrom(t, verdicts, guardDuty(t, "threats-found", badAt))
	want(2, first.ID)
	w.deliverFrom(t, verdicts, guardDuty(t, "no-threats-found", secondAt))
	want(3, second.ID)
	if _, stored := w.exists(t, badAt); stored {
		t.Error("the infected version is still there")
	}
	if used := w.used(t); used.Reserved != (workspace.Amount{}) || used.Stored != (workspace.Amount{Bytes: 2 * int64(len(png)), Objects: 1}) {
		t.Errorf("quota is %+v", used)
	}
}

// TestScanInterruptedAnywhere lets the function die before and after each of its calls,
// delivers all messages again, and wants the same end every time.
func TestScanInterruptedAnywhere(t *testing.T) {
	objects := startS3(t)
	for _, said := range []string{"no-threats-found", "threats-found", "failed"} {
		for n, reached := 1, true; reached; n++ {
			reached = false
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/call %d after %t", said, n, after), func(t *testing.T) {
					w, a := scanned(t, newWorld(t, objects), guarddutyscan.New(bucket))
					u := w.open(t, "a", "image/png", png, nil)
					at := w.put(t, u, png)
					w.flaky.reset(n, after)
					deliver := func() bool {
						back := w.created(t, at)
						more := w.deliverFrom(t, verdicts, guardDuty(t, said, at))
						return back == nil && more == nil
					}
					reached = !deliver() || reached
					w.flaky.reset(0, false)
					for range 2 {
						if !deliver() {
							t.Fatal("handed back again")
						}
					}
					o := w.object(t, u.ObjectID)
					verdict, stored := w.exists(t, at)
					want := map[string]object.State{"no-threats-found": object.Available, "threats-found": object.Rejected, "failed": object.Quarantined}[said]
					if o.State != want || o.Rev > 2 || (verdict != "") != (want == object.Available) || stored == (want == object.Rejected) {
						t.Errorf("object is %s of rev %d, stored %t with the verdict %q", o.State, o.Rev, stored, verdict)
					}
					if used := w.used(t); used.Total() != used.Limit || want == object.Rejected && !used.Reserved.Plus(used.Stored).IsZero() {
						t.Errorf("quota is %+v", used)
					}
					if len(w.dead.letters) > 0 || want == object.Quarantined && len(a.of) == 0 {
						t.Errorf("dead letters %v, submitted %v", w.dead.letters, a.of)
					}
				})
			}
		}
	}
}

func TestAtMostSixCallsWithAScanner(t *testing.T) {
	w, _ := scanned(t, newWorld(t, startS3(t)), guarddutyscan.New(bucket))
	u := w.open(t, "a", "image/png", png, nil)
	at := w.put(t, u, png)
	w.flaky.reset(0, false)
	w.created(t, at)
	if diff := cmp.Diff([]string{"Upload", "Inspect", "Workspace", "FirstBytes", "Hold", "Submit"}, w.flaky.calls); diff != "" {
		t.Errorf("S3's event (-want +got):\n%s", diff)
	}
	w.flaky.reset(0, false)
	w.deliverFrom(t, verdicts, guardDuty(t, "no-threats-found", at))
	if diff := cmp.Diff([]string{"Upload", "Inspect", "Workspace", "FirstBytes", "SetVerdict", "Publish"}, w.flaky.calls); diff != "" {
		t.Errorf("the verdict (-want +got):\n%s", diff)
	}
}

// TestVerdictsThatDecideNothing: what cannot be read is kept, what is of others dropped.
func TestVerdictsThatDecideNothing(t *testing.T) {
	w, _ := scanned(t, newWorld(t, startS3(t)), guarddutyscan.New(bucket))
	u := w.open(t, "a", "image/png", png, nil)
	at := w.put(t, u, png)
	w.created(t, at)
	clean := guardDuty(t, "no-threats-found", at)
	for name, tc := range map[string]struct {
		body string
		dead bool
	}{
		"not JSON":              {`{`, true},
		"no event":              {`{}`, true},
		"S3's own":              {notification(t, "ObjectCreated:Put", at), true},
		"of another bucket":     {strings.Replace(clean, `"content"`, `"other"`, 1), true},
		"a result of no kind":   {strings.Replace(clean, "NO_THREATS_FOUND", "PROBABLY_FINE", 1), true},
		"no version":            {guardDuty(t, "no-threats-found", object.Location{Key: at.Key}), true},
		"of an unknown upload":  {guardDuty(t, "no-threats-found", object.Location{Key: object.Key(alpha, id(), id()), VersionID: "1"}), true},
		"of a key not content":  {guardDuty(t, "no-threats-found", object.Location{Key: "malware-protection-resource-validation-object", VersionID: "1"}), false},
		"of another version":    {guardDuty(t, "no-threats-found", object.Location{Key: at.Key, VersionID: id()}), false},
		"infected, of another":  {guardDuty(t, "threats-found", object.Location{Key: at.Key, VersionID: id()}), false},
		"clean by another name": {strings.Replace(clean, "GuardDuty Malware Protection Object Scan Result", "Object Scan Result", 1), true},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(w.dead.letters)
			if back := w.deliverFrom(t, verdicts, tc.body); back != nil {
				t.Error("handed back")
			}
			if dead := len(w.dead.letters) > before; dead != tc.dead {
				t.Errorf("dead-lettered is %t", dead)
			}
			if o := w.object(t, u.ObjectID); o.State != object.Quarantined {
				t.Errorf("the object is %s", o.State)
			}
		})
	}
	// A verdict that comes by S3's queue is none.
	before := len(w.dead.letters)
	w.deliver(t, clean)
	if o := w.object(t, u.ObjectID); o.State != object.Quarantined || len(w.dead.letters) != before+1 {
		t.Errorf("the object is %s, %d letters", o.State, len(w.dead.letters))
	}
}

// TestMalwareThatIsKnownLate is for a person to deal with.
func TestMalwareThatIsKnownLate(t *testing.T) {
	w, _ := scanned(t, newWorld(t, startS3(t)), guarddutyscan.New(bucket))
	u := w.open(t, "a", "image/png", png, nil)
	at := w.put(t, u, png)
	w.created(t, at)
	w.deliverFrom(t, verdicts, guardDuty(t, "no-threats-found", at), guardDuty(t, "threats-found", at))
	if w.object(t, u.ObjectID).State != object.Available || w.counted(t, "ScanMalwareInAvailable") != 1 {
		t.Error("it was not told")
	}
}

// TestScannerSwitchedOff: what waits is published when it is delivered again.
func TestScannerSwitchedOff(t *testing.T) {
	w, _ := scanned(t, newWorld(t, startS3(t)), scan.NewQueued(failing{}))
	u := w.open(t, "a", "image/png", png, nil)
	at := w.put(t, u, png)
	if back := w.created(t, at); back == nil {
		t.Error("it was not handed back, though the scanner's queue takes nothing")
	}
	if o := w.object(t, u.ObjectID); o.State != object.Quarantined {
		t.Fatalf("the object is %s", o.State)
	}
	w.parts.Scanner = nil
	w.handler = ingest.New(w.parts)
	if back := w.created(t, at); back != nil || w.object(t, u.ObjectID).State != object.Available {
		t.Errorf("handed back %v, the object is %s", back, w.object(t, u.ObjectID).State)
	}
}

// failing is a queue that takes nothing.
type failing struct{}

func (failing) Send(context.Context, []byte, time.Duration) error {
	return errors.New("the queue takes nothing")
}
