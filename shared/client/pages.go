package client

import (
	"context"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"time"
)

// page is a page of a list.
type page[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"nextCursor"`
	Corrected  string  `json:"corrected"` // of a search
}

// pages follows a list's cursors to its end.
func pages[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return follow(ctx, c, path, query, func(page[T]) {})
}

// follow is pages that shows the first page before its items are yielded. It begins anew
// each time that it is ranged over.
func follow[T any](ctx context.Context, c *Client, path string, query url.Values, show func(first page[T])) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		query := maps.Clone(query)
		for show := show; ; show = func(page[T]) {} {
			var p page[T]
			if err := c.call(ctx, request{method: http.MethodGet, path: path, query: query, out: &p}); err != nil {
				var none T
				yield(none, err)
				return
			}
			show(p)
			for _, item := range p.Items {
				if !yield(item, nil) {
					return
				}
			}
			if p.NextCursor == nil || *p.NextCursor == "" {
				return
			}
			query.Set("cursor", *p.NextCursor)
		}
	}
}

// setText sets a parameter that is not empty.
func setText(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

// setTime sets a parameter that is not zero.
func setTime(query url.Values, name string, t time.Time) {
	if !t.IsZero() {
		query.Set(name, t.UTC().Format(time.RFC3339Nano))
	}
}
