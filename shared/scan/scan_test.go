package scan_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/scan"
)

// kept is a queue.
type kept struct{ bodies [][]byte }

func (k *kept) Send(_ context.Context, body []byte, _ time.Duration) error {
	k.bodies = append(k.bodies, body)
	return nil
}

func TestQueued(t *testing.T) {
	t.Parallel()
	var q kept
	s := scan.NewQueued(&q)
	asked := scan.Request{Key: "c/a/b/c", VersionID: "v", Size: 7}
	if err := s.Submit(t.Context(), asked); err != nil || len(q.bodies) != 1 {
		t.Fatalf("queued %d, %v", len(q.bodies), err)
	}
	if got, err := scan.DecodeRequest(q.bodies[0]); err != nil || got != asked {
		t.Errorf("asked for %+v, %v", got, err)
	}
	said := scan.Verdict{Key: "c/a/b/c", VersionID: "v", Result: scan.Infected, Threats: []string{"x"}, Scanner: "s", Time: time.Unix(1, 0).UTC()}
	body, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Verdict(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(said, got); diff != "" {
		t.Errorf("(-said +got):\n%s", diff)
	}
}

func TestReason(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]scan.Verdict{
		"S found malware":                   {Scanner: "S", Result: scan.Infected},
		"S found a, b":                      {Scanner: "S", Result: scan.Infected, Threats: []string{"a", "b"}},
		"S found 1, 2, 3, 4, 5 and 2 more":  {Scanner: "S", Result: scan.Infected, Threats: []string{"1", "2", "3", "4", "5", "6", "7"}},
		"S reached no verdict: failed":      {Scanner: "S", Result: scan.Failed},
		"S reached no verdict: failed (by)": {Scanner: "S", Result: scan.Failed, Detail: "by"},
	} {
		if got := v.Reason(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// FuzzDecodeVerdict: what is decoded is about a version and has a known result.
func FuzzDecodeVerdict(f *testing.F) {
	f.Add([]byte(`{"key":"c/a","versionId":"1","result":"clean"}`))
	f.Add([]byte(`{"key":"c/a","versionId":"1","result":"Clean"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if v, err := scan.DecodeVerdict(body); err == nil && v.Validate() != nil {
			t.Errorf("%s is %+v", body, v)
		}
		if r, err := scan.DecodeRequest(body); err == nil && r.Validate() != nil {
			t.Errorf("%s is %+v", body, r)
		}
	})
}
