package ledgerapi_test

import (
	"flag"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// scripts/bench/run relational sends them all.
var thorough = flag.Bool("thorough", false, "send each of the 2,000 payloads into each place, instead of dealing them out")

// Payloads are a quote, a body and a tail that mean something to SQL, tsquery, JSON, paths or
// terminals.
var (
	quotes = []string{"'", "''", `"`, `\'`, "$$", "%27", "\u02bc", "`", "$1", "\x00'", "\u201a", "\\"}
	bodies = []string{
		" OR 1=1", "; DROP TABLE stowage.entries", " UNION SELECT secret FROM stowage.cursor_keys", "||(SELECT version())||", "; SELECT pg_sleep(30)",
		" AND workspace='beta'", "); SELECT stowage.enter(ARRAY['beta'])", "::int", " & beta:*", " <-> beta", "; SET ROLE postgres", "; COPY stowage.facts TO PROGRAM 'id'",
		"{alpha,beta}", "beta,alpha", "%_%", "E'\\x41'", "U&'\\0062eta'", "{{7*7}}", "${jndi:ldap://x}", "\r\nStowage-Workspace: beta",
	}
	tails = []string{"", "--", "/*", "#", ";", "'", "\x00", `\u0000`, "\U0001F600"}
)

// payload is a text, and which of the quotes, bodies and tails it is made of.
type payload struct {
	text  string
	kinds [3]int
}

// injections are the first 2,000 payloads. Neighbours differ in their quote.
func injections() []payload {
	var all []payload
	for t, tail := range tails {
		for b, body := range bodies {
			for q, quote := range quotes {
				all = append(all, payload{quote + body + tail, [3]int{q, b, t}})
			}
		}
	}
	return all[:2000]
}

// dealt are the payloads for place p of n: every nth of them, or all.
func dealt(all []payload, p, n int) []payload {
	if *thorough {
		return all
	}
	var own []payload
	for i := p; i < len(all); i += n {
		own = append(own, all[i])
	}
	return own
}

// missing is how many quotes, bodies and tails are in no payload.
func missing(payloads []payload) int {
	seen := map[[2]int]bool{}
	for _, p := range payloads {
		for part, kind := range p.kinds {
			seen[[2]int{part, kind}] = true
		}
	}
	return len(quotes) + len(bodies) + len(tails) - len(seen)
}

// place is where a client's text gets into a request.
type place struct {
	name    string
	send    func(t *testing.T, text string, i int) reply
	answers []int // statuses
}

// places are all parameters, headers and fields that the API reads.
func (w *world) places() []place {
	reader, owner := member("alpha", "reader"), member("alpha", "owner")
	var all []place
	for _, param := range []string{
		"/v1/ledger/entries?account=", "/v1/ledger/entries?class=", "/v1/ledger/entries?object=", "/v1/ledger/entries?from=", "/v1/ledger/entries?until=",
		"/v1/ledger/entries?cursor=", "/v1/ledger/entries?limit=", "/v1/ledger/statement?period=", "/v1/ledger/statement?period=2026-11&zone=",
		"/v1/search?q=", "/v1/search?q=mine&folder=", "/v1/search?q=mine&contentType=", "/v1/search?q=mine&tag=x:", "/v1/search?q=mine&tag=",
		"/v1/search?q=mine&minSize=", "/v1/search?q=mine&maxSize=", "/v1/search?q=mine&updatedAfter=", "/v1/search?q=mine&updatedBefore=", "/v1/search?q=mine&cursor=",
	} {
		all = append(all, place{param, func(t *testing.T, text string, _ int) reply {
			t.Helper()
			return w.call(t, reader, "GET", param+url.QueryEscape(text), nil)
		}, []int{200, 400}})
	}
	post := func(t *testing.T, field string, value any, key string) reply {
		t.Helper()
		body := adjust(1)
		body[field] = value
		return w.call(t, owner, "POST", "/v1/ledger/adjustments", body, "Idempotency-Key", key)
	}
	return append(all,
		place{"Stowage-Workspace", func(t *testing.T, text string, _ int) reply {
			t.Helper()
			return w.call(t, owner, "GET", "/v1/ledger/entries", nil, "Stowage-Workspace", text)
		}, []int{403}},
		place{"class", func(t *testing.T, text string, i int) reply {
			t.Helper()
			return post(t, "class", text, fmt.Sprint("class ", i))
		}, []int{400}},
		// These two may be any text: it is kept as it is.
		place{"reason", func(t *testing.T, text string, i int) reply {
			t.Helper()
			r := post(t, "reason", text, fmt.Sprint("reason ", i))
			if r.status == 201 && r.json["reason"] != text {
				t.Errorf("reason %q became %q", text, r.json["reason"])
			}
			return r
		}, []int{201, 400}},
		place{"Idempotency-Key", func(t *testing.T, text string, _ int) reply {
			t.Helper()
			return post(t, "bytes", 1, text)
		}, []int{201, 400}},
	)
}

// TestInjection deals 2,000 payloads out to all places, each of which gets every kind of
// quote, body and tail: none is an error of the server, none is told of another workspace,
// and none changes anything but what it may.
func TestInjection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stored(t, "alpha", 1, 10, 100, "docs/mine.txt")
	w.stored(t, "beta", 2, 10, 100, "docs/supersecret.txt")
	admin := w.database.Admin(t)
	state := func() (s string) {
		t.Helper()
		if err := admin.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM stowage.entries WHERE workspace <> 'alpha' OR object <> '') || ' ' || (SELECT count(*) FROM stowage.facts) || ' ' ||
			(SELECT count(*) FROM stowage.documents) || ' ' || (SELECT count(*) FROM stowage.cursor_keys) || ' ' || (SELECT count(*) FROM pg_class)`).Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := state()
	places, payloads, tried, booked := w.places(), injections(), 0, map[any]bool{}
	for p, place := range places {
		own := dealt(payloads, p, len(places))
		if n := missing(own); n > 0 {
			t.Errorf("%s gets %d payloads, in which %d quotes, bodies and tails are missing", place.name, len(own), n)
		}
		for i, payload := range own {
			r := place.send(t, payload.text, i)
			tried++
			if !slices.Contains(place.answers, r.status) || strings.Contains(r.body, "supersecret") || strings.Contains(r.body, "SQLSTATE") {
				t.Fatalf("%s %q: %d %s", place.name, payload.text, r.status, r.body)
			}
			if r.status == 201 {
				booked[r.json["id"]] = true
			}
		}
	}
	if after := state(); after != before {
		t.Errorf("the database was %s and is %s", before, after)
	}
	var adjustments int
	if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM stowage.adjustments").Scan(&adjustments); err != nil || adjustments != len(booked) || adjustments == 0 {
		t.Errorf("%d adjustments, %v, and %d were acknowledged", adjustments, err, len(booked))
	}
	if strings.Contains(w.log.String(), "supersecret") {
		t.Error("the log tells of another workspace")
	}
	t.Logf("%d payloads in %d places", tried, len(places))
}
