package scanner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/stowage-dev/stowage/functions/internal/scanner"
	"github.com/stowage-dev/stowage/scripts/clamdtest"
	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/clamdscan"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/scan"
)

// store is bytes by version id.
type store map[string][]byte

func (s store) Open(_ context.Context, at object.Location) (io.ReadCloser, error) {
	body, ok := s[at.VersionID]
	if !ok {
		return nil, fault.New(fault.NotFound, "storage does not have the version")
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

// sink takes verdicts and dead letters.
type sink struct {
	verdicts []scan.Verdict
	letters  int
	full     bool
}

func (s *sink) Send(_ context.Context, body []byte, _ time.Duration) error {
	if s.full {
		return errors.New("the queue takes nothing")
	}
	v, err := scan.DecodeVerdict(body)
	s.verdicts = append(s.verdicts, v)
	return err
}

func (s *sink) Put(context.Context, batch.Letter) error {
	s.letters++
	return nil
}

const maxBytes = 1 << 20

func newHandler(address string, bytes store) (*scanner.Handler, *sink) {
	out := &sink{}
	log := slog.New(slog.DiscardHandler)
	metrics := observe.NewMetrics(io.Discard, "test", time.Now)
	return scanner.New(scanner.Parts{
		Storage: bytes, Scanner: clamdscan.New(address), Verdicts: out, MaxBytes: maxBytes, DeadLetters: out,
		Observer: observe.NewRecords(metrics, observe.NoTracer(), log, time.Now), Metrics: metrics, Log: log, Now: time.Now,
	}), out
}

// deliver hands the handler one message, and says whether it came back.
func deliver(t *testing.T, h *scanner.Handler, body string) bool {
	t.Helper()
	resp, err := h.Handle(t.Context(), events.SQSEvent{Records: []events.SQSMessage{{MessageId: "1", Body: body, EventSourceARN: "arn:aws:sqs:eu-west-1:123456789012:Scans"}}})
	if err != nil {
		t.Fatal(err)
	}
	return len(resp.BatchItemFailures) > 0
}

func request(t *testing.T, version string, size int) string {
	t.Helper()
	body, err := json.Marshal(scan.Request{Key: "c/alpha/a/b", VersionID: version, Size: int64(size)})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestScans(t *testing.T) {
	t.Parallel()
	address := clamdtest.Start(t, maxBytes)
	good, bad, large := []byte("hello"), []byte(clamdtest.Malware), make([]byte, maxBytes+1)
	h, out := newHandler(address, store{"good": good, "bad": bad, "large": large})
	for _, tc := range []struct {
		version string
		size    int
		want    scan.Result // "": no verdict
		back    bool
	}{
		{"good", len(good), scan.Clean, false},
		{"bad", len(bad), scan.Infected, false},
		{"large", len(large), scan.Unsupported, false},
		{"gone", 1, "", false},
		{"good", len(good) + 1, "", true}, // storage has sent less than there is
	} {
		out.verdicts = nil
		if back := deliver(t, h, request(t, tc.version, tc.size)); back != tc.back {
			t.Errorf("%s came back: %t", tc.version, back)
		}
		if tc.want == "" {
			if len(out.verdicts) > 0 {
				t.Errorf("%s of %d bytes is %+v", tc.version, tc.size, out.verdicts)
			}
			continue
		}
		if len(out.verdicts) != 1 || out.verdicts[0].Result != tc.want || out.verdicts[0].VersionID != tc.version || out.verdicts[0].Time.IsZero() {
			t.Errorf("%s is %+v, want %s", tc.version, out.verdicts, tc.want)
		}
	}
	out.full = true
	if !deliver(t, h, request(t, "good", len(good))) {
		t.Error("a verdict that could not be told is done with")
	}
	for _, poison := range []string{`{`, `{}`, `{"key":"c/a","versionId":"v","size":-1}`} {
		before := out.letters
		if deliver(t, h, poison) || out.letters != before+1 {
			t.Errorf("%s has %d dead letters", poison, out.letters-before)
		}
	}
}

func TestWithoutAScanner(t *testing.T) {
	t.Parallel()
	h, out := newHandler("127.0.0.1:1", store{"good": []byte("hello")})
	if !deliver(t, h, request(t, "good", 5)) || len(out.verdicts) > 0 || out.letters > 0 {
		t.Errorf("verdicts %v, dead letters %d", out.verdicts, out.letters)
	}
}

func TestParseConfig(t *testing.T) {
	t.Parallel()
	env := map[string]string{"STOWAGE_BUCKET": "b", "STOWAGE_DEAD_LETTER_BUCKET": "d", "STOWAGE_VERDICT_QUEUE_URL": "u", "STOWAGE_CLAMD_ADDRESS": "a:1", "STOWAGE_CLAMD_MAX_BYTES": "10"}
	parse := func() (scanner.Config, error) {
		return scanner.ParseConfig(boot.NewSettings(func(name string) (string, bool) { v, ok := env[name]; return v, ok }))
	}
	if cfg, err := parse(); err != nil || cfg.MaxBytes != 10 || cfg.ClamdAddress != "a:1" {
		t.Errorf("%+v, %v", cfg, err)
	}
	for _, bad := range []string{"0", "-1", "1.5", "1GB"} {
		env["STOWAGE_CLAMD_MAX_BYTES"] = bad
		if _, err := parse(); err == nil {
			t.Errorf("took %s bytes", bad)
		}
	}
	clear(env)
	if _, err := parse(); err == nil || !strings.Contains(err.Error(), "STOWAGE_CLAMD_ADDRESS") {
		t.Errorf("%v", err)
	}
}
