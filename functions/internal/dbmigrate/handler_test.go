package dbmigrate_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/cfn"

	"github.com/stowage-dev/stowage/functions/internal/dbmigrate"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/migrate"
	"github.com/stowage-dev/stowage/shared/pgstore/migrations"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// store is a database whose schema is brought up to date by a function.
type store struct {
	migrate func(context.Context) (migrate.Result, error)
}

func (s store) Migrate(ctx context.Context) (migrate.Result, error) { return s.migrate(ctx) }

func (store) Rotate(context.Context) (bool, error) {
	return false, errors.New("no key is to be rotated")
}

// answered sends a request of CloudFormation and returns what CloudFormation was told.
func answered(t *testing.T, db dbmigrate.Database, kind cfn.RequestType, deadline time.Duration) map[string]any {
	t.Helper()
	var told map[string]any
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(body, &told) != nil {
			t.Errorf("told %q, %v", body, err)
		}
	}))
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	request, err := json.Marshal(cfn.Event{
		RequestType: kind, RequestID: "r", ResponseURL: s.URL, StackID: "s", LogicalResourceID: "l", PhysicalResourceID: dbmigrate.ResourceID,
		ResourceProperties: map[string]any{"Migrations": "hash"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dbmigrate.New(db, slog.New(slog.DiscardHandler)).Handle(ctx, request); err != nil {
		t.Fatal(err)
	}
	return told
}

func TestAnswersOnEveryPath(t *testing.T) {
	t.Parallel()
	fails := func(context.Context) (migrate.Result, error) { return migrate.Result{}, errors.New("no such table") }
	hangs := func(ctx context.Context) (migrate.Result, error) { <-ctx.Done(); return migrate.Result{}, ctx.Err() }
	works := func(context.Context) (migrate.Result, error) { return migrate.Result{To: 2}, nil }
	for name, tc := range map[string]struct {
		migrate  func(context.Context) (migrate.Result, error)
		kind     cfn.RequestType
		deadline time.Duration
		want     string
	}{
		"create":      {works, cfn.RequestCreate, time.Minute, "SUCCESS"},
		"update":      {works, cfn.RequestUpdate, time.Minute, "SUCCESS"},
		"delete":      {fails, cfn.RequestDelete, time.Minute, "SUCCESS"},
		"fails":       {fails, cfn.RequestUpdate, time.Minute, "FAILED"},
		"no time":     {hangs, cfn.RequestCreate, 11 * time.Second, "FAILED"},
		"odd request": {works, "Upgrade", time.Minute, "FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := answered(t, store{tc.migrate}, tc.kind, tc.deadline)
			if told["Status"] != tc.want || told["PhysicalResourceId"] != dbmigrate.ResourceID {
				t.Errorf("told %v, want %s", told, tc.want)
			}
		})
	}
}

// stored is the database as the function has it.
func stored(d *pgtest.Database) dbmigrate.Store {
	return dbmigrate.Store{
		Open: func() (pgstore.Config, error) { return d.Config(pgtest.Master), nil },
		Log:  slog.New(slog.DiscardHandler),
	}
}

// TestRotatesAfter30Days asks as the schedule does: the newest key is replaced when it is 30
// days old and not before, once, and the one before it is kept.
func TestRotatesAfter30Days(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	admin := d.Admin(t)
	ids := func() (ids []int64) {
		if err := admin.QueryRow(t.Context(), "SELECT array_agg(id ORDER BY id) FROM stowage.cursor_keys").Scan(&ids); err != nil {
			t.Fatal(err)
		}
		return ids
	}
	handler := dbmigrate.New(stored(d), slog.New(slog.DiscardHandler))
	rotates := func(want bool) {
		t.Helper()
		got, err := handler.Handle(t.Context(), []byte(`{"task":"rotateCursorKeys"}`))
		if err != nil || got != (dbmigrate.Rotation{NewCursorKey: want}) {
			t.Errorf("rotated: %+v, %v, want %t", got, err, want)
		}
	}
	before := ids()
	for _, step := range []struct {
		age     string
		rotated bool
	}{{"0", false}, {"30 days -1 minute", false}, {"30 days", true}, {"30 days", true}, {"400 days", true}} {
		if _, err := admin.Exec(t.Context(), "UPDATE stowage.cursor_keys SET created_at = now() - $1::interval", step.age); err != nil {
			t.Fatal(err)
		}
		rotates(step.rotated)
		rotates(false)
		after := ids()
		switch {
		case !step.rotated && !slices.Equal(after, before):
			t.Errorf("%s old: keys %v became %v", step.age, before, after)
		case step.rotated && (len(after) != 2 || after[0] != before[len(before)-1] || after[1] <= after[0]):
			t.Errorf("%s old: keys %v became %v, want the newest of them and one more", step.age, before, after)
		}
		before = after
	}
}

// TestRotatesOnceHoweverOftenItIsAsked: a schedule may call twice at once. A second new key
// would throw the one away under which cursors are still out.
func TestRotatesOnceHoweverOftenItIsAsked(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	admin := d.Admin(t)
	for range 5 {
		if _, err := admin.Exec(t.Context(), "UPDATE stowage.cursor_keys SET created_at = now() - interval '31 days'"); err != nil {
			t.Fatal(err)
		}
		rotations := make(chan bool, 6)
		for range cap(rotations) {
			go func() {
				rotated, err := stored(d).Rotate(t.Context())
				if err != nil {
					t.Error(err)
				}
				rotations <- rotated
			}()
		}
		made := 0
		for range cap(rotations) {
			if <-rotations {
				made++
			}
		}
		if made != 1 {
			t.Errorf("%d new keys, want 1", made)
		}
	}
}

// TestWhatNobodyAsksFor: an event that is neither CloudFormation's nor the schedule's changes
// nothing, and fails.
func TestWhatNobodyAsksFor(t *testing.T) {
	t.Parallel()
	works := store{func(context.Context) (migrate.Result, error) { t.Error("migrated"); return migrate.Result{}, nil }}
	for _, event := range []string{`{}`, `{"task":"migrate"}`, `{"task":"rotateCursorKeys"}`, `{"task":1}`, `[]`, `null`} {
		if got, err := dbmigrate.New(works, slog.New(slog.DiscardHandler)).Handle(t.Context(), []byte(event)); err == nil {
			t.Errorf("%s: %v", event, got)
		}
	}
}

// TestMigratesADatabase runs the real thing: at first, and at the same time. It is not parallel:
// roles are of the server, and other databases' first migrations make them too.
func TestMigratesADatabase(t *testing.T) {
	d := pgtest.NewAt(t, pgtest.Shared(), 0)
	done := make(chan map[string]any, 3)
	for range cap(done) {
		go func() { done <- answered(t, stored(d), cfn.RequestUpdate, 2*time.Minute) }()
	}
	for range cap(done) {
		told := <-done
		data, _ := told["Data"].(map[string]any)
		if told["Status"] != "SUCCESS" || data["SchemaVersion"] != float64(migrations.Latest()) {
			t.Errorf("told %v", told)
		}
	}
	var keys int
	if err := d.Admin(t).QueryRow(t.Context(), "SELECT count(*) FROM stowage.cursor_keys").Scan(&keys); err != nil || keys != 1 {
		t.Errorf("%d cursor keys, %v", keys, err)
	}
}
