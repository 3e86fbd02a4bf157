package pgstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/shared/pgstore/internal/queries"
	"github.com/stowage-dev/stowage/shared/search"
)

// candidates is how many matches are ranked: those that the index finds first. A word that
// a large part of all names have would otherwise cost as much as reading all of them.
const candidates = 1000

// FindFilter narrows what is found. Zero fields filter nothing.
type FindFilter struct {
	// Folder is where the object lies, or below.
	Folder string
	// ContentType is one, or a kind such as "image/*".
	ContentType      string
	Tags             map[string]string
	MinSize, MaxSize *int64
	// After and Before bound when the object was last changed.
	After, Before time.Time
}

// FindPosition is where a page of hits begins: after that object.
type FindPosition struct {
	Rank   float32 `json:"r"`
	Object string  `json:"o"`
}

// Find returns the available objects of a workspace that match, best first, and where the
// next page begins: nil when there is none.
func (db *DB) Find(ctx context.Context, workspace string, query search.Query, f FindFilter, from *FindPosition, limit int) (hits []search.Hit, next *FindPosition, err error) {
	in := queries.FindParams{
		Workspace: workspace, Folder: optional(f.Folder), ContentType: optional(f.ContentType),
		MinSize: f.MinSize, MaxSize: f.MaxSize, After: optionalTime(f.After), Before: optionalTime(f.Before),
		Candidates: candidates, Page: int32(limit + 1),
	}
	for _, a := range query.Alternatives() {
		in.Wanted, in.Unwanted = append(in.Wanted, a.Wanted), append(in.Unwanted, a.Unwanted)
	}
	if len(f.Tags) > 0 {
		text, err := json.Marshal(f.Tags)
		if err != nil {
			return nil, nil, fmt.Errorf("encode tags: %w", err)
		}
		in.Tags = optional(string(text))
		in.TagWords = optional(strings.Join(search.Document{Tags: f.Tags}.TagWords(), " "))
	}
	if from != nil {
		in.FromRank, in.FromObject = &from.Rank, &from.Object
	}
	words := query.Words()
	t := transaction{name: "Find", single: true, workspaces: []string{workspace}}
	t.do = func(ctx context.Context, q *queries.Queries) error {
		rows, err := q.Find(ctx, in)
		if err != nil {
			return fmt.Errorf("find objects: %w", err)
		}
		hits, next = make([]search.Hit, 0, len(rows)), nil
		for i, r := range rows {
			if i == limit {
				last := hits[limit-1]
				next = &FindPosition{last.Rank, last.Object}
				break
			}
			h, err := hitOf(r, words)
			if err != nil {
				return err
			}
			hits = append(hits, h)
		}
		return nil
	}
	return hits, next, db.read(ctx, t)
}

func hitOf(r *queries.FindRow, words []string) (search.Hit, error) {
	h := search.Hit{
		Object: r.Object, Rev: r.Rev, Version: r.Version, Path: r.Path, ContentType: r.ContentType, Size: r.Size,
		UpdatedAt: r.UpdatedAt.UTC(), Rank: r.Rank, Name: search.Highlight(r.Path, words), Body: search.Pieces(r.BodyMarked),
	}
	if err := json.Unmarshal([]byte(r.Tags), &h.Tags); err != nil {
		return search.Hit{}, fmt.Errorf("decode the tags of %s: %w", r.Object, err)
	}
	if !matched(h.Body) { // only the name, tags or metadata did
		h.Body = nil
	}
	return h, nil
}

func matched(pieces []search.Piece) bool {
	for _, p := range pieces {
		if p.Match {
			return true
		}
	}
	return false
}

// Nearest returns, for each word that no name and no tag of the workspace has, the most
// similar one that some name or tag has.
func (db *DB) Nearest(ctx context.Context, workspace string, words []string) (map[string]string, error) {
	meant := map[string]string{}
	t := transaction{name: "Nearest", single: true, workspaces: []string{workspace}}
	t.do = func(ctx context.Context, q *queries.Queries) error {
		rows, err := q.Nearest(ctx, queries.NearestParams{Workspace: workspace, Words: words})
		if err != nil {
			return fmt.Errorf("find the nearest words: %w", err)
		}
		clear(meant)
		for _, r := range rows {
			meant[r.Word] = r.Meant
		}
		return nil
	}
	if err := db.read(ctx, t); err != nil {
		return nil, err
	}
	return meant, nil
}
