package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// preflight answers for the API, without a token and without a function. Where a route takes
// OPTIONS (explicitly, by ANY or as $default), it is asked instead.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
func (def *definition) preflight(ex *exchange) answer {
	a := answer{status: http.StatusNoContent, header: http.Header{}}
	if def.cfg.CORS.allowed(ex.Header.Get("Origin")) == "" {
		return a
	}
	setList(a.header, "Access-Control-Allow-Methods", def.cfg.CORS.AllowMethods)
	setList(a.header, "Access-Control-Allow-Headers", def.cfg.CORS.AllowHeaders)
	if age := def.cfg.CORS.MaxAge; age != 0 {
		a.header.Set("Access-Control-Max-Age", strconv.Itoa(int(age.Seconds())))
	}
	return a
}

// applyCORS puts the API'def CORS headers in the place of those that the function returned.
func (def *definition) applyCORS(ex *exchange) {
	if def.cfg.CORS == nil {
		return
	}
	ours := ex.route == nil && isPreflight(ex.Request)
	for name := range ex.answer.header {
		if !ours && strings.HasPrefix(name, "Access-Control-") {
			ex.answer.header.Del(name)
		}
	}
	origin := def.cfg.CORS.allowed(ex.Header.Get("Origin"))
	if origin == "" {
		return
	}
	ex.answer.header.Set("Access-Control-Allow-Origin", origin)
	if def.cfg.CORS.AllowCredentials {
		ex.answer.header.Set("Access-Control-Allow-Credentials", "true")
	}
	setList(ex.answer.header, "Access-Control-Expose-Headers", def.cfg.CORS.ExposeHeaders)
}

// allowed is what to answer an origin with; empty for one that is not allowed.
func (c *CORS) allowed(origin string) string {
	switch {
	case origin == "":
		return ""
	case slices.Contains(c.AllowOrigins, "*"):
		return "*"
	case slices.ContainsFunc(c.AllowOrigins, func(o string) bool {
		scheme, any := strings.CutSuffix(o, "*")
		return o == origin || any && strings.HasSuffix(scheme, "://") && strings.HasPrefix(origin, scheme)
	}):
		return origin
	default:
		return ""
	}
}

func setList(h http.Header, name string, values []string) {
	if len(values) > 0 {
		h.Set(name, strings.Join(values, ","))
	}
}
