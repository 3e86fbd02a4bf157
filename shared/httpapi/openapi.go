package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/stowage-dev/stowage/shared/fault"
)

const jsonContentType = "application/json"

// Routes registers the operations of an API on a mux. What huma works out of an operation's
// types is worked out when its route is first asked for: an instance of a function serves
// a few routes, and starting it waits for none.
type Routes struct {
	mux *http.ServeMux
	// whole, when it is not nil, takes every operation at once, to be described.
	whole huma.API
}

// NewRoutes returns the routes of mux. They read JSON strictly, refuse unknown query
// parameters and answer every failure with a Problem.
func NewRoutes(mux *http.ServeMux) *Routes { return &Routes{mux: mux} }

// newAPI returns a huma API on mux that serves no documents of its own.
func newAPI(mux *http.ServeMux, info huma.Info) huma.API {
	format := huma.Format{Marshal: Marshal, Unmarshal: UnmarshalStrict}
	return humago.New(mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI:    "3.1.0",
			Info:       &info,
			Components: &huma.Components{Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName)},
		},
		Formats:                      map[string]huma.Format{jsonContentType: format, "json": format},
		DefaultFormat:                jsonContentType,
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{problemTransformer},
	})
}

// schemaName documents a Go type objectView as Object.
func schemaName(t reflect.Type, hint string) string {
	return strings.TrimSuffix(huma.DefaultSchemaNamer(t, hint), "View")
}

// Register adds an operation whose handler may return any error. The codes are those
// with which it can fail, for the document; the ones that every operation shares are
// added to them.
func Register[I, O any](routes *Routes, op huma.Operation, codes []fault.Code, handle func(context.Context, *I) (*O, error)) {
	if routes.whole != nil {
		if err := checkEncodable(reflect.TypeFor[O]()); err != nil {
			panic(fmt.Errorf("answer of %s: %w", op.OperationID, err))
		}
		add(routes.whole, op, codes, handle)
		return
	}
	routes.mux.Handle(op.Method+" "+op.Path, &lazy{build: sync.OnceValue(func() http.Handler {
		mux := http.NewServeMux()
		add(newAPI(mux, huma.Info{}), op, codes, handle)
		return mux
	})})
}

// lazy is a handler that is built when it is first called.
type lazy struct{ build func() http.Handler }

func (l *lazy) ServeHTTP(w http.ResponseWriter, r *http.Request) { l.build().ServeHTTP(w, r) }

func add[I, O any](api huma.API, op huma.Operation, codes []fault.Code, handle func(context.Context, *I) (*O, error)) {
	op.MaxBodyBytes = -1 // Wrap has read the body already, up to its limit
	op.Responses = maps.Clone(op.Responses)
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	common := []fault.Code{fault.InvalidArgument, fault.Unavailable, fault.Internal}
	if _, hasBody := reflect.TypeFor[I]().FieldByName("Body"); hasBody {
		common = append(common, fault.TooLarge, UnsupportedMediaType)
	}
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	for _, code := range append(common, codes...) {
		describe(op.Responses, code, schema)
	}
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, ProblemOf(ctx, err)
		}
		return out, nil
	})
}

func describe(responses map[string]*huma.Response, code fault.Code, schema *huma.Schema) {
	status, _ := kind(code)
	key := strconv.Itoa(status)
	if responses[key] == nil {
		responses[key] = &huma.Response{
			Content: map[string]*huma.MediaType{ProblemContentType: {Schema: schema}},
		}
	}
	text := "`" + string(code) + "`"
	if strings.Contains(responses[key].Description, text) {
		return
	}
	if responses[key].Description != "" {
		text = responses[key].Description + ", " + text
	}
	responses[key].Description = text
}

// describeGateway adds what API Gateway answers by itself, without calling the function:
// JSON with a message, or nothing that is documented.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-protecting.html
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
func describeGateway(responses map[string]*huma.Response) {
	message := &huma.MediaType{Schema: &huma.Schema{
		Type: huma.TypeObject, Required: []string{"message"},
		Properties: map[string]*huma.Schema{"message": {Type: huma.TypeString}},
	}}
	for status, why := range map[int]string{
		http.StatusUnauthorized:       "API Gateway found no valid token",
		http.StatusTooManyRequests:    "API Gateway throttles",
		http.StatusServiceUnavailable: "the function could not answer",
	} {
		r := responses[strconv.Itoa(status)]
		if r == nil {
			r = &huma.Response{}
			responses[strconv.Itoa(status)] = r
		}
		if r.Content == nil {
			r.Content = map[string]*huma.MediaType{}
		}
		r.Content["application/json"] = message
		r.Description = strings.TrimPrefix(r.Description+"; "+why, "; ")
	}
	responses[strconv.Itoa(http.StatusRequestHeaderFieldsTooLarge)] = &huma.Response{
		Description: "the request line and the headers are longer than API Gateway takes, 10,240 bytes",
	}
}

// PageQuery asks for a page of a list.
type PageQuery struct {
	Cursor string `query:"cursor" maxLength:"8192" doc:"nextCursor of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The most items of the page; there may be fewer before the end."`
}

// Refuse answers a request from within a huma middleware.
func Refuse(ctx huma.Context, err error) {
	_, w := humago.Unwrap(ctx)
	ProblemOf(ctx.Context(), err).Write(w)
}

// problemTransformer replaces huma's own errors, which come of reading and validating a
// request. What the client sent is not sent back.
func problemTransformer(ctx huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := NewProblem(ctx.Context(), codeOfStatus(model.Status), model.Detail)
	for _, e := range model.Errors {
		p.Errors = append(p.Errors, ProblemError{Message: inOurWords(e.Message), Location: e.Location})
	}
	if len(p.Errors) > 0 {
		p.Detail = strings.TrimPrefix(p.Errors[0].Location+": "+p.Errors[0].Message, ": ")
	}
	// huma writes the status it chose after this; the first one written holds (see statusWriter).
	ctx.SetStatus(p.Status)
	return p, nil
}

// inOurWords is a message of huma's; where that says how Go spells times, it says how to.
func inOurWords(message string) string {
	if strings.HasPrefix(message, "invalid date/time") || message == validation.MsgExpectedRFC3339DateTime {
		return "must be a time such as 2026-11-03T10:00:00Z"
	}
	return message
}

// codeOfStatus is the code of a failure that huma found before any handler ran.
func codeOfStatus(status int) fault.Code {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return fault.InvalidArgument
	case http.StatusUnsupportedMediaType:
		return UnsupportedMediaType
	default:
		return fault.Internal
	}
}

// Document returns the OpenAPI document of the operations that register adds, indented.
// It is the same for the same code, so that a kept copy can be compared with it. It panics
// when huma cannot make sense of an operation's types, or Marshal of an answer's.
func Document(doc huma.OpenAPI, register func(*Routes)) ([]byte, error) {
	api := newAPI(http.NewServeMux(), *doc.Info)
	api.OpenAPI().Tags = doc.Tags
	api.OpenAPI().Components.SecuritySchemes = doc.Components.SecuritySchemes
	register(&Routes{whole: api})
	for _, path := range api.OpenAPI().Paths {
		for _, op := range []*huma.Operation{path.Get, path.Put, path.Post, path.Patch, path.Delete} {
			if op != nil {
				describeGateway(op.Responses)
			}
		}
	}
	// huma registers its own error type, which this API never answers with.
	schemas := api.OpenAPI().Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	out, err := json.MarshalIndent(api.OpenAPI(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	return append(out, '\n'), nil
}
