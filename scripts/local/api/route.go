package api

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	defaultStage = "$default"
	defaultRoute = "$default"

	// An account's throttle on AWS.
	accountRate  = 10_000
	accountBurst = 5_000
)

// route is a Route that has been checked.
type route struct {
	Route
	method   string // ANY for all; empty for $default
	segments []segment
	timeout  time.Duration
	access   *authorizer // nil: open
}

// segment is one part of a route's path. A smaller kind is more specific.
type segment struct {
	kind segmentKind
	text string // literal, or the name of the parameter
}

type segmentKind int

const (
	literal segmentKind = iota
	parameter
	greedy
)

func (def *definition) compileRoutes() []error {
	var errs []error
	seen := map[string]bool{}
	for _, r := range def.cfg.Routes {
		c, err := def.compileRoute(r)
		if err == nil && seen[r.Key] {
			err = errors.New("stands twice")
		}
		seen[r.Key] = true
		if err != nil {
			errs = append(errs, fmt.Errorf("route %q: %w", r.Key, err))
		}
		def.routes = append(def.routes, c)
	}
	// From here on the first route that matches is the one to take.
	slices.SortStableFunc(def.routes, compareRoutes)
	return errs
}

func (def *definition) compileRoute(r Route) (*route, error) {
	c := &route{Route: r, timeout: r.Integration.Timeout}
	if c.timeout == 0 {
		c.timeout = maxTimeout
	}
	if c.timeout < minTimeout || c.timeout > maxTimeout {
		return c, fmt.Errorf("time-out %s must lie between %s and %s", c.timeout, minTimeout, maxTimeout)
	}
	if r.Integration.FunctionARN == "" {
		return c, errors.New("has no function")
	}
	if r.Authorizer != "" {
		if c.access = def.authorizers[r.Authorizer]; c.access == nil {
			return c, fmt.Errorf("authorizer %q is not declared", r.Authorizer)
		}
	} else if len(r.Scopes) > 0 {
		return c, errors.New("has scopes but no authorizer")
	}
	if r.Key == defaultRoute {
		return c, nil
	}
	method, path, ok := strings.Cut(r.Key, " ")
	if !ok || !slices.Contains([]string{"ANY", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, method) {
		return c, errors.New("must be $default or a method and a path, such as GET /items/{id}")
	}
	c.method = method
	var err error
	c.segments, err = parsePath(path)
	return c, err
}

func parsePath(path string) ([]segment, error) {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil, fmt.Errorf("path %q must begin with /", path)
	}
	var all []segment
	names := map[string]bool{}
	for part := range strings.SplitSeq(rest, "/") {
		if len(all) > 0 && all[len(all)-1].kind == greedy {
			return nil, fmt.Errorf("path %q: {%s+} must be the last segment", path, all[len(all)-1].text)
		}
		sg := segment{kind: literal, text: part}
		if inner, ok := strings.CutPrefix(part, "{"); ok {
			inner, closed := strings.CutSuffix(inner, "}")
			name, isGreedy := strings.CutSuffix(inner, "+")
			sg = segment{kind: parameter, text: name}
			if isGreedy {
				sg.kind = greedy
			}
			if !closed || name == "" || names[name] {
				return nil, fmt.Errorf("path %q: segment %q must be {name} or {name+}, each name once", path, part)
			}
			names[name] = true
		} else if strings.ContainsAny(part, "{}") {
			return nil, fmt.Errorf("path %q: a parameter must be a whole segment, not %q", path, part)
		}
		all = append(all, sg)
	}
	return all, nil
}

// compareRoutes puts the more specific route first: a literal segment before a parameter before a
// greedy one, then a method before ANY, and $default last.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
func compareRoutes(a, b *route) int {
	if a.method == "" || b.method == "" {
		return strings.Compare(b.method, a.method)
	}
	for i := range min(len(a.segments), len(b.segments)) {
		if d := int(a.segments[i].kind) - int(b.segments[i].kind); d != 0 {
			return d
		}
	}
	switch {
	case len(a.segments) != len(b.segments):
		return len(a.segments) - len(b.segments)
	case a.method == b.method:
		return 0
	case a.method == "ANY":
		return 1
	case b.method == "ANY":
		return -1
	default:
		return 0
	}
}

func (def *definition) findRoute(ex *exchange, path string) {
	for _, r := range def.routes {
		if r.method != "" && r.method != "ANY" && r.method != ex.Method {
			continue
		}
		if params, ok := r.match(path); ok {
			ex.route, ex.params = r, params
			return
		}
	}
}

// match takes a decoded path; every parameter needs at least one character.
func (r *route) match(path string) (map[string]string, bool) {
	if r.method == "" {
		return nil, true
	}
	rest := strings.TrimPrefix(path, "/")
	params := map[string]string{}
	for i, sg := range r.segments {
		part, below, more := strings.Cut(rest, "/")
		switch {
		case sg.kind == greedy:
			params[sg.text] = rest
			return params, rest != ""
		case sg.kind == parameter && part != "":
			params[sg.text] = part
		case sg.kind == literal && part == sg.text:
		default:
			return nil, false
		}
		if more != (i < len(r.segments)-1) {
			return nil, false
		}
		rest = below
	}
	return params, true
}

// stage is a Stage that has been checked.
type stage struct {
	Stage
	format accessFormat

	mu       sync.Mutex // guards limiters
	limiters map[*route]*rate.Limiter
}

func (def *definition) compileStages() []error {
	var errs []error
	for _, st := range def.cfg.Stages {
		c := &stage{Stage: st, limiters: map[*route]*rate.Limiter{}}
		var err error
		if c.format, err = parseAccessFormat(st.AccessLogFormat); err != nil {
			errs = append(errs, fmt.Errorf("stage %s: %w", st.Name, err))
		}
		for key := range st.RouteThrottles {
			if !slices.ContainsFunc(def.routes, func(r *route) bool { return r.Key == key }) {
				errs = append(errs, fmt.Errorf("stage %s: throttle of route %q, which is not declared", st.Name, key))
			}
		}
		def.stages[st.Name] = c
	}
	if len(def.stages) == 0 {
		errs = append(errs, errors.New("has no stage"))
	}
	return errs
}

// allow takes a token from the bucket of a route, if it is limited.
func (st *stage) allow(r *route, now time.Time) bool {
	t := st.Throttle
	if own, ok := st.RouteThrottles[r.Key]; ok {
		t = own
	}
	if t == (Throttle{}) {
		return true
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	l, ok := st.limiters[r]
	if !ok {
		l = rate.NewLimiter(rate.Limit(cmp.Or(t.Rate, accountRate)), cmp.Or(t.Burst, accountBurst))
		st.limiters[r] = l
	}
	return l.AllowN(now, 1)
}

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}
