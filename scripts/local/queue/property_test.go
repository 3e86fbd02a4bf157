package queue_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/scripts/local/queue"
)

// model is what a queue with a dead-letter queue must do, in the plainest way.
type model struct {
	messages []*modelMessage
	now      time.Time
}

type modelMessage struct {
	body, group string
	visibleAt   time.Time
	receives    int
	handle      string
	dead, gone  bool
}

const (
	modelVisibility = 10 * time.Second
	modelReceives   = 3
)

// blocked says whether a FIFO message has to wait for others of its group.
func (m *model) blocked(i int, fifo bool) bool {
	for j, other := range m.messages {
		if !fifo || other.gone || other.dead || other.group != m.messages[i].group || i == j {
			continue
		}
		if other.receives > 0 && other.visibleAt.After(m.now) {
			return true
		}
	}
	return false
}

// TestQueueFollowsTheModel drives a queue through random operations, restarts
// among them, and compares it with the model after each.
func TestQueueFollowsTheModel(t *testing.T) {
	for _, name := range []string{"q", "q.fifo"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			run := 0
			rapid.Check(t, func(t *rapid.T) {
				run++
				checkAgainstModel(t, name, filepath.Join(dir, fmt.Sprint(run)))
			})
		})
	}
}

func checkAgainstModel(t *rapid.T, name, path string) {
	q, dead := named(name), named("dead-"+name)
	fifo := q.FIFO
	visibility := modelVisibility
	q.VisibilityTimeout, q.RedriveTarget, q.MaxReceiveCount = &visibility, dead.ARN, modelReceives
	m := &model{now: time.Unix(1_800_000_000, 0)}
	cfg := queue.Config{Queues: []queue.Queue{q, dead}, Path: path, Now: func() time.Time { return m.now }}
	b, err := queue.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	ctx := context.Background()
	byBody := map[string]*modelMessage{}

	t.Repeat(map[string]func(*rapid.T){
		"send": func(t *rapid.T) {
			body := fmt.Sprint("m", len(m.messages))
			mm := &modelMessage{body: body, group: rapid.SampledFrom([]string{"g", "h"}).Draw(t, "group"), visibleAt: m.now}
			message := queue.Message{Body: body}
			if fifo {
				message.GroupID, message.DeduplicationID = mm.group, body
			}
			if _, err := b.Send(ctx, q.ARN, message); err != nil {
				t.Fatal(err)
			}
			m.messages = append(m.messages, mm)
			byBody[body] = mm
		},
		"receive": func(t *rapid.T) {
			n := rapid.IntRange(1, 10).Draw(t, "n")
			got, err := b.Receive(ctx, q.ARN, queue.ReceiveInput{Max: n, Wait: new(time.Duration)})
			if err != nil {
				t.Fatal(err)
			}
			m.check(t, got, n, fifo, byBody)
		},
		"delete": func(t *rapid.T) {
			if mm := m.draw(t); mm != nil && mm.handle != "" {
				err := b.Delete(ctx, q.ARN, mm.handle)
				expired := fifo && !mm.visibleAt.After(m.now)
				if (err != nil) != (expired && !mm.gone && !mm.dead) {
					t.Fatalf("delete %s: %v", mm.body, err)
				}
				if err == nil && !mm.dead {
					mm.gone = true
				}
			}
		},
		"return": func(t *rapid.T) {
			mm := m.draw(t)
			if mm == nil || mm.handle == "" {
				return
			}
			inFlight := !mm.gone && !mm.dead && mm.visibleAt.After(m.now)
			err := b.ChangeVisibility(ctx, q.ARN, mm.handle, 0)
			if (err == nil) != inFlight {
				t.Fatalf("return %s: %v", mm.body, err)
			}
			if inFlight {
				mm.visibleAt = m.now
			}
		},
		"wait": func(t *rapid.T) {
			m.now = m.now.Add(time.Duration(rapid.IntRange(1, 12).Draw(t, "seconds")) * time.Second)
		},
		"restart": func(t *rapid.T) {
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			if b, err = queue.Open(cfg); err != nil {
				t.Fatal(err)
			}
			for _, mm := range m.messages {
				mm.visibleAt = m.now // and no handle of before is any good
				mm.handle = ""
			}
		},
		"": func(t *rapid.T) { m.compareCounts(t, b, q.ARN, dead.ARN) },
	})
}

