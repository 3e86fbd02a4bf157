package console

import (
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// tokenHeader carries the token of this run with everything that changes something.
const tokenHeader = "X-Console-Token"

// policy lets the page load what the console serves, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard refuses what does not come from the page, as far as a browser tells.
func (c *Console) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		switch {
		case !isLocal(r.Host):
			// A name that somebody else points at this machine must not reach the page.
			fail(w, http.StatusMisdirectedRequest, "The console answers to 127.0.0.1 and localhost only.")
		case foreign(r):
			fail(w, http.StatusForbidden, "The console answers its own page only.")
		case r.Method != http.MethodGet && r.Method != http.MethodHead && !c.authentic(r):
			fail(w, http.StatusForbidden, "The request does not carry the token of this run: reload the page.")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// isLocal says whether a Host header names this machine.
func isLocal(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	return host == "127.0.0.1" || strings.EqualFold(host, "localhost")
}

// foreign says whether another site's page made a request. Following a link to
// the page is nothing bad.
func foreign(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		return err != nil || u.Scheme != "http" || u.Host != r.Host
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return r.URL.Path != "/" || r.Header.Get("Sec-Fetch-Mode") != "navigate"
}

func (c *Console) authentic(r *http.Request) bool {
	return subtle.ConstantTimeCompare([]byte(r.Header.Get(tokenHeader)), []byte(c.cfg.Token)) == 1
}
