// Package seed gives a fresh stack two workspaces with an owner each, through
// the HTTP API alone, as any client would. Doing it again changes nothing.
package seed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Workspace is a workspace and the user who owns it.
type Workspace struct {
	ID, Name string
	Sub      string
}

// Workspaces are the ones that demos and tests count on.
func Workspaces() []Workspace {
	return []Workspace{
		{ID: "alpha", Name: "Alpha", Sub: "alpha-user"},
		{ID: "beta", Name: "Beta", Sub: "beta-user"},
	}
}

// Minter issues an access token to a user.
type Minter func(ctx context.Context, sub string) (token string, expires time.Time, err error)

// Seeder creates workspaces.
type Seeder struct {
	APIURL string
	Mint   Minter
	Client *http.Client // nil: http.DefaultClient
}

// Run makes sure that every workspace exists and that its user owns it.
func (s Seeder) Run(ctx context.Context, workspaces []Workspace) error {
	for _, w := range workspaces {
		if err := s.workspace(ctx, w); err != nil {
			return fmt.Errorf("seed workspace %s: %w", w.ID, err)
		}
	}
	return nil
}

// Tokens mints a token for each workspace's user, after Run, so that the tokens
// list the workspaces. It also tells when the first of them ends.
func (s Seeder) Tokens(ctx context.Context, workspaces []Workspace) (map[string]string, time.Time, error) {
	tokens := map[string]string{}
	var ends time.Time
	for _, w := range workspaces {
		token, expires, err := s.Mint(ctx, w.Sub)
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("mint a token for %s: %w", w.Sub, err)
		}
		tokens[w.ID] = token
		if ends.IsZero() || expires.Before(ends) {
			ends = expires
		}
	}
	return tokens, ends, nil
}

func (s Seeder) workspace(ctx context.Context, w Workspace) error {
	token, _, err := s.Mint(ctx, w.Sub)
	if err != nil {
		return fmt.Errorf("mint a token for %s: %w", w.Sub, err)
	}
	err = s.send(ctx, token, http.MethodPost, "/v1/workspaces", map[string]string{"id": w.ID, "name": w.Name}, http.StatusCreated, http.StatusConflict)
	if err != nil {
		return err
	}
	return s.send(ctx, token, http.MethodPut, "/v1/workspaces/"+w.ID+"/members/"+w.Sub, map[string]string{"role": "owner"}, http.StatusOK, http.StatusCreated, http.StatusNoContent)
}

// send makes one call, of which several outcomes are good.
func (s Seeder) send(ctx context.Context, token, method, path string, body any, good ...int) error {
	payload, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.APIURL+path, bytes.NewReader(payload))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("call the API: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	for _, status := range good {
		if resp.StatusCode == status {
			return nil
		}
	}
	return errors.Join(fmt.Errorf("%s %s answered %s: %s", method, path, resp.Status, bytes.TrimSpace(answer)), err)
}
