package ledgerprojector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/stowage-dev/stowage/functions/internal/ledgerprojector"
	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/event"
	"github.com/stowage-dev/stowage/shared/fault"
	domain "github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/migrations"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

// scripts/bench/run relational takes the real sizes.
var (
	projected = flag.Int("events", 4000, "events to project")
	compared  = flag.Int("pgbench", 0, "of how many events pgbench is to send the very same statements; 0: it is not run")
	leastRate = flag.Float64("least-rate", 0, "the least rate beside pgbench's")
)

const (
	batchSize = 100
	revs      = 4 // events of an object
	// window is how far events are out of order.
	window = 5000
)

func nouns() []string {
	return []string{"report", "invoice", "contract", "budget", "summary", "picture", "holiday"}
}

// eventOf is the n-th event of the history: revs go up within an object, objects side by side.
func eventOf(n int) event.Event {
	o, rev := n/revs, int64(n%revs+1)
	at := start().Add(time.Duration(n/revs)*time.Second + time.Duration(rev)*7*time.Minute)
	name := fmt.Sprintf("%s-%s-%d.pdf", nouns()[o%7], nouns()[(o/7)%7], o)
	stored := int64(o%9973+1) * rev
	state, kind := domain.Available, event.Versioned
	switch rev {
	case 1:
		kind = event.Available
	case 3:
		kind = event.Updated
		stored = int64(o%9973+1) * 2
	case revs:
		if o%5 == 0 {
			kind, stored = event.Purged, 0
		}
	}
	return event.Event{
		ID: fmt.Sprintf("%s.%d", anID(o), rev), Type: kind, Subject: anID(o), Workspace: fmt.Sprintf("ws-%d", o%20), Rev: rev, Time: at,
		Data: event.Data{
			ID: anID(o), Workspace: fmt.Sprintf("ws-%d", o%20), Path: "docs/" + name, Parent: "docs", Name: name, State: state, Rev: rev,
			Version: anID(o), Size: stored, Stored: stored, ContentType: "application/pdf", Tags: map[string]string{"department": nouns()[o%6]},
			CreatedAt: at, UpdatedAt: at,
		},
	}
}

// deliveries returns batches of messages: out of order within a window, one in fifty twice.
func deliveries(count int) func() []events.SQSMessage {
	random := rand.New(rand.NewPCG(1, 2))
	next, held := 0, make([]int, 0, window)
	return func() []events.SQSMessage {
		for len(held) < window && next < count {
			held = append(held, next)
			next++
		}
		var out []events.SQSMessage
		for len(out) < batchSize && len(held) > 0 {
			i := random.IntN(len(held))
			n := held[i]
			if random.IntN(50) > 0 {
				held[i] = held[len(held)-1]
				held = held[:len(held)-1]
			}
			detail, err := json.Marshal(eventOf(n))
			if err != nil {
				panic(err)
			}
			out = append(out, events.SQSMessage{MessageId: strconv.Itoa(len(out)), Body: `{"detail":` + string(detail) + `}`})
		}
		return out
	}
}

type noTexts struct{}

func (noTexts) Beginning(context.Context, string, int) ([]byte, error) {
	return nil, fault.New(fault.NotFound, "no texts here")
}

// strict lets no letter be dead.
type strict struct{}

func (strict) Put(_ context.Context, l batch.Letter) error {
	return fmt.Errorf("event %s is no poison: %w", l.ID, l.Err)
}

// project sends events through the handler, and returns the time that it took alone.
func project(ctx context.Context, cfg pgstore.Config, count int) (took time.Duration, err error) {
	db, err := pgstore.Open(cfg)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	log, metrics := slog.New(slog.DiscardHandler), observe.NewMetrics(io.Discard, "bench", time.Now)
	h := ledgerprojector.New(ledgerprojector.Parts{
		Books: db, Texts: noTexts{}, DeadLetters: strict{}, Observer: observe.NewRecords(metrics, observe.NoTracer(), log, time.Now),
		Metrics: metrics, Log: log, Now: time.Now,
	})
	next := deliveries(count)
	for messages := next(); len(messages) > 0; messages = next() {
		begun := time.Now()
		resp, err := h.Handle(ctx, events.SQSEvent{Records: messages})
		took += time.Since(begun)
		if err != nil || len(resp.BatchItemFailures) > 0 {
			return took, fmt.Errorf("%d events were handed back: %w", len(resp.BatchItemFailures), err)
		}
		if err := metrics.Flush(); err != nil {
			return took, err
		}
	}
	return took, nil
}

func start() time.Time { return time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC) }

// anID is a ULID that ends with n.
func anID(n int) string { return fmt.Sprintf("01KB3Z5V0QJ8W4N6T2%08d", n) }

// TestProjection projects many events, out of order and some of them twice, and compares the
// books with the objects.
func TestProjection(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared()
	if *compared > 0 { // as a real server is set up
		var err error
		if server, err = pgtest.Start(t.Context(), t.TempDir(), map[string]string{"shared_buffers": "512MB", "max_wal_size": "4GB"}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close() })
		besidePgbench(t, server, *compared)
	}
	d := pgtest.NewAt(t, server, migrations.Latest())
	took, err := project(t.Context(), d.Config(pgtest.Writer), *projected)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events in %s: %.0f a second", *projected, took.Round(time.Millisecond), float64(*projected)/took.Seconds())
	if err := verifyBooks(t.Context(), d, *projected); err != nil {
		t.Fatal(err)
	}
}

