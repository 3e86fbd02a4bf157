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
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/cfn"

	"github.com/stowage-dev/stowage/functions/internal/dbmigrate"
	"github.com/stowage-dev/stowage/shared/pgstore/migrate"
	"github.com/stowage-dev/stowage/shared/pgstore/migrations"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// answered sends a request of CloudFormation through cfn's wrapper, as the function does,
// and returns what CloudFormation was told.
func answered(t *testing.T, m dbmigrate.Migrate, kind cfn.RequestType, deadline time.Duration) map[string]any {
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
	h := dbmigrate.New(m, slog.New(slog.DiscardHandler))
	_, err := cfn.LambdaWrap(h.Handle)(ctx, cfn.Event{
		RequestType: kind, RequestID: "r", ResponseURL: s.URL, StackID: "s", LogicalResourceID: "l", PhysicalResourceID: dbmigrate.ResourceID,
		ResourceProperties: map[string]any{"Migrations": "hash"},
	})
	if err != nil {
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
		migrate  dbmigrate.Migrate
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
			told := answered(t, tc.migrate, tc.kind, tc.deadline)
			if told["Status"] != tc.want || told["PhysicalResourceId"] != dbmigrate.ResourceID {
				t.Errorf("told %v, want %s", told, tc.want)
			}
		})
	}
}

// TestMigratesADatabase runs the real thing: at first, again, and at the same time.
func TestMigratesADatabase(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	run := func(ctx context.Context) (migrate.Result, error) {
		return migrate.Run(ctx, d.Config(pgtest.Master), slog.New(slog.DiscardHandler))
	}
	done := make(chan map[string]any, 3)
	for range cap(done) {
		go func() { done <- answered(t, run, cfn.RequestUpdate, 2*time.Minute) }()
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
