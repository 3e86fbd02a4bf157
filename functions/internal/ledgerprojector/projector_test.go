package ledgerprojector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/jackc/pgx/v5"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/functions/internal/ledgerprojector"
	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/event"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// texts are files by their keys.
type texts struct {
	mu    sync.Mutex
	files map[string]string
	fail  error
	reads int
}

func (s *texts) Beginning(_ context.Context, key string, most int) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	text, ok := s.files[key]
	switch {
	case s.fail != nil:
		return nil, s.fail
	case !ok:
		return nil, fault.New(fault.NotFound, "storage does not show it")
	}
	return []byte(text)[:min(most, len(text))], nil
}

// letters are the dead letters' causes, by id.
type letters struct {
	mu   sync.Mutex
	held map[string]error
}

func (l *letters) Put(_ context.Context, letter batch.Letter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[string]error{}
	}
	l.held[letter.ID] = letter.Err
	return nil
}

type world struct {
	handler *ledgerprojector.Handler
	texts   *texts
	letters *letters
	admin   *pgx.Conn
	log     *bytes.Buffer
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	d := pgtest.New(tb)
	w := &world{texts: &texts{files: map[string]string{}}, letters: &letters{}, admin: d.Admin(tb), log: &bytes.Buffer{}}
	log, metrics := slog.New(slog.NewJSONHandler(w.log, nil)), observe.NewMetrics(w.log, "projector", time.Now)
	w.handler = ledgerprojector.New(ledgerprojector.Parts{
		Books: d.Open(tb, pgtest.Writer), Texts: w.texts, DeadLetters: w.letters,
		Observer: observe.NewRecords(metrics, observe.NoTracer(), log, time.Now), Metrics: metrics, Log: log, Now: time.Now,
	})
	return w
}

func message(tb testing.TB, id string, e event.Event) events.SQSMessage {
	tb.Helper()
	detail, err := json.Marshal(e)
	if err != nil {
		tb.Fatal(err)
	}
	body, err := json.Marshal(map[string]json.RawMessage{"detail": detail, "detail-type": json.RawMessage(`"` + e.Type + `"`)})
	if err != nil {
		tb.Fatal(err)
	}
	return events.SQSMessage{MessageId: id, Body: string(body), EventSourceARN: "arn:aws:sqs:eu-central-1:000000000000:Ledger"}
}

func (w *world) handle(tb testing.TB, messages ...events.SQSMessage) []string {
	tb.Helper()
	resp, err := w.handler.Handle(tb.Context(), events.SQSEvent{Records: messages})
	if err != nil {
		tb.Fatal(err)
	}
	var back []string
	for _, f := range resp.BatchItemFailures {
		back = append(back, f.ItemIdentifier)
	}
	return back
}

func (w *world) one(tb testing.TB, sql string, args ...any) (s string) {
	tb.Helper()
	if err := w.admin.QueryRow(tb.Context(), sql, args...).Scan(&s); err != nil {
		tb.Fatal(err)
	}
	return s
}

const someID = "01KB3Z5V0QJ8W4N6T2M9R7XHCE"

func anObject(rev, stored int64) *object.Object {
	return &object.Object{
		Workspace: "alpha", ID: someID, Path: "docs/notes.txt", Parent: "docs", Name: "notes.txt", State: object.Available, Rev: rev,
		Version: someID, Size: stored, Stored: stored, ContentType: "text/plain", DetectedType: "text/plain; charset=utf-8",
		UpdatedAt: time.Date(2026, 11, 3, 4, 5, 6, 7e6, time.UTC).Add(time.Duration(rev) * time.Hour), Tags: map[string]string{"k": "v"},
	}
}

// life is the events of an object: published, a new version, retagged, deleted, purged.
func life() []event.Event {
	one, two, three, four := anObject(1, 10), anObject(2, 30), anObject(3, 30), anObject(4, 30)
	two.Version, three.Version, four.Version = "01KB3Z5V0QJ8W4N6T2M9R7XHCF", "01KB3Z5V0QJ8W4N6T2M9R7XHCF", "01KB3Z5V0QJ8W4N6T2M9R7XHCF"
	four.State = object.Deleted
	var all []event.Event
	for _, step := range [][2]*object.Object{{nil, one}, {one, two}, {two, three}, {three, four}, {four, nil}} {
		e, _ := event.FromTransition(step[0], step[1])
		if e.Type == event.Purged {
			e.Time = e.Time.Add(time.Hour)
		}
		all = append(all, e)
	}
	return all
}

