package subject

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor times in /proc: proc(5) calls it USER_HZ, and it is the same
// on all machines that Go runs on.
const tick = 10 * time.Millisecond

// processorTime reads the user and the system time in /proc/PID/stat.
// https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
func processorTime(stat []byte) (time.Duration, error) {
	// The second field, in brackets, may hold anything; utime and stime are the 14th and 15th.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("read its processor time: it is not in %q", stat)
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read its processor time from %q: %w", stat, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// peakRSS reads the most memory held in /proc/PID/status, in bytes.
// https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
func peakRSS(status []byte) (int64, error) {
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read its memory from %q: %w", line, err)
			}
			return kib << 10, nil
		}
	}
	return 0, errors.New("read its memory: the kernel does not tell VmHWM")
}
