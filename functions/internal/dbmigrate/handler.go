// Package dbmigrate brings the schema of the relational store up to date at each deploy, and
// rotates the key of the API's cursors.
//
// CloudFormation calls it as a custom resource whose property changes with the migrations.
// It answers on every path: that it cannot start, that a migration fails, that it has no
// more time. A deletion changes nothing: the data outlives the stack, or goes with it.
//
// A schedule calls it with a task instead, [RotateCursorKeys], since months may lie between
// two deploys that change it.
package dbmigrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/cfn"

	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/migrate"
)

// ResourceID is the physical id: there is one schema, whatever version it has.
const ResourceID = "stowage-relational-schema"

// Config is what the function is told by its environment.
type Config struct{ Database pgstore.Settings }

// ParseConfig reads the configuration; the error names all that is missing.
func ParseConfig(s *boot.Settings) (Config, error) {
	cfg := Config{Database: pgstore.ParseSettings(s)}
	return cfg, s.Err()
}

// Store is the database that the configuration names. What is wrong with the configuration
// is an answer too: CloudFormation would wait for one that never comes.
type Store struct {
	Open func() (pgstore.Config, error)
	Log  *slog.Logger
}

var _ Database = Store{}

// Migrate implements Database.
func (s Store) Migrate(ctx context.Context) (migrate.Result, error) {
	cfg, err := s.Open()
	if err != nil {
		return migrate.Result{}, err
	}
	return migrate.Run(ctx, cfg, s.Log)
}

// Rotate implements Database.
func (s Store) Rotate(ctx context.Context) (bool, error) {
	cfg, err := s.Open()
	if err != nil {
		return false, err
	}
	return migrate.Rotate(ctx, cfg, s.Log)
}

// RotateCursorKeys is the task of the schedule's event: {"task": "rotateCursorKeys"}.
const RotateCursorKeys = "rotateCursorKeys"

// Database is what there is to do.
type Database interface {
	// Migrate brings the schema up to date.
	Migrate(ctx context.Context) (migrate.Result, error)
	// Rotate makes a new cursor key when the newest is too old, and tells whether it did.
	Rotate(ctx context.Context) (bool, error)
}

// Handler answers CloudFormation and the schedule. It is safe for concurrent use.
type Handler struct {
	database Database
	log      *slog.Logger
}

// New returns a handler.
func New(database Database, log *slog.Logger) *Handler { return &Handler{database: database, log: log} }

// Handle does what an event asks for: a request of CloudFormation, which is answered where
// the request says, or a task of the schedule, whose error is the invocation's.
func (h *Handler) Handle(ctx context.Context, payload json.RawMessage) (any, error) {
	var task struct {
		Task string `json:"task"`
	}
	if err := json.Unmarshal(payload, &task); err != nil {
		return nil, fmt.Errorf("decode the event: %w", err)
	}
	switch task.Task {
	case "": // no request of CloudFormation has one
	case RotateCursorKeys:
		return h.rotate(ctx)
	default:
		return nil, fmt.Errorf("task %q is unknown: give %q, or a request of CloudFormation", task.Task, RotateCursorKeys)
	}
	var request cfn.Event
	if err := json.Unmarshal(payload, &request); err != nil {
		return nil, fmt.Errorf("decode the request of CloudFormation: %w", err)
	}
	return cfn.LambdaWrap(h.provide)(ctx, request)
}

// Rotation is the answer to RotateCursorKeys.
type Rotation struct {
	NewCursorKey bool `json:"newCursorKey"`
}

func (h *Handler) rotate(ctx context.Context) (Rotation, error) {
	rotated, err := h.database.Rotate(ctx)
	if err != nil {
		h.log.LogAttrs(ctx, slog.LevelError, "rotation of the cursor keys failed", slog.Any("error", err))
		return Rotation{}, err
	}
	h.log.LogAttrs(ctx, slog.LevelInfo, "cursor keys are young enough", slog.Bool("newCursorKey", rotated))
	return Rotation{NewCursorKey: rotated}, nil
}

// answerTime is kept of the invocation's time, to tell CloudFormation that it was too short.
const answerTime = 10 * time.Second

// provide answers one request of CloudFormation.
func (h *Handler) provide(ctx context.Context, e cfn.Event) (physicalID string, data map[string]any, err error) {
	if e.RequestType == cfn.RequestDelete {
		h.log.LogAttrs(ctx, slog.LevelInfo, "schema left as it is")
		return ResourceID, nil, nil
	}
	if e.RequestType != cfn.RequestCreate && e.RequestType != cfn.RequestUpdate {
		return ResourceID, nil, fmt.Errorf("request type %q is none of CloudFormation's", e.RequestType)
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-answerTime))
		defer cancel()
	}
	result, err := h.database.Migrate(ctx)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("the time of the function was too short; docs/runbooks/ledger.md, \"A failed migration\", says what to do: %w", err)
		}
		h.log.LogAttrs(ctx, slog.LevelError, "migration failed", slog.Any("error", err))
		return ResourceID, nil, err
	}
	h.log.LogAttrs(ctx, slog.LevelInfo, "schema is up to date",
		slog.Int64("from", result.From), slog.Int64("to", result.To), slog.Bool("newCursorKey", result.NewCursorKey))
	return ResourceID, map[string]any{"SchemaVersion": result.To}, nil
}
