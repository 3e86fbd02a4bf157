package guarddutyscan_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/shared/guarddutyscan"
	"github.com/stowage-dev/stowage/shared/scan"
)

func TestVerdicts(t *testing.T) {
	t.Parallel()
	for sample, want := range map[string]scan.Verdict{
		"no-threats-found": {Result: scan.Clean},
		"threats-found":    {Result: scan.Infected, Threats: []string{"EICAR-Test-File (not a virus)"}},
		"unsupported":      {Result: scan.Unsupported, Detail: "scan SKIPPED"},
		"access-denied":    {Result: scan.Denied, Detail: "scan SKIPPED"},
		"failed":           {Result: scan.Failed, Detail: "scan FAILED"},
	} {
		want.Key = "c/alpha/01KB3Z5V0QJ8W4N6T2M9R7XHCE/01KB3Z5V0QD5S1F8B3P6Y0GZKA"
		want.VersionID, want.Scanner = "pXv.6bEJxw0cXk3p8m0TQ7Jc1B2n4E9q", guarddutyscan.Name
		want.Time = time.Date(2026, 11, 22, 14, 5, 12, 0, time.UTC)
		event := samples.Read("eventbridge/guardduty-" + sample)
		got, err := guarddutyscan.New("content").Verdict(event)
		if err != nil {
			t.Fatalf("%s: %v", sample, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", sample, diff)
		}
		if _, err := guarddutyscan.New("other").Verdict(event); !errors.Is(err, guarddutyscan.ErrForeign) {
			t.Errorf("%s of another bucket: %v", sample, err)
		}
	}
}

// FuzzVerdict: whatever an event holds, it is clean only if GuardDuty says so of a version
// of this bucket.
func FuzzVerdict(f *testing.F) {
	for _, name := range samples.Names() {
		if strings.HasPrefix(name, "eventbridge/") {
			f.Add(samples.Read(name))
		}
	}
	s := guarddutyscan.New("content")
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := s.Verdict(body)
		if err != nil {
			return
		}
		if v.Validate() != nil || v.Result == scan.Clean && !strings.Contains(string(body), "NO_THREATS_FOUND") && !strings.Contains(string(body), `\u`) {
			t.Errorf("%s is %+v", body, v)
		}
	})
}
