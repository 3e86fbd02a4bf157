// Command localstack measures a whole local stack from the outside: how long it takes
// to be ready, what it weighs when idle, and how soon an upload is available.
//
//	go run ./scripts/bench/localstack -local .tools/stowage-local
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/command"
	"github.com/stowage-dev/stowage/scripts/demo/target"
	"github.com/stowage-dev/stowage/shared/client"
)

func main() {
	local := flag.String("local", ".tools/stowage-local", "local runtime `binary`")
	uploads := flag.Int("uploads", 300, "how many uploads to time")
	size := flag.Int("size", 64<<10, "`bytes` of each")
	flag.Parse()
	os.Exit(command.Run("localstack", func(ctx context.Context) error { return run(ctx, *local, *uploads, *size) }))
}

func run(ctx context.Context, binary string, uploads, size int) error {
	if uploads < 1 || size < 1 {
		return fmt.Errorf("-uploads %d and -size %d must both be at least 1", uploads, size)
	}
	start := time.Now()
	stack, err := target.StartLocal(ctx, binary, filepath.Join(".stowage", "bench"))
	if err != nil {
		return err
	}
	fmt.Printf("ready after                       %8.2f s\n", time.Since(start).Seconds())
	measureErr := measure(ctx, stack, uploads, size)
	if err := stack.Stop(); err != nil {
		return err
	}
	return measureErr
}

func measure(ctx context.Context, stack *target.Local, uploads, size int) error {
	c, err := client.New(stack.API, stack.Alpha, &client.Options{Workspace: "alpha", PollInterval: 2 * time.Millisecond})
	if err != nil {
		return err
	}
	if err := sleep(ctx, 2*time.Second); err != nil { // let what the start left behind settle
		return err
	}
	processes, err := tree(stack.PID)
	if err != nil {
		return err
	}
	fmt.Printf("idle, %d processes                 %8.1f MiB RSS\n", len(processes), float64(rss(processes))/(1<<20))

	var opened, available, calls []time.Duration
	for i := range uploads {
		open, done, err := one(ctx, c, i, size)
		if err != nil {
			return fmt.Errorf("upload %d: %w", i, err)
		}
		opened, available = append(opened, open), append(available, done)
	}
	for range uploads {
		begin := time.Now()
		if _, err := c.Usage(ctx); err != nil {
			return err
		}
		calls = append(calls, time.Since(begin))
	}
	report("GET /v1/usage", calls)
	report("POST /v1/uploads", opened)
	report(fmt.Sprintf("%d KiB: open, PUT, available", size>>10), available)
	if processes, err = tree(stack.PID); err != nil {
		return err
	}
	fmt.Printf("after %d uploads, %d processes    %8.1f MiB RSS\n", uploads, len(processes), float64(rss(processes))/(1<<20))
	return nil
}

// one times opening an upload, and from there to its being available.
func one(ctx context.Context, c *client.Client, i, size int) (open, done time.Duration, err error) {
	content := make([]byte, size)
	if _, err := rand.Read(content[:min(size, 64)]); err != nil {
		return 0, 0, fmt.Errorf("random bytes: %w", err)
	}
	sum := sha256.Sum256(content)
	start := time.Now()
	opened, err := c.Open(ctx, client.NewUpload{
		Path: fmt.Sprintf("bench/%d-%d.bin", start.UnixNano(), i), Size: int64(size),
		ContentType: "application/octet-stream", SHA256: base64.StdEncoding.EncodeToString(sum[:]),
	})
	if err != nil {
		return 0, 0, err
	}
	open = time.Since(start)
	if err := c.Send(ctx, opened.Put, bytes.NewReader(content), int64(size)); err != nil {
		return 0, 0, err
	}
	upload, err := c.Wait(ctx, opened.Upload.ID)
	if err != nil {
		return 0, 0, err
	}
	if upload.State != "available" {
		return 0, 0, fmt.Errorf("it ended as %s: %+v", upload.State, upload.Reason)
	}
	return open, time.Since(start), nil
}

func report(what string, took []time.Duration) {
	slices.Sort(took)
	at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
	fmt.Printf("%-32s p50 %7.2f ms   p99 %7.2f ms\n", what, at(0.5), at(0.99))
}

// tree returns a process and all that descend from it.
func tree(root int) ([]int, error) {
	children := map[int][]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // it ended meanwhile
		}
		// pid (name, which may hold spaces) state ppid …
		_, rest, _ := strings.Cut(string(data), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			continue
		}
		parent, parentErr := strconv.Atoi(fields[1])
		pid, pidErr := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if parentErr == nil && pidErr == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	found := []int{root}
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i]]...)
	}
	return found, nil
}

// rss adds up the resident memory of processes. What they share counts once for each,
// so the sum errs to the high side.
func rss(processes []int) int64 {
	var total int64
	for _, pid := range processes {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue // it ended meanwhile
		}
		fields := strings.Fields(string(data))
		if len(fields) < 2 {
			continue
		}
		pages, err := strconv.ParseInt(fields[1], 10, 64)
		if err == nil {
			total += pages * int64(os.Getpagesize())
		}
	}
	return total
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait: %w", context.Cause(ctx))
	case <-time.After(d):
		return nil
	}
}
