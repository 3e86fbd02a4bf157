package queue_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/queue"
)

// senderEnv makes the test binary a process that sends messages to the queues in
// that file, as fast as it can, and prints the id of each that was acknowledged.
const senderEnv = "QUEUE_TEST_SENDER"

func TestMain(m *testing.M) {
	if path := os.Getenv(senderEnv); path != "" {
		if err := sendUntilKilled(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func sendUntilKilled(path string) error {
	b, err := queue.Open(queue.Config{Queues: []queue.Queue{named("q")}, Path: path})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		sent, err := b.Send(context.Background(), prefix+"q", text(fmt.Sprint("message ", i)))
		if err != nil {
			return err
		}
		fmt.Println(sent.MessageID)
	}
}

func TestAcknowledgedMessagesSurviveAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queues.db")
	total := 0
	for round := range 5 {
		sender := exec.Command(os.Args[0])
		sender.Env = append(os.Environ(), senderEnv+"="+path)
		out, err := sender.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := sender.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(50+17*round)*time.Millisecond, func() { _ = sender.Process.Kill() })
		acknowledged := map[string]bool{}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			acknowledged[lines.Text()] = true
		}
		_ = sender.Wait() // it was killed
		b, err := queue.Open(queue.Config{Queues: []queue.Queue{named("q")}, Path: path})
		if err != nil {
			t.Fatal(err)
		}
		kept, err := b.Peek(prefix+"q", 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range kept {
			delete(acknowledged, m.MessageID)
		}
		if len(acknowledged) > 0 {
			t.Fatalf("round %d lost %d acknowledged messages", round, len(acknowledged))
		}
		total = len(kept)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if total == 0 {
		t.Error("the killed processes never sent anything")
	}
}
