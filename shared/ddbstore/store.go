package ddbstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/fault"
)

// Config configures a Store.
type Config struct {
	// Table is the name of the catalog table. Required.
	Table string
	// Now tells the time. Nil: time.Now.
	Now func() time.Time
	// Random returns a number in [0, n), for jitter and for spreading load.
	// Nil: rand.Int64N.
	Random func(n int64) int64
	// Retry bounds how a contended write is repeated. Zero: DefaultRetry.
	Retry Retry
}

// Store reads and writes the catalog.
type Store struct {
	db     *dynamodb.Client
	table  string
	schema *catalog.Schema
	clock  func() time.Time
	random func(n int64) int64
	retry  Retry
}

// New returns a Store of the catalog in cfg.Table.
func New(db *dynamodb.Client, cfg Config) *Store {
	s := &Store{
		db:     db,
		table:  cfg.Table,
		schema: catalog.Declare(),
		clock:  cfg.Now,
		random: cfg.Random,
		retry:  cfg.Retry,
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.random == nil {
		s.random = rand.Int64N
	}
	if s.retry == (Retry{}) {
		s.retry = DefaultRetry()
	}
	return s
}

func (s *Store) now() time.Time { return stored(s.clock()) }

// stored returns t as the catalog will read it back.
func stored(t time.Time) time.Time { return t.UTC().Truncate(catalog.Precision) }

// get reads the item that v names, strongly consistent. what is the item's name
// in the NotFound error of one that does not exist.
func get[T any](ctx context.Context, s *Store, e *catalog.Entity[T], v T, what string) (T, error) {
	key := e.Key(v)
	out, err := s.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      &s.table,
		Key:            attributes(key.Item()),
		ConsistentRead: aws.Bool(true),
	})
	var none T
	if err != nil {
		return none, failure(err, "read %s", key)
	}
	if len(out.Item) == 0 {
		return none, fault.New(fault.NotFound, "there is no such %s", what)
	}
	found, err := e.Decode(item(out.Item))
	if err != nil {
		return none, fmt.Errorf("read %s: %w", key, err)
	}
	return found, nil
}
