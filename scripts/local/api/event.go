package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// event is a request in payload format 2.0.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
type event struct {
	Version               string            `json:"version"`
	RouteKey              string            `json:"routeKey"`
	RawPath               string            `json:"rawPath"`
	RawQueryString        string            `json:"rawQueryString"`
	Cookies               []string          `json:"cookies,omitempty"`
	Headers               map[string]string `json:"headers"`
	QueryStringParameters map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext        requestContext    `json:"requestContext"`
	PathParameters        map[string]string `json:"pathParameters,omitempty"`
	StageVariables        map[string]string `json:"stageVariables,omitempty"`
	Body                  string            `json:"body,omitempty"`
	IsBase64Encoded       bool              `json:"isBase64Encoded"`
}

type requestContext struct {
	AccountID    string       `json:"accountId"`
	APIID        string       `json:"apiId"`
	Authorizer   *authContext `json:"authorizer,omitempty"`
	DomainName   string       `json:"domainName"`
	DomainPrefix string       `json:"domainPrefix"`
	HTTP         httpContext  `json:"http"`
	RequestID    string       `json:"requestId"`
	RouteKey     string       `json:"routeKey"`
	Stage        string       `json:"stage"`
	Time         string       `json:"time"`
	TimeEpoch    int64        `json:"timeEpoch"` // milliseconds
}

type httpContext struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

type authContext struct {
	JWT struct {
		Claims map[string]string `json:"claims"`
		Scopes []string          `json:"scopes"` // null when the route asks for none
	} `json:"jwt"`
}

func (def *definition) newEvent(ex *exchange, body []byte) ([]byte, error) {
	ev := event{
		Version: "2.0", RouteKey: ex.route.Key, RawPath: ex.URL.Path, RawQueryString: ex.URL.RawQuery,
		Headers: def.eventHeaders(ex), QueryStringParameters: queryParameters(ex.URL.RawQuery),
		PathParameters: ex.params, StageVariables: ex.stage.Variables,
		RequestContext: requestContext{
			AccountID: def.cfg.Account, APIID: def.cfg.ID, DomainName: ex.Host, DomainPrefix: def.cfg.ID,
			HTTP: httpContext{
				Method: ex.Method, Path: ex.URL.Path, Protocol: ex.Proto,
				SourceIP: sourceIP(ex.Request), UserAgent: ex.UserAgent(),
			},
			RequestID: ex.id, RouteKey: ex.route.Key, Stage: ex.stage.Name,
			Time: ex.received.UTC().Format(clfTime), TimeEpoch: ex.received.UnixMilli(),
		},
	}
	for _, line := range ex.Header["Cookie"] {
		for c := range strings.SplitSeq(line, ";") {
			if c = strings.TrimSpace(c); c != "" {
				ev.Cookies = append(ev.Cookies, c)
			}
		}
	}
	if ex.token != nil {
		ev.RequestContext.Authorizer = &authContext{}
		ev.RequestContext.Authorizer.JWT.Claims = claimStrings(ex.token.claims)
		ev.RequestContext.Authorizer.JWT.Scopes = ex.token.scopes
	}
	if len(body) > 0 {
		ev.Body, ev.IsBase64Encoded = string(body), false
		if !isText(ex.Header.Get("Content-Type")) || !utf8.Valid(body) {
			ev.Body, ev.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
		}
	}
	raw, err := json.Marshal(ev)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return raw, nil
}

// clfTime is the time format of the common log format.
const clfTime = "02/Jan/2006:15:04:05 -0700"

// eventHeaders are in lower case, with repeated ones joined; API Gateway adds some of its own.
func (def *definition) eventHeaders(ex *exchange) map[string]string {
	all := map[string]string{}
	for name, values := range ex.Header {
		if name != "Cookie" {
			all[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	all["host"] = ex.Host
	if ex.ContentLength >= 0 {
		all["content-length"] = fmt.Sprint(ex.ContentLength)
	}
	forwarded := sourceIP(ex.Request)
	if before := all["x-forwarded-for"]; before != "" {
		forwarded = before + ", " + forwarded
	}
	all["x-forwarded-for"] = forwarded
	all["x-forwarded-proto"] = "http"
	if _, port, err := net.SplitHostPort(ex.Host); err == nil {
		all["x-forwarded-port"] = port
	}
	if all["x-amzn-trace-id"] == "" {
		all["x-amzn-trace-id"] = "Root=" + ex.trace.Header.Root
	}
	return all
}

// queryParameters are decoded, with repeated ones joined by commas in their order. What cannot be
// decoded is passed on as it is.
func queryParameters(raw string) map[string]string {
	all := map[string]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescape(name), unescape(value)
		if before, ok := all[name]; ok {
			value = before + "," + value
		}
		all[name] = value
	}
	return all
}

func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

func sourceIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// isText tells which bodies are handed over as they are; all others are base64-encoded.
func isText(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		mediaType, _, _ = strings.Cut(strings.ToLower(contentType), ";")
	}
	switch mediaType = strings.TrimSpace(mediaType); mediaType {
	case "application/json", "application/xml", "application/javascript":
		return true
	}
	return strings.HasPrefix(mediaType, "text/")
}

// claimStrings are the claims as functions see them: everything is a string, an array is "[a b]",
// and null is left out.
func claimStrings(claims map[string]any) map[string]string {
	all := map[string]string{}
	for name, v := range claims {
		if s, ok := claimString(v); ok {
			all[name] = s
		}
	}
	return all
}

func claimString(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", false
	case string:
		return v, true
	case []any:
		var parts []string
		for _, e := range v {
			if s, ok := claimString(e); ok {
				parts = append(parts, s)
			}
		}
		return "[" + strings.Join(parts, " ") + "]", true
	case map[string]any:
		raw, err := json.Marshal(v)
		return string(raw), err == nil
	default: // json.Number, bool
		return fmt.Sprint(v), true
	}
}
