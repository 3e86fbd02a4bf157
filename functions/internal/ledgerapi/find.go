package ledgerapi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/functions/internal/tenancy"
	"github.com/stowage-dev/stowage/shared/cursor"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/search"
)

type hitView struct {
	ID          string            `json:"id" doc:"The object's id."`
	Path        string            `json:"path" example:"reports/2026/q3.pdf"`
	Version     string            `json:"version"`
	Rev         int64             `json:"rev" doc:"The rev that the index knows: the object may have a later one."`
	Size        int64             `json:"size"`
	ContentType string            `json:"contentType"`
	Tags        map[string]string `json:"tags,omitempty"`
	UpdatedAt   time.Time         `json:"updatedAt"`
	Rank        float32           `json:"rank" doc:"Between 0 and 1; more is better."`
	Name        []search.Piece    `json:"name" nullable:"false" doc:"The path in pieces, those that match marked."`
	Text        []search.Piece    `json:"text,omitempty" doc:"The best of the text in pieces, where it matches."`
}

type searchQuery struct {
	Cursor        string    `query:"cursor" maxLength:"8192" doc:"nextCursor of the page before."`
	Limit         int       `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"The most items of the page."`
	Q             string    `query:"q" required:"true" minLength:"1" maxLength:"500" doc:"Words, \"phrases\", OR, and -words that are not to be there." example:"annual report -draft"`
	Folder        string    `query:"folder" maxLength:"1024" doc:"Only below that folder." example:"reports"`
	ContentType   string    `query:"contentType" maxLength:"320" doc:"Only of that type, or of a kind such as image/*." example:"text/*"`
	Tag           []string  `query:"tag,explode" maxItems:"10" doc:"Only with that tag: name:value." example:"department:finance"`
	MinSize       int64     `query:"minSize" minimum:"0" doc:"Only of at least so many bytes."`
	MaxSize       int64     `query:"maxSize" minimum:"-1" default:"-1" doc:"Only of at most so many bytes; -1 is any."`
	UpdatedAfter  time.Time `query:"updatedAfter" doc:"Only changed then or later."`
	UpdatedBefore time.Time `query:"updatedBefore" doc:"Only changed before."`
}

type searchAnswer struct {
	Body struct {
		Items      []hitView `json:"items" nullable:"false"`
		Corrected  string    `json:"corrected,omitempty" doc:"What was looked for instead, as nothing matched what was asked for."`
		NextCursor *string   `json:"nextCursor" doc:"For the next page; null on the last one."`
	}
}

