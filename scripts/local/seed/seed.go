// Package seed gives a fresh stack two workspaces with an owner each, through
// the HTTP API alone, as any client would. Doing it again changes nothing, and is refused nothing.
package seed

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
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

// workspace asks for the workspace where the user's token says that it is theirs, and
// creates it otherwise. Whoever creates a workspace owns it.
func (s Seeder) workspace(ctx context.Context, w Workspace) error {
	token, _, err := s.Mint(ctx, w.Sub)
	if err != nil {
		return fmt.Errorf("mint a token for %s: %w", w.Sub, err)
	}
	if owns(token, w.ID) {
		return s.send(ctx, token, http.MethodGet, "/v1/workspaces/"+w.ID, nil, http.StatusOK)
	}
	return s.send(ctx, token, http.MethodPost, "/v1/workspaces", map[string]string{"id": w.ID, "name": w.Name}, http.StatusCreated)
}

// owns says whether a token lists its user as the owner of a workspace. It does not verify
// the token, which was minted a moment ago.
func owns(token, workspace string) bool {
	_, rest, _ := strings.Cut(token, ".")
	encoded, _, _ := strings.Cut(rest, ".")
	payload, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return false
	}
	var claims struct {
		Workspaces string `json:"stowage:workspaces"` // <workspace>:<role> for each, separated by spaces
	}
	return json.Unmarshal(payload, &claims) == nil && slices.Contains(strings.Fields(claims.Workspaces), workspace+":owner")
}

// send makes one call, which is to be answered with a status. Without a body, body is nil.
func (s Seeder) send(ctx context.Context, token, method, path string, body any, want int) error {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
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
	if resp.StatusCode == want {
		return nil
	}
	return errors.Join(fmt.Errorf("%s %s answered %s: %s", method, path, resp.Status, bytes.TrimSpace(answer)), err)
}
