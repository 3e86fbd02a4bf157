// Package migrate brings the schema of the relational store up to date, and rotates the key
// of the API's cursors.
//
// It connects to the cluster, not to the proxy: the advisory lock that keeps two
// migrations from running at once belongs to a session.
package migrate

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/internal/queries"
	"github.com/stowage-dev/stowage/shared/pgstore/migrations"
)

const (
	// patience is how long a database that takes no connections is waited for: it may
	// have been created a moment ago, or be waking up from 0 ACU.
	patience = time.Minute
	pause    = time.Second
	// lockWait is how long another migration is waited for, in seconds.
	lockWait = 120
	// lockTimeout is how long a statement waits for a lock. Whoever wants the same table waits
	// behind it, and the roles of the functions do so for 4 s at least.
	lockTimeout = 2 * time.Second
	// lockPause lets them have their turn before the lock is asked for again.
	lockPause = 3 * time.Second
	// attemptTime is what an attempt should have: to pause, connect, wait and change something.
	attemptTime = 10 * time.Second
	// lockNotAvailable is what the server says when lockTimeout is over.
	lockNotAvailable = "55P03"
	// keyDays is how old the newest cursor key may get.
	keyDays  = 30
	keyBytes = 32
)

// Result is what was done.
type Result struct {
	// From and To are the versions of the schema before and after. A database may be ahead
	// of the migrations, after a deploy was rolled back: then it is left as it is.
	From, To int64
	// NewCursorKey tells that the key of the API's cursors was rotated.
	NewCursorKey bool
}

// Run applies the migrations that are missing, and rotates the cursor keys when they are
// due. It is safe to run any number of times, and at the same time.
//
// While others have a table it waits for a lock 2 s at a time, so that nobody waits long
// behind it, and tries again until the context's time is nearly up.
func Run(ctx context.Context, cfg pgstore.Config, log *slog.Logger) (Result, error) {
	return To(ctx, cfg, log, migrations.Latest())
}

// To is Run up to one version of the schema.
func To(ctx context.Context, cfg pgstore.Config, log *slog.Logger, version int64) (Result, error) {
	result := Result{From: -1}
	err := persist(ctx, cfg, log, func(db *sql.DB) error {
		from, to, err := migrate(ctx, db, log, version)
		if result.From < 0 { // an attempt that failed may have applied some
			result.From = from
		}
		if err != nil {
			return err
		}
		result.To = to
		result.NewCursorKey, err = rotate(ctx, db)
		return err
	})
	if err != nil {
		return Result{}, err
	}
	return result, nil
}

// Rotate makes a new cursor key when the newest is over 30 days old, keeps the newest two,
// and tells whether it made one. It changes nothing else, and is safe to run any number of
// times, and at the same time.
func Rotate(ctx context.Context, cfg pgstore.Config, log *slog.Logger) (bool, error) {
	var rotated bool
	err := persist(ctx, cfg, log, func(db *sql.DB) error {
		var err error
		rotated, err = rotate(ctx, db)
		return err
	})
	return rotated, err
}

// persist runs do with the database until it is refused no lock any more. A migration that
// was refused one begins anew on a new connection, with the settings of a new one.
func persist(ctx context.Context, cfg pgstore.Config, log *slog.Logger, do func(*sql.DB) error) error {
	begun := time.Now()
	for {
		err := connected(ctx, cfg, log, do)
		if said := (*pgconn.PgError)(nil); !errors.As(err, &said) || said.Code != lockNotAvailable {
			return err
		}
		log.LogAttrs(ctx, slog.LevelWarn, "lock refused", slog.Any("error", pgstore.Redact(err)))
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < attemptTime {
			return heldUp(time.Since(begun), err)
		}
		select {
		case <-ctx.Done():
			return heldUp(time.Since(begun), err)
		case <-time.After(lockPause):
		}
	}
}

// heldUp is the error of who had no lock in all of its time.
func heldUp(took time.Duration, err error) error {
	return fmt.Errorf("a transaction has held a table for %s, so that it cannot be changed: wait for its end or end it, "+
		"then deploy again; docs/runbooks/ledger.md, \"A failed migration\", says how to find it: %w", took.Round(time.Second), err)
}

