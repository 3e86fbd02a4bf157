package subject

import (
	"testing"
	"time"
)

func TestProcessorTime(t *testing.T) {
	t.Parallel()
	for stat, want := range map[string]time.Duration{
		"7 (bootstrap) S 1 7 7 0 -1 4194560 900 0 0 0 12 3 0 0 20 0 6 0 5 1 2": 150 * time.Millisecond,
		"7 (a) (b c) S 1 7 7 0 -1 4194560 900 0 0 0 0 0 0 0 20 0 6 0 5 1 2":    0,
		"7 (x) S 1 7 7 0 -1 4194560 900 0 0 0 6000 1":                          60*time.Second + 10*time.Millisecond,
	} {
		if got, err := processorTime([]byte(stat)); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", stat, got, err, want)
		}
	}
	for _, stat := range []string{"", "7 (x) S 1 7 7 0 -1 4194560 900 0 0 0 6000", "7 (x) S 1 7 7 0 -1 4194560 900 0 0 0 many 1"} {
		if got, err := processorTime([]byte(stat)); err == nil {
			t.Errorf("%q: got %s", stat, got)
		}
	}
}

func TestPeakRSS(t *testing.T) {
	t.Parallel()
	got, err := peakRSS([]byte("Name:\tbootstrap\nVmPeak:\t 1234568 kB\nVmHWM:\t   21504 kB\nVmRSS:\t   20000 kB\n"))
	if err != nil || got != 21<<20 {
		t.Errorf("got %d, %v", got, err)
	}
	for _, status := range []string{"", "Name:\tVmHWM: 5 kB\n", "VmHWM:\t much kB\n"} {
		if got, err := peakRSS([]byte(status)); err == nil {
			t.Errorf("%q: got %d", status, got)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		times []time.Duration
		want  time.Duration
	}{
		{[]time.Duration{4}, 4},
		{[]time.Duration{9, 1}, 9},
		{[]time.Duration{9, 1, 5}, 5},
		{[]time.Duration{2, 2, 100, 1, 2}, 2},
	} {
		if got := median(c.times); got != c.want {
			t.Errorf("%v: got %d, want %d", c.times, got, c.want)
		}
	}
}
