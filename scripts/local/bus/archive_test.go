package bus_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/bus"
)

const archiveARN = "arn:aws:events:eu-west-1:000000000000:archive/all"

func TestReplaySendsArchivedEventsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r targets
		cfg := config(t, &r)
		cfg.Archives = []bus.Archive{
			{Name: "all", ARN: archiveARN, SourceARN: busARN},
			{Name: "some", SourceARN: busARN, Pattern: json.RawMessage(`{"detail":{"n":[2]}}`)},
		}
		other := cfg.Rules[0]
		other.Name, other.ARN = "other", "arn:other"
		other.Targets = []bus.Target{{ID: "f", ARN: functionARN}}
		cfg.Rules = append(cfg.Rules, other)
		b := start(t, cfg)
		base := time.Now()
		for n := range 250 {
			e := order(fmt.Sprintf(`{"n":%d}`, n))
			e.Time = base.Add(time.Duration(n) * time.Second)
			put(t, b, e)
		}
		synctest.Wait()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		// A kill has cut the last line short.
		f, err := os.OpenFile(filepath.Join(cfg.StateDir, "archives", "all.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(`{"version":"0","id`)
		f.Close()

		b = start(t, cfg)
		done, err := b.Replay(t.Context(), bus.ReplayRequest{
			Name: "again", Archive: archiveARN, From: base.Add(10 * time.Second), To: base.Add(20 * time.Second), RuleARNs: []string{ruleARN},
		})
		if err != nil || done.Events != 10 {
			t.Fatalf("got %d events, %v; want 10", done.Events, err)
		}
		synctest.Wait()
		var replayed []string
		for _, p := range r.got(queueARN) {
			if strings.Contains(p, `"replay-name":"again"`) {
				replayed = append(replayed, p)
			}
		}
		if len(replayed) != 10 || len(r.got(functionARN)) != 250 {
			t.Errorf("the named rule got %d, want 10; the other has %d, want 250", len(replayed), len(r.got(functionARN)))
		}
		all := bus.ReplayRequest{Name: "everything", Archive: "all", To: base.Add(time.Hour)}
		if done, err = b.Replay(t.Context(), all); err != nil || done.Events != 250 {
			t.Errorf("replayed events were archived again: got %d, %v; want 250", done.Events, err)
		}
		if done, err = b.Replay(t.Context(), bus.ReplayRequest{Name: "some", Archive: "some", To: base.Add(time.Hour)}); err != nil || done.Events != 1 {
			t.Errorf("the archive with a pattern: got %d, %v; want 1", done.Events, err)
		}
		if _, err = b.Replay(t.Context(), all); !errors.Is(err, bus.ErrReplayExists) {
			t.Errorf("the same name again: got %v", err)
		}
		if _, err = b.Replay(t.Context(), bus.ReplayRequest{Name: "x", Archive: "nope"}); !errors.Is(err, bus.ErrNoArchive) {
			t.Errorf("an unknown archive: got %v", err)
		}
	})
}

func TestAnArchiveForgetsWhatIsOlderThanItsRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r targets
		cfg := config(t, &r)
		cfg.Archives = []bus.Archive{{Name: "all", SourceARN: busARN, Retention: 24 * time.Hour}}
		b := start(t, cfg)
		put(t, b, order(`{"n":1}`))
		time.Sleep(24 * time.Hour)
		put(t, b, order(`{"n":2}`))
		b.Close()
		time.Sleep(time.Second)
		b = start(t, cfg)
		done, err := b.Replay(t.Context(), bus.ReplayRequest{Name: "x", Archive: "all", To: time.Now().Add(time.Hour)})
		if err != nil || done.Events != 1 {
			t.Errorf("got %d events, %v; want 1", done.Events, err)
		}
	})
}

// TestALineThatWasCutShortTakesNothingWithIt: what is appended after a kill stands in
// lines of its own, in archives and in the file of events.
func TestALineThatWasCutShortTakesNothingWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, unfinished := range map[string]string{"a word": `{"version":"0","id`, "much": `{"version":"0","id":"` + strings.Repeat("x", 200_000)} {
			var r targets
			cfg := config(t, &r)
			cfg.Archives = []bus.Archive{{Name: "all", ARN: archiveARN, SourceARN: busARN}}
			archived := filepath.Join(cfg.StateDir, "archives", "all.jsonl")
			b := start(t, cfg)
			put(t, b, order(`{"n":1}`))
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{cfg.EventsPath, archived} {
				f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.WriteString(unfinished); err != nil {
					t.Fatal(err)
				}
				f.Close()
			}
			b = start(t, cfg)
			put(t, b, order(`{"n":2}`))
			for _, path := range []string{cfg.EventsPath, archived} {
				raw, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				lines := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
				if len(lines) != 2 || !strings.Contains(lines[0], `{"n":1}`) || !strings.Contains(lines[1], `{"n":2}`) {
					t.Errorf("%s: %s has %d lines: %.200q", name, filepath.Base(path), len(lines), lines)
				}
			}
			done, err := b.Replay(t.Context(), bus.ReplayRequest{Name: "again", Archive: archiveARN, To: time.Now().Add(time.Hour)})
			if err != nil || done.Events != 2 {
				t.Errorf("%s: %d events are replayed, %v; want both", name, done.Events, err)
			}
			synctest.Wait()
		}
	})
}
