package client

import (
	"context"
	"iter"
	"net/url"
	"strconv"
	"time"
)

// Piece is a piece of a text: one that matches what was looked for, or what stands between.
type Piece struct {
	Text  string `json:"text"`
	Match bool   `json:"match"`
}

// Hit is an object that a search has found.
type Hit struct {
	ID          string            `json:"id"` // the object's
	Path        string            `json:"path"`
	Version     string            `json:"version"`
	Rev         int64             `json:"rev"` // the one that the index knows: the object may have a later one
	Size        int64             `json:"size"`
	ContentType string            `json:"contentType"`
	Tags        map[string]string `json:"tags"`
	UpdatedAt   time.Time         `json:"updatedAt"`
	Rank        float32           `json:"rank"` // between 0 and 1; more is better
	Name        []Piece           `json:"name"` // the path
	Text        []Piece           `json:"text"` // the best of the text, where it matches
}

// SearchOptions narrows a search. Nil finds all that the words find.
type SearchOptions struct {
	Folder      string // only below it
	ContentType string // such as text/plain, or a kind such as image/*
	Tags        map[string]string
	MinSize     int64
	MaxSize     int64     // zero: any
	After       time.Time // changed then or later
	Before      time.Time
	// Corrected is called, before the first hit, with what was looked for instead when
	// nothing matched what was asked for.
	Corrected func(query string)
}

// Search yields the available objects whose name, tags, metadata or text have the words of
// query ("phrases", OR and -words as well), page by page, the best first. It is there where
// the relational stack is deployed; elsewhere it yields a Problem with the status 404.
func (c *Client) Search(ctx context.Context, query string, opts *SearchOptions) iter.Seq2[Hit, error] {
	if opts == nil {
		opts = &SearchOptions{}
	}
	values := url.Values{"q": {query}}
	setText(values, "folder", opts.Folder)
	setText(values, "contentType", opts.ContentType)
	for name, value := range opts.Tags {
		values.Add("tag", name+":"+value)
	}
	if opts.MinSize > 0 {
		values.Set("minSize", strconv.FormatInt(opts.MinSize, 10))
	}
	if opts.MaxSize > 0 {
		values.Set("maxSize", strconv.FormatInt(opts.MaxSize, 10))
	}
	setTime(values, "updatedAfter", opts.After)
	setTime(values, "updatedBefore", opts.Before)
	return follow(ctx, c, "/v1/search", values, func(first page[Hit]) {
		if first.Corrected != "" && opts.Corrected != nil {
			opts.Corrected(first.Corrected)
		}
	})
}
