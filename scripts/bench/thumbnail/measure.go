package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/stowage-dev/stowage/shared/picture"
)

// measure returns the CPU time of one copy of each size, and under 0 that of all in
// one go, as the function makes them.
func measure(data []byte, runs int) (map[int]float64, error) {
	took := map[int]float64{}
	for _, what := range [][]int{{256}, {1024}, {1024, 256}} {
		runtime.GC()
		before := cpuTime()
		for range runs {
			if _, err := picture.Copies(data, what, picture.DefaultLimits()); err != nil {
				return nil, err
			}
		}
		size := what[0]
		if len(what) > 1 {
			size = 0
		}
		took[size] = float64(cpuTime()-before) / float64(time.Millisecond) / float64(runs)
	}
	return took, nil
}

// cpuTime is what this process has used so far, in all threads.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

//go:embed sharp
var sharpFiles embed.FS

// sharp is the directory that it was installed in.
type sharp string

func (s sharp) measure(ctx context.Context, photo, out string, runs int) (map[int]float64, error) {
	args := []string{filepath.Join(string(s), "thumbnail.js"), photo, out, strconv.Itoa(runs)}
	for _, size := range sizes() {
		args = append(args, strconv.Itoa(size))
	}
	node := exec.CommandContext(ctx, "node", args...)
	node.Stderr = os.Stderr
	text, err := node.Output()
	if err != nil {
		return nil, fmt.Errorf("run sharp: %w", err)
	}
	var took map[int]float64
	if err := json.Unmarshal(text, &took); err != nil {
		return nil, fmt.Errorf("read what sharp printed: %w", err)
	}
	return took, nil
}