const booksSQL = `SELECT coalesce(string_agg(k, E'\n' ORDER BY k), '') FROM (
	SELECT class || ' ' || object || ' ' || at || ' ' || sum(bytes) AS k FROM stowage.entries WHERE account = 'stored' GROUP BY class, object, at HAVING sum(bytes) <> 0) x`

// TestAnyOrder: a life's events in any order, twice and in batches, make the same books.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	want := ""
	for run := range 8 {
		w := newWorld(t)
		all := life()
		if run > 0 {
			all = append(all, all...)
			rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		}
		for begin := 0; begin < len(all); begin += 3 {
			var messages []events.SQSMessage
			for i, e := range all[begin:min(begin+3, len(all))] {
				messages = append(messages, message(t, fmt.Sprintf("m%d", begin+i), e))
			}
			if back := w.handle(t, messages...); len(back) > 0 {
				t.Fatalf("handed back %q, dead letters %v", back, w.letters.held)
			}
		}
		got := w.one(t, booksSQL) + "\n" + w.one(t, "SELECT rev || ' ' || state || ' ' || path FROM stowage.documents")
		if run == 0 {
			want = got
			if strings.Count(got, "\n") != 3 || !strings.HasSuffix(got, "\n5 purged ") {
				t.Fatalf("books are\n%s", got)
			}
		}
		if got != want {
			t.Errorf("books are\n%s\nwant\n%s", got, want)
		}
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _ := event.FromTransition(nil, anObject(1, 10))
	w.texts.files[object.Key("alpha", someID, someID)] = "some \x00 text" + strings.Repeat("x", 100_000)
	w.texts.fail = fault.New(fault.Unavailable, "storage is not available")
	if back := w.handle(t, message(t, "m1", e)); len(back) != 1 {
		t.Errorf("storage was away, and %q was handed back", back)
	}
	w.texts.fail = nil
	if back := w.handle(t, message(t, "m1", e)); len(back) != 0 {
		t.Errorf("handed back %q", back)
	}
	if got := w.one(t, "SELECT left(body, 11) || length(body) FROM stowage.documents"); got != "some   text65536" {
		t.Errorf("text is %q", got)
	}
	reads := w.texts.reads
	for name, change := range map[string]func(*object.Object){
		"a picture":     func(o *object.Object) { o.ContentType, o.DetectedType = "image/png", "image/png" },
		"said to be":    func(o *object.Object) { o.DetectedType = "application/zip" },
		"large":         func(o *object.Object) { o.Size = 1<<20 + 1 },
		"empty":         func(o *object.Object) { o.Size = 0 },
		"in quarantine": func(o *object.Object) { o.State = object.Quarantined },
		"rejected":      func(o *object.Object) { o.State = object.Rejected },
	} {
		o := anObject(1, 10)
		o.ID = fmt.Sprintf("01KB3Z5V0QJ8W4N6T2M9R7XH%02d", len(name))
		change(o)
		e, _ := event.FromTransition(nil, o)
		if back := w.handle(t, message(t, name, e)); len(back) > 0 || w.texts.reads != reads {
			t.Errorf("%s: handed back %q after %d reads", name, back, w.texts.reads-reads)
		}
	}
}

// TestPoison: what can never be booked goes to the dead letters, and holds up nothing.
func TestPoison(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good, _ := event.FromTransition(nil, anObject(1, 10))
	bad := func(change func(*event.Event)) event.Event {
		e := good
		change(&e)
		return e
	}
	messages := []events.SQSMessage{
		{MessageId: "no JSON", Body: "{"},
		{MessageId: "no detail", Body: "{}"},
		message(t, "no workspace", bad(func(e *event.Event) { e.Workspace = "A B" })),
		message(t, "no object", bad(func(e *event.Event) { e.Subject = "x" })),
		message(t, "no rev", bad(func(e *event.Event) { e.Rev = 0 })),
		message(t, "no time", bad(func(e *event.Event) { e.Time = time.Time{} })),
		message(t, "below 0", bad(func(e *event.Event) { e.Data.Stored = -1 })),
		message(t, "class", bad(func(e *event.Event) { e.Data.StorageClass = "GOLD" })),
		message(t, "good", good),
	}
	if back := w.handle(t, messages...); len(back) > 0 {
		t.Errorf("handed back %q", back)
	}
	if len(w.letters.held) != len(messages)-1 || w.one(t, "SELECT count(*)::text FROM stowage.facts") != "1" {
		t.Errorf("dead letters are %v", w.letters.held)
	}
}

// TestSample books the documented shape.
func TestSample(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ev events.SQSEvent
	if err := json.Unmarshal(samples.Read("sqs/object-available-image"), &ev); err != nil {
		t.Fatal(err)
	}
	if back := w.handle(t, ev.Records...); len(back) > 0 {
		t.Errorf("handed back %q", back)
	}
	if got := w.one(t, "SELECT bytes || ' ' || class FROM stowage.holdings"); got != "2009097 INTELLIGENT_TIERING" {
		t.Errorf("it holds %s", got)
	}
}

