package uploadapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/s3store"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// Signer signs the requests with which clients move bytes.
type Signer interface {
	PresignPut(ctx context.Context, put s3store.PutRequest) (s3store.Signed, error)
	PresignGet(ctx context.Context, get s3store.GetRequest) (s3store.Signed, error)
}

// Deps is what the API works with.
type Deps struct {
	Catalog Catalog
	Signer  Signer
	Cursors Cursors
	Log     *slog.Logger
	// NewID makes the ids of objects, uploads and requests: ULIDs.
	NewID func() string
	Now   func() time.Time
}

type api struct {
	Deps
	members *memberships
}

// now is the time as the catalog can store it, so that an answer tells what a later one will.
func (a *api) now() time.Time { return a.Now().UTC().Truncate(catalog.Precision) }

// New returns the API.
func New(deps Deps) http.Handler {
	mux := http.NewServeMux()
	a := &api{Deps: deps, members: newMemberships(deps.Catalog, deps.Now)}
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
	access  access
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
		Security:      []map[string][]string{{"token": {op.access.scope}}},
		Middlewares:   huma.Middlewares{a.authorize(op.access)},
	}
	codes := append([]fault.Code{fault.Unauthenticated, fault.Forbidden}, op.codes...)
	if op.access.in == byHeader {
		codes = append(codes, fault.WorkspaceRequired)
		described.Parameters = []*huma.Param{{
			Name: workspaceHeader, In: "header",
			Description: "Which workspace, when the token lists several.",
			Schema:      &huma.Schema{Type: "string"},
		}}
	}
	httpapi.Register(routes, described, codes, handle)
}

func toRead() access  { return access{scope: ScopeRead, role: workspace.Reader, in: byHeader} }
func toWrite() access { return access{scope: ScopeWrite, role: workspace.Writer, in: byHeader} }
func toAdmin() access { return access{scope: ScopeAdmin, role: workspace.Owner, in: byPath} }

// inBody makes the fields that err blames fields of the body.
func inBody(err error) error { return inside("body.", err) }

// inside puts a prefix before the fields that err blames.
func inside(prefix string, err error) error {
	var coded *fault.Error
	if !errors.As(err, &coded) || len(coded.Fields) == 0 {
		return err
	}
	located := *coded
	located.Fields = slices.Clone(coded.Fields)
	for i := range located.Fields {
		located.Fields[i].Field = prefix + located.Fields[i].Field
	}
	return &located
}