// verifyBooks compares the books with the objects at the end of the history.
func verifyBooks(ctx context.Context, d *pgtest.Database, count int) error {
	db, err := pgstore.Open(d.Config(pgtest.Checker))
	if err != nil {
		return err
	}
	defer db.Close()
	if off, err := db.Imbalances(ctx); err != nil || len(off) > 0 {
		return fmt.Errorf("%d imbalances %+v: %w", len(off), off, err)
	}
	objects := (count + revs - 1) / revs
	for from := 0; from < objects; from += 1000 {
		var ids []pgstore.ObjectID
		for o := from; o < min(from+1000, objects); o++ {
			ids = append(ids, pgstore.ObjectID{Workspace: fmt.Sprintf("ws-%d", o%20), ID: anID(o)})
		}
		held, err := db.Holdings(ctx, ids)
		if err != nil {
			return err
		}
		for i, id := range ids {
			o := from + i
			last := eventOf(min(o*revs+revs-1, count-1))
			want := last.Data.Stored
			if f := held[id]; f.Rev != last.Rev || f.Bytes != want || !f.At.Equal(last.Time) {
				return fmt.Errorf("object %s holds %d bytes by rev %d, want %d by rev %d", id.ID, f.Bytes, f.Rev, want, last.Rev)
			}
		}
	}
	return nil
}

// besidePgbench projects some events into a new database, and has pgbench send the very same
// statements to another one.
func besidePgbench(t *testing.T, server *pgtest.Server, count int) {
	t.Helper()
	pgbench, err := exec.LookPath("pgbench")
	if err != nil {
		t.Fatal(err)
	}
	fresh := func() *pgtest.Database { return pgtest.NewAt(t, server, migrations.Latest()) }
	script := &script{dir: t.TempDir()}
	cfg := fresh().Config(pgtest.Writer)
	cfg.Watch = script.add
	if _, err := project(t.Context(), cfg, count); err != nil {
		t.Fatal(err)
	}
	if err := script.save(); err != nil {
		t.Fatal(err)
	}
	ours, err := project(t.Context(), fresh().Config(pgtest.Writer), count)
	if err != nil {
		t.Fatal(err)
	}
	d := fresh()
	var theirs time.Duration
	for _, file := range script.files {
		out, err := exec.CommandContext(t.Context(), pgbench, "-n", "-c", "1", "-t", "1", "-f", file, "-h", server.Socket(), "-p", strconv.Itoa(server.Port()), "-U", pgtest.Writer, d.Name).CombinedOutput()
		if err != nil {
			t.Fatalf("pgbench: %v: %.500s", err, out)
		}
		// pgbench's own figure: it is without reading the script and connecting.
		said := regexp.MustCompile(`latency average = ([0-9.]+) ms`).FindSubmatch(out)
		if said == nil {
			t.Fatalf("pgbench says %s", out)
		}
		took, err := time.ParseDuration(string(said[1]) + "ms")
		if err != nil {
			t.Fatal(err)
		}
		theirs += took
	}
	if err := verifyBooks(t.Context(), d, count); err != nil {
		t.Fatalf("after pgbench: %v", err)
	}
	ratio := theirs.Seconds() / ours.Seconds()
	t.Logf("%d events: projector %s (%.0f a second), pgbench with the same statements %s: ratio %.2f", count, ours.Round(time.Millisecond), float64(count)/ours.Seconds(), theirs.Round(time.Millisecond), ratio)
	if ratio < *leastRate {
		t.Errorf("the projector's rate is %.2f of pgbench's, at least %.2f is wanted", ratio, *leastRate)
	}
}

// script writes down what is sent as scripts for pgbench, arguments in their places. There
// are many: the time that pgbench takes to read one grows with the square of its length.
type script struct {
	dir   string
	text  bytes.Buffer
	files []string
	err   error // of a file that was not written
}

func (s *script) add(sql string, args []any) {
	if sql == "" || strings.HasPrefix(sql, "-- ping") {
		return
	}
	if _, rest, ok := strings.Cut(sql, "\n"); ok && strings.HasPrefix(sql, "-- name") {
		sql = rest
	}
	for i := len(args); i > 0; i-- {
		sql = strings.ReplaceAll(sql, "$"+strconv.Itoa(i), literal(args[i-1]))
	}
	s.text.WriteString(strings.ReplaceAll(sql, "\n", " ") + ";\n")
	if sql == "commit" && s.text.Len() > 2<<20 {
		_ = s.save() // told by the last one
	}
}

// save begins a new script, and returns what went wrong with any so far.
func (s *script) save() error {
	file := filepath.Join(s.dir, strconv.Itoa(len(s.files))+".sql")
	s.files = append(s.files, file)
	s.err = errors.Join(s.err, os.WriteFile(file, s.text.Bytes(), 0o600))
	s.text.Reset()
	return s.err
}

// literal writes an argument as SQL does.
func literal(v any) string {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	array := func(n int, item func(int) string) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(item(i)) + `"`
		}
		return quote("{" + strings.Join(parts, ",") + "}")
	}
	switch v := v.(type) {
	case []string:
		return array(len(v), func(i int) string { return v[i] })
	case []int64:
		return array(len(v), func(i int) string { return strconv.FormatInt(v[i], 10) })
	case []time.Time:
		return array(len(v), func(i int) string { return v[i].Format(time.RFC3339Nano) })
	default:
		return quote(fmt.Sprint(v))
	}
}