// TestHandsBack: what could not be booked for now is handed back, all of it.
func TestHandsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _ := event.FromTransition(nil, anObject(1, 10))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the time is up"))
	resp, err := w.handler.Handle(ctx, events.SQSEvent{Records: []events.SQSMessage{message(t, "m1", e)}})
	if err != nil || len(resp.BatchItemFailures) != 1 {
		t.Errorf("%+v, %v", resp, err)
	}
}

// TestForgettingIsNoEventsMatter: where words cannot be forgotten, what is booked is booked,
// and the log says so.
func TestForgettingIsNoEventsMatter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.admin.Exec(t.Context(), "CREATE OR REPLACE FUNCTION stowage.forget_words(millis int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$"); err != nil {
		t.Fatal(err)
	}
	for i, e := range life() {
		if back := w.handle(t, message(t, fmt.Sprint(i), e)); len(back) > 0 || len(w.letters.held) > 0 {
			t.Errorf("event %d: %v came back, %v are dead", i, back, w.letters.held)
		}
	}
	if !strings.Contains(w.log.String(), "words that objects have lost were not looked up") {
		t.Errorf("the log is\n%s", w.log)
	}
}

// delivered is a message at its n-th delivery.
func delivered(m events.SQSMessage, n int) events.SQSMessage {
	m.Attributes = map[string]string{"ApproximateReceiveCount": strconv.Itoa(n)}
	return m
}

// TestOutagesAreOutlasted: as long as the queue delivers, whoever is away.
func TestOutagesAreOutlasted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, _ := event.FromTransition(nil, anObject(1, 10))
	m := message(t, "m1", e)
	last := func(what string) {
		t.Helper()
		if back := w.handle(t, delivered(m, 1000)); len(back) != 1 || len(w.letters.held) > 0 {
			t.Errorf("%s: handed back %q, gave up %v", what, back, w.letters.held)
		}
	}
	w.texts.fail = fault.New(fault.Unavailable, "storage is not available")
	last("storage is away")
	w.texts.fail = nil
	for what, code := range map[string]string{"the disk is full": "53100", "a file cannot be read": "58030", "nobody is let in": "28000", "a lock is not to be had": "55P03"} {
		w.refuse(t, "true", code)
		last(what)
	}
	w.accept(t)
	if back := w.handle(t, delivered(m, 1000)); len(back) > 0 || w.one(t, "SELECT count(*)::text FROM stowage.facts") != "1" {
		t.Errorf("when all is well again it hands back %q", back)
	}
}

// TestWhatNobodyForesawIsGivenUp: after some deliveries, alone, and not at once.
func TestWhatNobodyForesawIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refuse(t, "NEW.bytes = 13", "23514")
	bad := anObject(1, 13)
	bad.ID = someID[:len(someID)-1] + "F"
	poison, _ := event.FromTransition(nil, bad)
	good, _ := event.FromTransition(nil, anObject(1, 10))
	for n := 1; n <= 20; n++ {
		back := w.handle(t, delivered(message(t, "poison", poison), n), delivered(message(t, "good", good), n))
		if n < 20 && (len(back) != 1 || back[0] != "poison" || len(w.letters.held) > 0) || n == 20 && (len(back) > 0 || len(w.letters.held) != 1) {
			t.Errorf("at delivery %d: handed back %q, gave up %v", n, back, w.letters.held)
		}
	}
	if got := w.one(t, "SELECT string_agg(object, ' ') FROM stowage.facts"); got != someID {
		t.Errorf("booked is %s", got)
	}
}

// refuse has the database refuse facts with an error.
func (w *world) refuse(tb testing.TB, when, code string) {
	tb.Helper()
	w.accept(tb)
	for _, sql := range []string{
		"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF " + when + " THEN RAISE 'no' USING ERRCODE = '" + code + "'; END IF; RETURN NEW; END $$",
		"CREATE TRIGGER refuse BEFORE INSERT ON stowage.facts FOR EACH ROW EXECUTE FUNCTION refuse()",
	} {
		if _, err := w.admin.Exec(tb.Context(), sql); err != nil {
			tb.Fatal(err)
		}
	}
}

// accept ends refuse.
func (w *world) accept(tb testing.TB) {
	tb.Helper()
	if _, err := w.admin.Exec(tb.Context(), "DROP FUNCTION IF EXISTS refuse() CASCADE"); err != nil {
		tb.Fatal(err)
	}
}
