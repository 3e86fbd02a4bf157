package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/queue"
)

// maxPeek is how many messages of a queue the page shows.
const maxPeek = 50

// redrivePatience is how long the page waits for the end of a redrive, which goes
// on without it.
const redrivePatience = 5 * time.Second

// maxBody is how much of a message's body it shows.
const maxBody = 64 << 10

// QueueRow is a queue on the page.
type QueueRow struct {
	Name       string   `json:"name"`
	Label      string   `json:"label"`
	Visible    int      `json:"visible"`
	InFlight   int      `json:"inFlight"`
	Delayed    int      `json:"delayed"`
	Oldest     int64    `json:"oldest"` // Unix time in milliseconds; zero: it is empty
	DeadLetter string   `json:"deadLetter,omitempty"`
	Sources    []string `json:"sources,omitempty"` // labels of the queues whose dead letters it holds
	Error      string   `json:"error,omitempty"`
}

func (s *shown) queueLabel(q Queue) string { return strings.TrimPrefix(q.Name, s.labels.queues) }

func (c *Console) queueRows(time.Time) []QueueRow {
	all := c.shown.Load()
	rows := make([]QueueRow, 0, len(all.Queues))
	for _, q := range all.Queues {
		row := QueueRow{Name: q.Name, Label: all.queueLabel(q)}
		stats, err := c.cfg.Broker.Stats(q.ARN)
		if err != nil {
			row.Error = err.Error()
		}
		row.Visible, row.InFlight, row.Delayed = stats.Visible, stats.InFlight, stats.Delayed
		if !stats.OldestSent.IsZero() {
			row.Oldest = stats.OldestSent.UnixMilli()
		}
		for _, other := range all.Queues {
			if other.RedriveTarget == q.ARN {
				row.Sources = append(row.Sources, all.queueLabel(other))
			}
			if other.ARN == q.RedriveTarget {
				row.DeadLetter = all.queueLabel(other)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// MessageRow is a message on the page.
type MessageRow struct {
	ID         string            `json:"id"`
	Body       string            `json:"body"`
	Bytes      int               `json:"bytes"`
	Sent       int64             `json:"sent"`
	Receives   int               `json:"receives"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

func messageRow(m queue.Received) MessageRow {
	row := MessageRow{ID: m.MessageID, Body: m.Body, Bytes: len(m.Body), Attributes: map[string]string{}}
	if len(row.Body) > maxBody {
		row.Body = row.Body[:maxBody]
	}
	row.Sent, _ = strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64) // the broker's own
	row.Receives, _ = strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	for _, name := range []string{"AWSTraceHeader", "DeadLetterQueueSourceArn", "MessageGroupId"} {
		if v := m.Attributes[name]; v != "" {
			row.Attributes[name] = v
		}
	}
	for name, a := range m.MessageAttributes {
		if a.StringValue != nil {
			row.Attributes[name] = *a.StringValue
		}
	}
	return row
}

// queueNamed finds a queue that is shown.
func (c *Console) queueNamed(name string) (Queue, bool) {
	queues := c.shown.Load().Queues
	i := slices.IndexFunc(queues, func(q Queue) bool { return q.Name == name })
	if i < 0 {
		return Queue{}, false
	}
	return queues[i], true
}

func (c *Console) serveMessages(w http.ResponseWriter, r *http.Request) {
	q, ok := c.queueNamed(r.PathValue("name"))
	if !ok {
		fail(w, http.StatusNotFound, "There is no queue of this name.")
		return
	}
	messages, err := c.cfg.Broker.Peek(q.ARN, maxPeek)
	if err != nil {
		c.failed(w, r, err)
		return
	}
	rows := make([]MessageRow, 0, len(messages))
	for _, m := range messages {
		rows = append(rows, messageRow(m))
	}
	c.answer(w, map[string]any{"messages": rows, "limit": maxPeek})
}

func (c *Console) serveRedrive(w http.ResponseWriter, r *http.Request) {
	q, ok := c.queueNamed(r.PathValue("name"))
	if !ok {
		fail(w, http.StatusNotFound, "There is no queue of this name.")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), redrivePatience)
	defer cancel()
	moved, err := c.cfg.Broker.Redrive(ctx, q.ARN)
	var refused *queue.Error
	switch {
	case errors.As(err, &refused):
		fail(w, http.StatusConflict, fmt.Sprintf("%s (%d moved)", strings.TrimSuffix(refused.Message, "."), moved))
	case err != nil:
		c.failed(w, r, err)
	default:
		c.answer(w, map[string]int{"moved": moved})
	}
}