func (m *model) draw(t *rapid.T) *modelMessage {
	if len(m.messages) == 0 {
		return nil
	}
	return m.messages[rapid.IntRange(0, len(m.messages)-1).Draw(t, "message")]
}

// check compares what was received, and learns from it which messages were found
// to be dead: those that could have come and had been received often enough.
func (m *model) check(t *rapid.T, got []queue.Received, n int, fifo bool, byBody map[string]*modelMessage) {
	free := 0
	for i, mm := range m.messages {
		if mm.gone || mm.dead || mm.visibleAt.After(m.now) || m.blocked(i, fifo) {
			continue
		}
		if mm.receives < modelReceives {
			free++
		}
	}
	if len(got) > n || (len(got) == 0 && free > 0) || len(got) > free {
		t.Fatalf("asked for %d, got %d of %d that are free", n, len(got), free)
	}
	last := map[string]int{}
	for _, r := range got {
		mm := byBody[r.Body]
		index := m.index(mm)
		switch {
		case mm.gone, mm.dead:
			t.Fatalf("%s came after it was deleted or dead", mm.body)
		case mm.visibleAt.After(m.now):
			t.Fatalf("%s came while it was in flight", mm.body)
		case fifo && index < last[mm.group]:
			t.Fatalf("%s came out of order", mm.body)
		case fifo && m.earlierFree(index, got):
			t.Fatalf("%s came before an older message of its group", mm.body)
		}
		last[mm.group] = index
	}
	for _, r := range got {
		mm := byBody[r.Body]
		mm.receives++
		mm.visibleAt = m.now.Add(modelVisibility)
		mm.handle = r.ReceiptHandle
	}
}

func (m *model) index(mm *modelMessage) int {
	for i, other := range m.messages {
		if other == mm {
			return i
		}
	}
	return -1
}

// earlierFree says whether an older message of the group should have come first.
func (m *model) earlierFree(index int, got []queue.Received) bool {
	for i := range index {
		mm := m.messages[i]
		if mm.gone || mm.dead || mm.group != m.messages[index].group || mm.receives >= modelReceives {
			continue
		}
		found := false
		for _, r := range got {
			found = found || r.Body == mm.body
		}
		if !found {
			return true
		}
	}
	return false
}

// compareCounts asks the broker which messages are dead, and requires that none is lost.
func (m *model) compareCounts(t *rapid.T, b *queue.Broker, arn, deadARN string) {
	letters, err := b.Peek(deadARN, 1000)
	if err != nil {
		t.Fatal(err)
	}
	isDead := map[string]bool{}
	for _, letter := range letters {
		isDead[letter.Body] = true
	}
	alive, inFlight := 0, 0
	for _, mm := range m.messages {
		if isDead[mm.body] && (mm.gone || mm.receives < modelReceives) {
			t.Fatalf("%s is dead after %d receives (deleted: %v)", mm.body, mm.receives, mm.gone)
		}
		mm.dead = isDead[mm.body]
		if !mm.gone && !mm.dead {
			alive++
			if mm.receives > 0 && mm.visibleAt.After(m.now) {
				inFlight++
			}
		}
	}
	s, err := b.Stats(arn)
	if err != nil {
		t.Fatal(err)
	}
	if s.Visible+s.InFlight != alive || s.InFlight != inFlight {
		t.Fatalf("%d visible and %d in flight, want %d alive, %d of them in flight", s.Visible, s.InFlight, alive, inFlight)
	}
}
