package ledgerapi

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stowage-dev/stowage/functions/internal/tenancy"
	"github.com/stowage-dev/stowage/shared/cursor"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/search"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// Ledger keeps the books and finds objects.
type Ledger interface {
	Entries(ctx context.Context, workspace string, f pgstore.EntryFilter, before int64, limit int) ([]pgstore.Entry, int64, error)
	Statement(ctx context.Context, workspace string, p ledger.Period, through time.Time) (ledger.Statement, error)
	Adjust(ctx context.Context, a ledger.Adjustment, key pgstore.Key) (booked ledger.Adjustment, repeated bool, err error)
	Find(ctx context.Context, workspace string, query search.Query, f pgstore.FindFilter, from *pgstore.FindPosition, limit int) ([]search.Hit, *pgstore.FindPosition, error)
	Nearest(ctx context.Context, workspace string, words []string) (map[string]string, error)
}

// Cursors seals the position of a list for the client that reads it.
type Cursors interface {
	Seal(ctx context.Context, binding cursor.Binding, position []byte) (string, error)
	Open(ctx context.Context, binding cursor.Binding, cursor string) ([]byte, error)
}

// Deps is what the API works with.
type Deps struct {
	Ledger  Ledger
	Catalog tenancy.Catalog
	Cursors Cursors
	Log     *slog.Logger
	// NewID makes the ids of adjustments and requests: ULIDs.
	NewID func() string
	Now   func() time.Time
}

type api struct {
	Deps
	gate *tenancy.Gate
}

// New returns the API.
func New(deps Deps) http.Handler {
	mux := http.NewServeMux()
	a := &api{Deps: deps, gate: tenancy.NewGate(deps.Catalog, deps.Now, rand.Int64N)}
	a.register(httpapi.NewRoutes(mux))
	return httpapi.Wrap(mux, httpapi.Options{Log: deps.Log, NewID: deps.NewID, Now: deps.Now})
}

// Document returns the OpenAPI 3.1 document of the API.
func Document() ([]byte, error) {
	return httpapi.Document(huma.OpenAPI{
		Info: &huma.Info{
			Title:       "Stowage: ledger and search",
			Version:     "1",
			Description: "What is there besides where the relational stack is deployed: who stored how many bytes for how long, what that costs, and search. The same host, tokens, headers and problems as the API of the core.",
		},
		Tags: []*huma.Tag{
			{Name: "ledger", Description: "The books of what was stored, and statements."},
			{Name: "search", Description: "Finding objects by words."},
		},
		Components: &huma.Components{SecuritySchemes: map[string]*huma.SecurityScheme{
			"token": {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "An access token with the scope that the operation names."},
		}},
	}, (&api{}).register)
}

func (a *api) register(routes *httpapi.Routes) {
	register(a, routes, operation{
		id: "listLedgerEntries", method: http.MethodGet, path: "/v1/ledger/entries", tag: "ledger",
		summary: "List the entries of the ledger",
		detail:  "The last booked first. Every movement of bytes has two entries, a debit and a credit, whose bytes sum up to 0. Entries are never changed.",
		access:  toRead(),
	}, a.listEntries)
	register(a, routes, operation{
		id: "getLedgerStatement", method: http.MethodGet, path: "/v1/ledger/statement", tag: "ledger",
		summary: "Draw up a statement",
		detail:  "What was held over a day, a month or a year of a time zone, by storage class, and what it costs. Days on which clocks change have 23 or 25 hours. Events that come late still change it.",
		access:  toRead(),
	}, a.getStatement)
	register(a, routes, operation{
		id: "createLedgerAdjustment", method: http.MethodPost, path: "/v1/ledger/adjustments", tag: "ledger", status: http.StatusCreated,
		summary: "Adjust what is billed",
		detail:  "Adds bytes to what is billed, or takes them off, over a span of time that has passed. No more is taken off than is there. The same Idempotency-Key with the same request books once, for good, and gets the same answer.",
		access:  toBill(), codes: []fault.Code{fault.Conflict, fault.IdempotencyReused},
	}, a.createAdjustment)
	register(a, routes, operation{
		id: "search", method: http.MethodGet, path: "/v1/search", tag: "search",
		summary: "Find objects by words",
		detail:  "Looks into names, tags, metadata and the text of small text files of available objects. Best first, among the first thousand that match. When nothing matches, misspelt words are replaced by the nearest ones that are known, and the answer says by which.",
		access:  toRead(),
	}, a.search)
}

// operation describes a route beside its input and output.
type operation struct {
	id      string
	method  string
	path    string
	tag     string
	summary string
	detail  string
	status  int // of success; 0: 200
	access  tenancy.Access
	codes   []fault.Code // with which it can fail, beside those of access
}

func register[I, O any](a *api, routes *httpapi.Routes, op operation, handle func(context.Context, *I) (*O, error)) {
	described := huma.Operation{
		OperationID: op.id, Method: op.method, Path: op.path, Summary: op.summary, Description: op.detail,
		Tags: []string{op.tag}, DefaultStatus: op.status,
	}
	codes := append(a.gate.Guard(&described, op.access), op.codes...)
	if op.method != http.MethodGet {
		codes = append(codes, a.gate.Limit(&described))
	}
	httpapi.Register(routes, described, codes, handle)
}

func toRead() tenancy.Access {
	return tenancy.Access{Scope: tenancy.ScopeRead, Role: workspace.Reader, In: tenancy.ByHeader}
}

func toBill() tenancy.Access {
	return tenancy.Access{Scope: tenancy.ScopeBilling, Role: workspace.Owner, In: tenancy.ByHeader, Machines: true}
}

// position opens the cursor of a list; nil is the first page.
func (a *api) position(ctx context.Context, binding cursor.Binding, sealed string) ([]byte, error) {
	if sealed == "" {
		return nil, nil
	}
	position, err := a.Cursors.Open(ctx, binding, sealed)
	if err != nil {
		return nil, fmt.Errorf("open the cursor: %w", err)
	}
	return position, nil
}

func (a *api) seal(ctx context.Context, binding cursor.Binding, position []byte) (*string, error) {
	sealed, err := a.Cursors.Seal(ctx, binding, position)
	if err != nil {
		return nil, fmt.Errorf("seal the cursor: %w", err)
	}
	return &sealed, nil
}
