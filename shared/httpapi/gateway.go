package httpapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
)

// defaultStage is the stage whose name is not part of the path.
const defaultStage = "$default"

// Gateway calls an http.Handler with requests of an API Gateway HTTP API (payload 2.0).
//
// API Gateway hands rawPath over decoded, so a path parameter that holds an encoded slash
// cannot be told from two segments: such a path names no route.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
type Gateway struct {
	handler http.Handler
}

// NewGateway returns a Gateway in front of handler.
func NewGateway(handler http.Handler) *Gateway { return &Gateway{handler: handler} }

// Handle answers one request. It returns no error: what fails is answered as a problem.
func (g *Gateway) Handle(ctx context.Context, in events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	ctx = WithRequestID(ctx, in.RequestContext.RequestID)
	w := &answer{header: http.Header{}}
	r, err := newRequest(ctx, &in)
	if err != nil {
		ProblemOf(ctx, err).Write(w)
		return w.response(), nil
	}
	g.handler.ServeHTTP(w, r)
	if int64(w.body.Len()) > limits.LambdaAnswerBytes {
		w = &answer{header: http.Header{}}
		NewProblem(ctx, fault.Internal, "").Write(w)
	}
	return w.response(), nil
}

func newRequest(ctx context.Context, in *events.APIGatewayV2HTTPRequest) (*http.Request, error) {
	body := []byte(in.Body)
	if in.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(in.Body)
		if err != nil {
			return nil, fault.Wrap(fault.InvalidArgument, err, "the body is not base64")
		}
		body = decoded
	}
	path := in.RawPath
	if stage := in.RequestContext.Stage; stage != "" && stage != defaultStage {
		path = strings.TrimPrefix(path, "/"+stage)
	}
	header := requestHeader(in)
	r := &http.Request{
		Method:        in.RequestContext.HTTP.Method,
		URL:           &url.URL{Path: path, RawQuery: in.RawQueryString},
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		Host:          header.Get("Host"),
		RemoteAddr:    net.JoinHostPort(in.RequestContext.HTTP.SourceIP, "0"),
		RequestURI:    (&url.URL{Path: path, RawQuery: in.RawQueryString}).RequestURI(),
		ContentLength: int64(len(body)),
		Body:          io.NopCloser(bytes.NewReader(body)),
	}
	header.Del("Host")
	if !strings.HasPrefix(path, "/") {
		return nil, fault.New(fault.NotFound, "no route has this path")
	}
	if principal, ok := principalOf(in); ok {
		ctx = WithPrincipal(ctx, principal)
	}
	return r.WithContext(ctx), nil
}

func requestHeader(in *events.APIGatewayV2HTTPRequest) http.Header {
	header := make(http.Header, len(in.Headers)+1)
	for name, value := range in.Headers {
		header.Set(name, value)
	}
	if len(in.Cookies) > 0 {
		header.Set("Cookie", strings.Join(in.Cookies, "; "))
	}
	return header
}

// principalOf trusts requestContext, which API Gateway alone writes, and no header.
func principalOf(in *events.APIGatewayV2HTTPRequest) (Principal, bool) {
	authorizer := in.RequestContext.Authorizer
	if authorizer == nil || authorizer.JWT == nil {
		return Principal{}, false
	}
	return NewPrincipal(authorizer.JWT.Claims)
}

// answer is an http.ResponseWriter that keeps what is written.
type answer struct {
	status int
	header http.Header
	body   bytes.Buffer
}

var _ http.ResponseWriter = (*answer)(nil)

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK { // 1xx are not passed on
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	n, err := a.body.Write(p)
	if err != nil {
		return n, fmt.Errorf("keep the answer: %w", err)
	}
	return n, nil
}

func (a *answer) response() events.APIGatewayV2HTTPResponse {
	a.WriteHeader(http.StatusOK)
	out := events.APIGatewayV2HTTPResponse{
		StatusCode: a.status,
		Headers:    make(map[string]string, len(a.header)),
		Cookies:    a.header.Values("Set-Cookie"),
	}
	for name, values := range a.header {
		if name != "Set-Cookie" {
			out.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
		}
	}
	if body := a.body.Bytes(); utf8.Valid(body) {
		out.Body = string(body)
	} else {
		out.Body, out.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return out
}
