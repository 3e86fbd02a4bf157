package sources

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/stowage-dev/stowage/scripts/local/statefile"
)

// position is how far a shard has been processed.
type position struct {
	// Sequence is the last record that is done with; empty: none, begin at the oldest.
	Sequence string `json:"sequence"`
	// Done says that the shard was closed and is finished.
	Done bool `json:"done,omitempty"`
}

// checkpoints keeps positions, in a file when there is one. It does not wait for
// the disk: what it has written survives a kill of the process.
type checkpoints struct {
	db *bbolt.DB // nil: memory only

	mu     sync.Mutex
	memory map[string]position
}

var checkpointBucket = []byte("checkpoints")

func openCheckpoints(path string) (*checkpoints, error) {
	c := &checkpoints{memory: map[string]position{}}
	if path == "" {
		return c, nil
	}
	db, err := statefile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the checkpoints: %w", err)
	}
	c.db = db
	if err := db.Update(c.load); err != nil {
		return nil, errors.Join(fmt.Errorf("load checkpoints %s: %w", path, err), db.Close())
	}
	return c, nil
}

func (c *checkpoints) load(tx *bbolt.Tx) error {
	bucket, err := tx.CreateBucketIfNotExists(checkpointBucket)
	if err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	return bucket.ForEach(func(key, value []byte) error { //nolint:wrapcheck // the errors are our own
		var p position
		if err := json.Unmarshal(value, &p); err != nil {
			return fmt.Errorf("checkpoint %s: %w", key, err)
		}
		c.memory[string(key)] = p
		return nil
	})
}

func (c *checkpoints) get(key string) (position, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.memory[key]
	return p, ok
}

func (c *checkpoints) put(key string, p position) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.memory[key] = p
	if c.db == nil {
		return nil
	}
	value := mustEncode(p)
	err := c.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(checkpointBucket).Put([]byte(key), value) })
	if err != nil {
		return fmt.Errorf("save checkpoint %s: %w", key, err)
	}
	return nil
}

func (c *checkpoints) close() error {
	if c.db == nil {
		return nil
	}
	if err := c.db.Close(); err != nil {
		return fmt.Errorf("close checkpoints: %w", err)
	}
	return nil
}
