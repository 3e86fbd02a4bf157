package uploadapi

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stowage-dev/stowage/functions/internal/tenancy"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/closing"
	"github.com/stowage-dev/stowage/shared/completion"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/idempotency"
	"github.com/stowage-dev/stowage/shared/s3store"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// Signer signs the requests with which clients move bytes.
type Signer interface {
	// Ready returns an error when nothing can be signed now.
	Ready(ctx context.Context) error
	PresignPut(ctx context.Context, put s3store.PutRequest) (s3store.Signed, error)
	PresignParts(ctx context.Context, u upload.Upload, parts []upload.Part, expires time.Duration) ([]s3store.Signed, error)
	PresignGet(ctx context.Context, get s3store.GetRequest) (s3store.Signed, error)
}

// Storage runs multipart uploads, and closes the keys of uploads that were aborted.
type Storage interface {
	completion.Storage
	closing.Storage
	CreateMultipart(ctx context.Context, u upload.Upload) (s3UploadID string, err error)
	ListParts(ctx context.Context, u upload.Upload, after, limit int) (parts []upload.Part, next int, err error)
	AbortMultipart(ctx context.Context, u upload.Upload) error
}

// Deps is what the API works with.
type Deps struct {
	Catalog Catalog
	Signer  Signer
	Storage Storage
	// Completions takes the uploads that storage needs long to complete.
	Completions completion.Queue
	Cursors     Cursors
	// Idempotency keeps what came of requests with an Idempotency-Key.
	Idempotency *idempotency.Store
	Log         *slog.Logger
	// NewID makes the ids of objects, uploads and requests: ULIDs.
	NewID func() string
	Now   func() time.Time
	// Random returns a number in [0, n). Nil: rand.Int64N.
	Random func(n int64) int64
}

type api struct {
	Deps
	gate      *tenancy.Gate
	completer *completion.Completer
	closer    *closing.Closer
}

// now is the time as the catalog can store it, so that an answer tells what a later one will.
func (a *api) now() time.Time { return a.Now().UTC().Truncate(catalog.Precision) }

// New returns the API.
func New(deps Deps) http.Handler {
	mux := http.NewServeMux()
	if deps.Random == nil {
		deps.Random = rand.Int64N
	}
	a := &api{
		Deps: deps,
		gate: tenancy.NewGate(deps.Catalog, deps.Now, deps.Random),
		completer: completion.New(completion.Deps{
			Catalog: deps.Catalog, Storage: deps.Storage, Queue: deps.Completions, Log: deps.Log, Now: deps.Now,
		}),
		closer: closing.New(deps.Storage, deps.Catalog),
	}
	a.register(httpapi.NewRoutes(mux))
	return httpapi.Wrap(mux, httpapi.Options{Log: deps.Log, NewID: deps.NewID, Now: deps.Now})
}

// Document returns the OpenAPI 3.1 document of the API.
func Document() ([]byte, error) {
	return httpapi.Document(huma.OpenAPI{
		Info: &huma.Info{
			Title:       "Stowage",
			Version:     "1",
			Description: "Upload, verify, find and download objects. Bytes go straight to storage with signed requests; this API hands those out.",
		},
		Tags: []*huma.Tag{
			{Name: "workspaces", Description: "Tenants, their members and quotas."},
			{Name: "uploads", Description: "Storing bytes."},
			{Name: "objects", Description: "What is stored."},
		},
		Components: &huma.Components{SecuritySchemes: map[string]*huma.SecurityScheme{
			"token": {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "An access token with the scope that the operation names."},
		}},
	}, (&api{}).register)
}

func (a *api) register(routes *httpapi.Routes) {
	a.workspaceRoutes(routes)
	a.memberRoutes(routes)
	a.quotaRoutes(routes)
	a.uploadRoutes(routes)
	a.objectRoutes(routes)
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
	// responses other than of success and failure
	responses map[string]*huma.Response
}

// register adds one route.
func register[I, O any](a *api, routes *httpapi.Routes, op operation, handle func(context.Context, *I) (*O, error)) {
	described := huma.Operation{
		OperationID:   op.id,
		Method:        op.method,
		Path:          op.path,
		Summary:       op.summary,
		Description:   op.detail,
		Tags:          []string{op.tag},
		DefaultStatus: op.status,
		Responses:     op.responses,
	}
	codes := append(a.gate.Guard(&described, op.access), op.codes...)
	if op.access.In == tenancy.ByHeader && op.method != http.MethodGet {
		// Administrators are not held up by what members do.
		codes = append(codes, a.gate.Limit(&described))
	}
	if op.method != http.MethodGet {
		codes = append(codes, keyCodes()...)
		described.Parameters = append(described.Parameters, keyParameter())
		described.Middlewares = append(described.Middlewares, a.keyed(op.method+" "+op.path))
	}
	httpapi.Register(routes, described, codes, handle)
}

func toRead() tenancy.Access {
	return tenancy.Access{Scope: tenancy.ScopeRead, Role: workspace.Reader, In: tenancy.ByHeader}
}

func toWrite() tenancy.Access {
	return tenancy.Access{Scope: tenancy.ScopeWrite, Role: workspace.Writer, In: tenancy.ByHeader}
}

func toAdmin() tenancy.Access {
	return tenancy.Access{Scope: tenancy.ScopeAdmin, Role: workspace.Owner, In: tenancy.ByPath, Machines: true}
}