// connected runs do with the database, once it takes connections.
func connected(ctx context.Context, cfg pgstore.Config, log *slog.Logger, do func(*sql.DB) error) error {
	conn, before, err := cfg.Connector()
	if err != nil {
		return err
	}
	conn.RuntimeParams["lock_timeout"] = strconv.FormatInt(lockTimeout.Milliseconds(), 10)
	db := stdlib.OpenDB(*conn, stdlib.OptionBeforeConnect(before))
	defer func() { _ = db.Close() }()
	if err := await(ctx, db, log); err != nil {
		return err
	}
	return do(db)
}

// await connects, and tries again for a while.
func await(ctx context.Context, db *sql.DB, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		if pgstore.Untrusted(err) || ctx.Err() != nil {
			return fmt.Errorf("connect to the database: %w", pgstore.Redact(err))
		}
		log.LogAttrs(ctx, slog.LevelWarn, "database not reached yet", slog.Any("error", pgstore.Redact(err)))
		select {
		case <-ctx.Done():
			return fmt.Errorf("connect to the database within %s: %w", patience, pgstore.Redact(err))
		case <-time.After(pause):
		}
	}
}

// migrate returns the versions before and after. The one before is told also when it fails,
// or is -1 when it is not known.
func migrate(ctx context.Context, db *sql.DB, log *slog.Logger, version int64) (from, to int64, err error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, lockWait))
	if err != nil {
		return -1, 0, fmt.Errorf("prepare the migrations' lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS, goose.WithSessionLocker(locker))
	if err != nil {
		return -1, 0, fmt.Errorf("read the migrations: %w", err)
	}
	from, err = provider.GetDBVersion(ctx)
	if err != nil {
		return -1, 0, fmt.Errorf("read the schema's version: %w", pgstore.Redact(err))
	}
	if from > version {
		log.LogAttrs(ctx, slog.LevelWarn, "schema is ahead of these migrations", slog.Int64("schema", from), slog.Int64("migrations", version))
		return from, from, nil
	}
	applied, err := provider.UpTo(ctx, version)
	for _, r := range applied {
		log.LogAttrs(ctx, slog.LevelInfo, "migration applied", slog.String("migration", r.Source.Path), slog.Int64("millis", r.Duration.Milliseconds()))
	}
	if err != nil {
		return from, 0, fmt.Errorf("migrate from version %d to %d: %w", from, version, err)
	}
	to, err = provider.GetDBVersion(ctx)
	if err != nil {
		return from, 0, fmt.Errorf("read the schema's version: %w", pgstore.Redact(err))
	}
	return from, to, nil
}

// lockKeys lets one rotation after another look at the keys, and everybody read them: of two
// at once each would make a key, and the one before both would be dropped.
const lockKeys = "LOCK TABLE stowage.cursor_keys IN SHARE ROW EXCLUSIVE MODE"

// rotate makes a new cursor key when there is none that is young enough.
func rotate(ctx context.Context, db *sql.DB) (bool, error) {
	secret := make([]byte, keyBytes)
	if _, err := io.ReadFull(rand.Reader, secret); err != nil {
		return false, fmt.Errorf("draw a cursor key: %w", err)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return false, fmt.Errorf("connect to rotate the cursor keys: %w", pgstore.Redact(err))
	}
	defer func() { _ = conn.Close() }()
	var added int64
	err = conn.Raw(func(driver any) error {
		c, ok := driver.(*stdlib.Conn)
		if !ok {
			return errors.New("the driver is not pgx")
		}
		return pgx.BeginFunc(ctx, c.Conn(), func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, lockKeys); err != nil {
				return fmt.Errorf("lock the cursor keys: %w", err)
			}
			q := queries.New(tx)
			var err error
			if added, err = q.AddCursorKey(ctx, queries.AddCursorKeyParams{Secret: secret, MostDays: keyDays}); err != nil || added == 0 {
				return err
			}
			return q.DropOldCursorKeys(ctx)
		})
	})
	if err != nil {
		return false, fmt.Errorf("rotate the cursor keys: %w", pgstore.Redact(err))
	}
	return added > 0, nil
}