func (a *api) search(ctx context.Context, in *searchQuery) (*searchAnswer, error) {
	query, err := search.Parse(in.Q)
	if err != nil {
		return nil, fault.Inside("query.", err)
	}
	filter, err := in.filter()
	if err != nil {
		return nil, err
	}
	ws := tenancy.CallerFrom(ctx).Workspace
	binding := cursor.Binding{Workspace: ws, Query: "search " + query.String() + " " + in.spelling(filter)}
	position, err := a.position(ctx, binding, in.Cursor)
	if err != nil {
		return nil, err
	}
	from, query, corrected, err := resume(position, query)
	if err != nil {
		return nil, err
	}
	hits, next, err := a.Ledger.Find(ctx, ws, query, filter, from, in.Limit)
	if err == nil && len(hits) == 0 && from == nil {
		hits, next, query, corrected, err = a.corrected(ctx, ws, query, filter, in.Limit)
	}
	if err != nil {
		return nil, fmt.Errorf("search in %s: %w", ws, err)
	}
	out := &searchAnswer{}
	if corrected {
		out.Body.Corrected = query.String()
	}
	out.Body.Items = make([]hitView, len(hits))
	for i, h := range hits {
		out.Body.Items[i] = viewHit(h)
	}
	if next != nil {
		place := place{FindPosition: *next}
		if corrected {
			place.Corrected = query.String()
		}
		text, err := json.Marshal(place)
		if err != nil {
			return nil, fmt.Errorf("encode a position: %w", err)
		}
		out.Body.NextCursor, err = a.seal(ctx, binding, text)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// place is where the next page of hits begins, and what it looks for when that is not
// what was asked for.
type place struct {
	pgstore.FindPosition
	Corrected string `json:"c,omitempty"`
}

func resume(position []byte, asked search.Query) (from *pgstore.FindPosition, query search.Query, corrected bool, err error) {
	if position == nil {
		return nil, asked, false, nil
	}
	var p place
	if err := json.Unmarshal(position, &p); err != nil {
		return nil, asked, false, fmt.Errorf("position of a search: %w", err)
	}
	if p.Corrected == "" {
		return &p.FindPosition, asked, false, nil
	}
	query, err = search.Reread(p.Corrected)
	return &p.FindPosition, query, true, err
}

// corrected looks for the nearest words that are known, when there are any.
func (a *api) corrected(ctx context.Context, ws string, asked search.Query, f pgstore.FindFilter, limit int) (hits []search.Hit, next *pgstore.FindPosition, query search.Query, changed bool, err error) {
	meant, err := a.Ledger.Nearest(ctx, ws, asked.Words())
	if err != nil {
		return nil, nil, asked, false, err
	}
	query, changed = asked.Correct(meant)
	if !changed {
		return nil, nil, asked, false, nil
	}
	hits, next, err = a.Ledger.Find(ctx, ws, query, f, nil, limit)
	if err != nil || len(hits) == 0 {
		return nil, nil, asked, false, err
	}
	return hits, next, query, true, nil
}

func (in *searchQuery) filter() (pgstore.FindFilter, error) {
	f := pgstore.FindFilter{Folder: in.Folder, ContentType: strings.ToLower(in.ContentType)}
	var errs []error
	if err := object.ValidateFolder(in.Folder); err != nil {
		errs = append(errs, fault.Invalid("query.folder", "is not the path of a folder"))
	}
	if in.ContentType != "" && !printable(in.ContentType) {
		errs = append(errs, fault.Invalid("query.contentType", "is not a media type such as image/png or image/*"))
	}
	for _, tag := range in.Tag {
		name, value, ok := strings.Cut(tag, ":")
		if !ok || object.ValidateTags(map[string]string{name: value}) != nil {
			errs = append(errs, fault.Invalid("query.tag", "must be name:value"))
			continue
		}
		if f.Tags == nil {
			f.Tags = map[string]string{}
		}
		if was, ok := f.Tags[name]; ok && was != value {
			errs = append(errs, fault.Invalid("query.tag", "asks for two values of one name: no object has both"))
		}
		f.Tags[name] = value
	}
	if in.MinSize > 0 {
		f.MinSize = &in.MinSize
	}
	if in.MaxSize >= 0 {
		f.MaxSize = &in.MaxSize
	}
	if !in.UpdatedAfter.IsZero() {
		f.After = in.UpdatedAfter.UTC()
	}
	if !in.UpdatedBefore.IsZero() {
		f.Before = in.UpdatedBefore.UTC()
	}
	errs = append(errs, sane("query.updatedAfter", in.UpdatedAfter), sane("query.updatedBefore", in.UpdatedBefore))
	return f, fault.Join(errs...)
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// spelling is the filter in one spelling for one meaning.
func (in *searchQuery) spelling(f pgstore.FindFilter) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %d %d %d %d", f.Folder, f.ContentType, in.MinSize, in.MaxSize, f.After.UnixMicro(), f.Before.UnixMicro())
	for _, name := range slices.Sorted(maps.Keys(f.Tags)) {
		fmt.Fprintf(&b, " %q:%q", name, f.Tags[name])
	}
	return b.String()
}

func viewHit(h search.Hit) hitView {
	return hitView{
		ID: h.Object, Path: h.Path, Version: h.Version, Rev: h.Rev, Size: h.Size, ContentType: h.ContentType,
		Tags: h.Tags, UpdatedAt: h.UpdatedAt, Rank: h.Rank, Name: h.Name, Text: h.Body,
	}
}
