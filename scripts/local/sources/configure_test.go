package sources_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/scripts/local/sources"
)

func openQueues(t *testing.T, names ...string) *queue.Broker {
	t.Helper()
	var cfg queue.Config
	for _, name := range names {
		cfg.Queues = append(cfg.Queues, queue.Queue{Name: name, ARN: queuePrefix + name})
	}
	b, err := queue.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func sendTo(t *testing.T, b *queue.Broker, name, body string) {
	t.Helper()
	if _, err := b.Send(t.Context(), queuePrefix+name, queue.Message{Body: body}); err != nil {
		t.Fatal(err)
	}
}

// TestConfigureFinishesTheBatchInTheFunction: a queue's mapping is changed while
// its function works on a message, which is neither lost nor delivered twice.
func TestConfigureFinishesTheBatchInTheFunction(t *testing.T) {
	b := openQueues(t, "jobs", "more")
	release, entered := make(chan struct{}), make(chan struct{}, 10)
	fn := scriptedFunction(func(batch []record) (string, string, error) {
		if batch[0].Body == "slow" {
			entered <- struct{}{}
			<-release
		}
		return "null", "", nil
	})
	mapping := sources.QueueMapping{ID: "one", QueueARN: queuePrefix + "jobs", FunctionARN: functionARN}
	r, _ := runner(t, sources.Config{Queues: []sources.QueueMapping{mapping}, Invoker: fn, Broker: b})
	sendTo(t, b, "jobs", "slow")
	<-entered
	mapping.BatchSize = 1
	added := sources.QueueMapping{ID: "two", QueueARN: queuePrefix + "more", FunctionARN: functionARN}
	if err := r.Configure([]sources.QueueMapping{mapping, added}, nil); err != nil {
		t.Fatal(err)
	}
	sendTo(t, b, "jobs", "next")
	sendTo(t, b, "more", "other")
	fn.waitFor(t, 2) // the new mappings do not wait for the old one's batch
	close(release)
	fn.waitFor(t, 1)
	got := fn.names()
	slices.Sort(got)
	if want := []string{"next", "other", "slow"}; !slices.Equal(got, want) {
		t.Errorf("delivered %v, want %v", got, want)
	}
	eventually(t, "messages are left", func() bool {
		s, err := b.Stats(queuePrefix + "jobs")
		return err == nil && s.InFlight == 0 && s.Visible == 0
	})
}

func TestConfigureStopsWhatIsGone(t *testing.T) {
	b := openQueues(t, "jobs")
	fn := succeeding()
	r, _ := runner(t, sources.Config{Invoker: fn, Broker: b,
		Queues: []sources.QueueMapping{{ID: "one", QueueARN: queuePrefix + "jobs", FunctionARN: functionARN}}})
	sendTo(t, b, "jobs", "first")
	fn.waitFor(t, 1)
	if err := r.Configure(nil, nil); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // its last receive ends
	sendTo(t, b, "jobs", "second")
	time.Sleep(100 * time.Millisecond)
	if got := fn.names(); !slices.Equal(got, []string{"first"}) {
		t.Errorf("delivered %v", got)
	}
}

// TestConfigureKeepsTheOrderOfAStream: a stream's mapping is changed again and
// again while records come. Each record is delivered, and none overtakes another
// of its item.
func TestConfigureKeepsTheOrderOfAStream(t *testing.T) {
	const records, items = 120, 3
	name := table(t)
	var inside atomic.Int32
	fn := scriptedFunction(func([]record) (string, string, error) {
		if n := inside.Add(1); n > 1 {
			t.Errorf("%d batches of one shard at a time", n)
		}
		time.Sleep(2 * time.Millisecond)
		inside.Add(-1)
		return "null", "", nil
	})
	mapping := sources.StreamMapping{ID: "one", Table: name, StreamARN: streamARN, FunctionARN: functionARN, BatchSize: 3, MaxRetries: -1}
	r, _ := runner(t, sources.Config{Streams: []sources.StreamMapping{mapping}, Invoker: fn, StreamEndpoint: engine,
		CheckpointPath: filepath.Join(t.TempDir(), "checkpoints.db")})
	for n := range records {
		put(t, name, fmt.Sprint("item-", n%items), n)
		if n%10 == 0 {
			mapping.BatchSize = 1 + n%7
			if err := r.Configure(nil, []sources.StreamMapping{mapping}); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "not every record was delivered", func() bool { return len(unique(fn.names())) == records })
	last := map[string]int{}
	for _, got := range unique(fn.names()) {
		item, version, _ := strings.Cut(got, ".")
		var n int
		if _, err := fmt.Sscan(version, &n); err != nil {
			t.Fatal(err)
		}
		if n < last[item] {
			t.Errorf("%s came after version %d", got, last[item])
		}
		last[item] = n
	}
}

func unique(names []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

// TestConfigureEndsRetries: a batch that fails for ever holds a new configuration
// up for no longer than one invocation.
func TestConfigureEndsRetries(t *testing.T) {
	name := table(t)
	fn := scriptedFunction(func([]record) (string, string, error) { return `{"errorMessage":"no"}`, "Unhandled", nil })
	mapping := sources.StreamMapping{ID: "one", Table: name, StreamARN: streamARN, FunctionARN: functionARN, MaxRetries: -1}
	dead := openQueues(t, "dead")
	r, _ := runner(t, sources.Config{Streams: []sources.StreamMapping{mapping}, Invoker: fn, StreamEndpoint: engine, Sender: dead,
		StreamRetryDelay: func(int) time.Duration { return time.Hour }})
	put(t, name, "poison", 1)
	fn.waitFor(t, 1)
	mapping.MaxRetries, mapping.OnFailureARN = 0, queuePrefix+"dead"
	if err := r.Configure(nil, []sources.StreamMapping{mapping}); err != nil {
		t.Fatal(err)
	}
	wait := 10 * time.Second
	got, err := dead.Receive(context.Background(), queuePrefix+"dead", queue.ReceiveInput{Wait: &wait})
	if err != nil || len(got) != 1 {
		t.Errorf("dead letters: %v, %v", got, err)
	}
}

func TestConfigureRefusesAsAWhole(t *testing.T) {
	b := openQueues(t, "jobs")
	fn := succeeding()
	mapping := sources.QueueMapping{ID: "one", QueueARN: queuePrefix + "jobs", FunctionARN: functionARN}
	r, _ := runner(t, sources.Config{Queues: []sources.QueueMapping{mapping}, Invoker: fn, Broker: b})
	wrong := mapping
	wrong.ID, wrong.BatchSize = "two", 10_001
	err := r.Configure([]sources.QueueMapping{wrong}, nil)
	if err == nil || !strings.Contains(err.Error(), "batch size 10001") {
		t.Errorf("err = %v", err)
	}
	sendTo(t, b, "jobs", "still")
	fn.waitFor(t, 1)
}
