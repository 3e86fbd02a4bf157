// Package dbmigrate brings the schema of the relational store up to date at each deploy.
//
// CloudFormation calls it as a custom resource whose property changes with the migrations.
// It answers on every path: that it cannot start, that a migration fails, that it has no
// more time. A deletion changes nothing: the data outlives the stack, or goes with it.
package dbmigrate

import (
	"context"
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

// Migrate brings the schema up to date.
type Migrate func(ctx context.Context) (migrate.Result, error)

// Handler answers CloudFormation. It is safe for concurrent use.
type Handler struct {
	migrate Migrate
	log     *slog.Logger
}

// New returns a handler.
func New(migrate Migrate, log *slog.Logger) *Handler { return &Handler{migrate: migrate, log: log} }

// answerTime is kept of the invocation's time, to tell CloudFormation that it was too short.
const answerTime = 10 * time.Second

// Handle answers one request of CloudFormation.
func (h *Handler) Handle(ctx context.Context, e cfn.Event) (physicalID string, data map[string]any, err error) {
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
	result, err := h.migrate(ctx)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("the time of the function was too short: %w", err)
		}
		h.log.LogAttrs(ctx, slog.LevelError, "migration failed", slog.Any("error", err))
		return ResourceID, nil, err
	}
	h.log.LogAttrs(ctx, slog.LevelInfo, "schema is up to date",
		slog.Int64("from", result.From), slog.Int64("to", result.To), slog.Bool("newCursorKey", result.NewCursorKey))
	return ResourceID, map[string]any{"SchemaVersion": result.To}, nil
}
