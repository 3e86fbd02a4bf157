package bus

import (
	"container/heap"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/stowage-dev/stowage/scripts/local/statefile"
)

// outbox holds the deliveries that have not succeeded, on disk and, by due time, in memory.
type outbox struct {
	db   *bolt.DB
	wake chan struct{} // receives when something new may be due

	mu    sync.Mutex
	queue queue
}

// idle is how long the dispatcher sleeps when nothing is due; a wake ends it.
const idle = time.Hour

func bucketName() []byte { return []byte("deliveries") }

func openOutbox(file string) (*outbox, error) {
	db, err := statefile.Open(file)
	if err != nil {
		return nil, err
	}
	o := &outbox{db: db, wake: make(chan struct{}, 1)}
	err = db.Update(func(tx *bolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists(bucketName())
		if err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		return bucket.ForEach(func(k, v []byte) error {
			d := &delivery{seq: binary.BigEndian.Uint64(k)}
			if err := json.Unmarshal(v, d); err != nil {
				return fmt.Errorf("decode delivery %d: %w", d.seq, err)
			}
			o.queue = append(o.queue, d)
			return nil
		})
	})
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	heap.Init(&o.queue)
	return o, nil
}

// add makes deliveries durable and then due.
func (o *outbox) add(all []delivery) error {
	if len(all) == 0 {
		return nil
	}
	err := o.db.Update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(bucketName())
		for i := range all {
			seq, err := bucket.NextSequence()
			if err != nil {
				return err //nolint:wrapcheck // wrapped below
			}
			all[i].seq = seq
			if err := put(bucket, all[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store %d deliveries: %w", len(all), err)
	}
	o.mu.Lock()
	for i := range all {
		heap.Push(&o.queue, &all[i])
	}
	o.mu.Unlock()
	o.rouse()
	return nil
}

// retry stores that an attempt has failed and when the next one is due.
func (o *outbox) retry(d delivery) error {
	err := o.db.Update(func(tx *bolt.Tx) error { return put(tx.Bucket(bucketName()), d) })
	o.mu.Lock()
	heap.Push(&o.queue, &d)
	o.mu.Unlock()
	o.rouse()
	if err != nil {
		return fmt.Errorf("store %s: %w", d, err)
	}
	return nil
}

func (o *outbox) remove(seq uint64) error {
	err := o.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketName()).Delete(key(seq)) })
	if err != nil {
		return fmt.Errorf("remove delivery %d: %w", seq, err)
	}
	return nil
}

// take gives the next delivery that is due, or how long to wait for one.
func (o *outbox) take(now time.Time) (*delivery, time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		return nil, idle
	}
	if wait := o.queue[0].Due.Sub(now); wait > 0 {
		return nil, min(wait, idle)
	}
	return heap.Pop(&o.queue).(*delivery), 0
}

func (o *outbox) rouse() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) close() error {
	if err := o.db.Close(); err != nil {
		return fmt.Errorf("close the deliveries: %w", err)
	}
	return nil
}

func put(bucket *bolt.Bucket, d delivery) error {
	raw, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode %s: %w", d, err)
	}
	return bucket.Put(key(d.seq), raw) //nolint:wrapcheck // wrapped by the caller
}

func key(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }
