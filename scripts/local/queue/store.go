package queue

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/stowage-dev/stowage/scripts/local/statefile"
)

// store keeps messages in a file. It does not wait for the disk: what it has written survives a
// kill of the process, not a loss of power. A nil *store keeps nothing.
//
// Each queue has a bucket with three in it: messages and receives by sequence number, and the
// deduplication ids of a FIFO queue. Receives are apart so that receiving a message does not
// write its body again.
type store struct{ db *bbolt.DB }

var (
	bucketMessages = []byte("messages")
	bucketReceives = []byte("receives")
	bucketDedup    = []byte("deduplication")
)

// receipts is the changing part of a message that is kept.
type receipts struct {
	Count int       `json:"count"`
	First time.Time `json:"first"`
}

func openStore(path string) (*store, error) {
	if path == "" {
		return nil, nil
	}
	db, err := statefile.Open(path)
	if err != nil {
		return nil, err
	}
	return &store{db}, nil
}

func (s *store) close() error {
	if s == nil {
		return nil
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close queues: %w", err)
	}
	return nil
}

// batch is a set of changes that become durable together.
type batch struct{ writes []func(tx *bbolt.Tx) error }

func (w *batch) bucket(q *queueState, name []byte, do func(b *bbolt.Bucket) error) {
	w.writes = append(w.writes, func(tx *bbolt.Tx) error { return do(tx.Bucket([]byte(q.Name)).Bucket(name)) })
}

// insert adds a message, its receives, and the queue's progress in numbering.
func (w *batch) insert(q *queueState, m *message) {
	w.bucket(q, bucketMessages, func(b *bbolt.Bucket) error {
		value, err := json.Marshal(m.record)
		if err != nil {
			return fmt.Errorf("encode message %s: %w", m.ID, err)
		}
		if err := b.SetSequence(m.seq); err != nil {
			return fmt.Errorf("number message %s: %w", m.ID, err)
		}
		return b.Put(key(m.seq), value)
	})
	if m.receives > 0 {
		w.receive(q, m)
	}
}

func (w *batch) receive(q *queueState, m *message) {
	seq, value := m.seq, receipts{m.receives, m.firstReceived}
	w.bucket(q, bucketReceives, func(b *bbolt.Bucket) error {
		encoded, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("encode receives: %w", err)
		}
		return b.Put(key(seq), encoded)
	})
}

func (w *batch) remove(q *queueState, m *message) {
	seq := m.seq
	w.bucket(q, bucketMessages, func(b *bbolt.Bucket) error { return b.Delete(key(seq)) })
	w.bucket(q, bucketReceives, func(b *bbolt.Bucket) error { return b.Delete(key(seq)) })
}

func (w *batch) remember(q *queueState, id string, d duplicate) {
	w.bucket(q, bucketDedup, func(b *bbolt.Bucket) error {
		value, err := json.Marshal(d)
		if err != nil {
			return fmt.Errorf("encode deduplication id: %w", err)
		}
		return b.Put([]byte(id), value)
	})
}

func (w *batch) forget(q *queueState, id string) {
	w.bucket(q, bucketDedup, func(b *bbolt.Bucket) error { return b.Delete([]byte(id)) })
}

// commit makes the changes durable.
func (s *store) commit(w *batch) error {
	if s == nil || len(w.writes) == 0 {
		return nil
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		for _, write := range w.writes {
			if err := write(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write queues: %w", err)
	}
	return nil
}

// load fills a queue with what is kept of it. What was in flight is visible again: whoever had
// received it ended with the former runtime.
func (s *store) load(q *queueState, now time.Time) error {
	if s == nil {
		return nil
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		root, err := tx.CreateBucketIfNotExists([]byte(q.Name))
		if err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		var errs []error
		for _, name := range [][]byte{bucketMessages, bucketReceives, bucketDedup} {
			_, err := root.CreateBucketIfNotExists(name)
			errs = append(errs, err)
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		q.nextSeq = root.Bucket(bucketMessages).Sequence() + 1
		return errors.Join(loadMessages(q, root, now), loadDuplicates(q, root, now))
	})
	if err != nil {
		return fmt.Errorf("load queue %s: %w", q.Name, err)
	}
	return nil
}

func loadMessages(q *queueState, root *bbolt.Bucket, now time.Time) error {
	return root.Bucket(bucketMessages).ForEach(func(k, value []byte) error { //nolint:wrapcheck // the errors are our own
		m := &message{seq: binary.BigEndian.Uint64(k)}
		if err := json.Unmarshal(value, &m.record); err != nil {
			return fmt.Errorf("message %d: %w", m.seq, err)
		}
		if encoded := root.Bucket(bucketReceives).Get(k); encoded != nil {
			var r receipts
			if err := json.Unmarshal(encoded, &r); err != nil {
				return fmt.Errorf("receives of message %d: %w", m.seq, err)
			}
			m.receives, m.firstReceived = r.Count, r.First
		}
		if due := m.Sent.Add(m.Delay); m.receives == 0 && due.After(now) {
			m.status, m.due = delayed, due
		}
		q.add(m)
		return nil
	})
}

func loadDuplicates(q *queueState, root *bbolt.Bucket, now time.Time) error {
	b := root.Bucket(bucketDedup)
	cursor := b.Cursor()
	for id, value := cursor.First(); id != nil; id, value = cursor.Next() {
		var d duplicate
		if err := json.Unmarshal(value, &d); err != nil {
			return fmt.Errorf("deduplication id %q: %w", id, err)
		}
		if d.Until.After(now) {
			q.dedup[string(id)] = d
		} else if err := cursor.Delete(); err != nil {
			return fmt.Errorf("drop deduplication id %q: %w", id, err)
		}
	}
	return nil
}

func key(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }
