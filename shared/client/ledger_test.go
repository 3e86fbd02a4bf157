package client_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/client"
)

func TestEntriesGoOnAfterAnEmptyPage(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 1, 1, 0, 0, 0, time.FixedZone("", 3600))
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if r.URL.Path != "/v1/ledger/entries" || query.Get("class") != "GLACIER" || query.Get("from") != "2026-11-01T00:00:00Z" || query.Has("until") {
			t.Errorf("asked for %s", r.URL)
		}
		switch query.Get("cursor") {
		case "":
			fmt.Fprint(w, `{"items":[{"id":"9","journal":"o 2","account":"stored","class":"GLACIER","bytes":-5}],"nextCursor":"a"}`)
		case "a": // twenty thousand were read, and none was meant
			fmt.Fprint(w, `{"items":[],"nextCursor":"b"}`)
		case "b":
			fmt.Fprint(w, `{"items":[{"id":"3"}],"nextCursor":null}`)
		}
	})
	entries := c.Entries(t.Context(), client.EntryFilter{Class: "GLACIER", From: from})
	for range 2 { // ranged over again, a list begins anew
		var got []string
		for e, err := range entries {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(e.ID, e.Bytes))
		}
		if diff := cmp.Diff([]string{"9-5", "30"}, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAListEndsWithItsError(t *testing.T) {
	t.Parallel()
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("cursor") == "" {
			fmt.Fprint(w, `{"items":[{"id":"9"}],"nextCursor":"a"}`)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"status":404,"code":"not_found","detail":"gone"}`)
	})
	var ids []string
	var failures []error
	for e, err := range c.Entries(t.Context(), client.EntryFilter{}) {
		if err != nil {
			failures = append(failures, err)
			continue
		}
		ids = append(ids, e.ID)
	}
	if len(ids) != 1 || len(failures) != 1 || client.CodeOf(failures[0]) != "not_found" {
		t.Errorf("entries %v, errors %v", ids, failures)
	}
}

// An adjustment whose answer was lost is sent again with the same key.
func TestAnAdjustmentKeepsItsKey(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		if r.Header.Get("Idempotency-Key") != "invoice 7" || body["bytes"] != -10.0 || body["from"] != "2026-11-01T00:00:00Z" {
			t.Errorf("%s: %v", r.Header.Get("Idempotency-Key"), body)
		}
		if _, there := body["until"]; there {
			t.Errorf("until is sent: %v", body)
		}
		if seen.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"id":"01K","class":"GLACIER","bytes":-10,"from":"2026-11-01T00:00:00Z","reason":"counted twice","bookedBy":"ops","bookedAt":"2026-11-02T00:00:00Z"}`)
	})
	booked, err := c.Adjust(t.Context(), "invoice 7", client.NewAdjustment{
		Class: "GLACIER", Bytes: -10, From: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Reason: "counted twice",
	})
	if err != nil || booked.ID != "01K" || booked.Bytes != -10 || booked.BookedBy != "ops" || seen.Load() != 2 {
		t.Errorf("%+v, %v after %d requests", booked, err, seen.Load())
	}
}

func TestASearchSaysWhatItHasCorrected(t *testing.T) {
	t.Parallel()
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if query.Get("q") != "reprots" || strings.Join(query["tag"], ",") != "team:ops" || query.Get("maxSize") != "7" || query.Has("minSize") {
			t.Errorf("asked for %s", r.URL)
		}
		next := `"b"`
		if query.Has("cursor") {
			next = "null"
		}
		fmt.Fprintf(w, `{"items":[{"id":"o","name":[{"text":"reports","match":true}]}],"corrected":"reports","nextCursor":%s}`, next)
	})
	var corrected []string
	opts := &client.SearchOptions{Tags: map[string]string{"team": "ops"}, MaxSize: 7, Corrected: func(q string) { corrected = append(corrected, q) }}
	hits := 0
	for hit, err := range c.Search(t.Context(), "reprots", opts) {
		if err != nil {
			t.Fatal(err)
		}
		if len(corrected) != 1 || len(hit.Name) != 1 || !hit.Name[0].Match {
			t.Errorf("%+v after %q", hit, corrected)
		}
		hits++
	}
	if hits != 2 || len(corrected) != 1 {
		t.Errorf("%d hits, corrected to %q", hits, corrected)
	}
}
