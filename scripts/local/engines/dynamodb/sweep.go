package dynamodb

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// sweepRequest asks the engine to delete expired items. It sweeps only when it
// is told to, and only over its tool interface.
const sweepRequest = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"sweep_ttl","arguments":{}}}`

const sweepTimeout = 30 * time.Second

type sweeper struct {
	url, token string
	logger     *slog.Logger
}

// run sweeps at an interval until ctx ends.
func (s *sweeper) run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.logger.Warn("expired items were not swept", "error", err)
		}
	}
}

func (s *sweeper) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, strings.NewReader(sweepRequest))
	if err != nil {
		return fmt.Errorf("build request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("call sweep_ttl: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return fmt.Errorf("read sweep_ttl's answer: %w", err)
	}
	var answer struct {
		Error  *struct{ Message string }
		Result struct{ IsError bool }
	}
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("sweep_ttl answered %s: %.200s", resp.Status, body)
	}
	if answer.Error != nil || answer.Result.IsError {
		return fmt.Errorf("sweep_ttl failed: %.200s", body)
	}
	return nil
}
