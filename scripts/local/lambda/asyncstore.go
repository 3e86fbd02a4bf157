package lambda

import (
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/stowage-dev/stowage/scripts/local/statefile"
)

// memoryStore keeps nothing: the events live in their goroutines.
type memoryStore struct{}

func (memoryStore) save(asyncEvent) error       { return nil }
func (memoryStore) remove(string) error         { return nil }
func (memoryStore) load() ([]asyncEvent, error) { return nil, nil }
func (memoryStore) close() error                { return nil }

// eventFile keeps events in a file. It does not wait for the disk: what it has
// written survives a kill of the process, not a loss of power.
type eventFile struct{ db *bbolt.DB }

var eventBucket = []byte("events")

var (
	_ eventStore = memoryStore{}
	_ eventStore = (*eventFile)(nil)
)

func openEventFile(path string) (*eventFile, error) {
	db, err := statefile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the asynchronous events: %w", err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(eventBucket)
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare asynchronous events %s: %w", path, err), db.Close())
	}
	return &eventFile{db}, nil
}

func (f *eventFile) save(e asyncEvent) error {
	value, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	err = f.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(eventBucket).Put([]byte(e.ID), value) })
	if err != nil {
		return fmt.Errorf("save event: %w", err)
	}
	return nil
}

func (f *eventFile) remove(id string) error {
	err := f.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(eventBucket).Delete([]byte(id)) })
	if err != nil {
		return fmt.Errorf("remove event %s: %w", id, err)
	}
	return nil
}

func (f *eventFile) load() ([]asyncEvent, error) {
	var events []asyncEvent
	err := f.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(eventBucket).ForEach(func(id, value []byte) error {
			var e asyncEvent
			if err := json.Unmarshal(value, &e); err != nil {
				return fmt.Errorf("event %s: %w", id, err)
			}
			events = append(events, e)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("load asynchronous events: %w", err)
	}
	return events, nil
}

func (f *eventFile) close() error {
	if err := f.db.Close(); err != nil {
		return fmt.Errorf("close asynchronous events: %w", err)
	}
	return nil
}
