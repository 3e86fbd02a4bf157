// Package relational_test runs the stacks with the Relational one whole, behind the
// stand-in of RDS Proxy: what is uploaded through the API becomes an entry of the ledger
// and a hit of the search, with every grant of the stack's roles used and none missing.
//
// It synthesizes by itself, with what `make synth` has built in dist.
package relational_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/stowage-dev/stowage/scripts/local/iam/privileges"
	"github.com/stowage-dev/stowage/scripts/local/iam/usage"
	"github.com/stowage-dev/stowage/scripts/local/template"
	"github.com/stowage-dev/stowage/shared/client"
)

func TestWhatIsUploadedIsBookedFoundAndChecked(t *testing.T) {
	record := filepath.Join(t.TempDir(), "usage.jsonl")
	w := start(t, record)
	for _, step := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"an upload is booked", isBooked},
		{"an upload is found by its words", isFound},
		{"pages go on with a sealed cursor", pagesGoOn},
		{"an adjustment is booked once", isAdjusted},
		{"another workspace sees nothing of it", isNotSeen},
		{"what cannot be booked goes to the dead letters", isGivenUp},
		{"the nightly check finds what is wrong, and nothing else", isChecked},
		{"the schedule has the cursor keys rotated", isRotated},
		{"no function may be another's user", isWhoItIs},
		{"restarts of proxy and database are survived", isSurvived},
		{"a database that wakes is told of, and then is there", wakes},
		{"what happens while the database sleeps is booked at once", isAwaited},
		{"what the ledger has never heard of is backfilled", isBackfilled},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, w) }) {
			return
		}
	}
	lines, err := usage.Read(record)
	if err != nil {
		t.Fatal(err)
	}
	wholeUsed(t, w.Model, lines)
}

func isBooked(t *testing.T, w *world) {
	t.Helper()
	text := "The annual turnover of the lighthouse keepers rose."
	u := w.put(t, "reports/q3.txt", "text/plain", text)
	w.items(t, "/v1/ledger/entries?object="+u.ObjectID, 2)
	held := map[string]int64{}
	for entry, err := range w.client.Entries(t.Context(), client.EntryFilter{Object: u.ObjectID, From: time.Now().Add(-time.Hour)}) {
		if err != nil {
			t.Fatal(err)
		}
		if entry.Object != u.ObjectID || entry.Class != "INTELLIGENT_TIERING" || entry.Journal == "" || entry.BookedAt.Before(entry.At) {
			t.Errorf("entry = %+v", entry)
		}
		held[entry.Account] += entry.Bytes
	}
	if n := int64(len(text)); held["stored"] != n || held["supply"] != -n {
		t.Errorf("%d bytes are booked as %v", n, held)
	}
	month := time.Now().UTC().Format("2006-01")
	statement, err := w.client.Statement(t.Context(), month, "")
	if err != nil || statement.Period != month || statement.Zone != "UTC" || statement.Complete || statement.Through.Before(statement.From) {
		t.Errorf("statement: %+v, %v", statement, err)
	}
}

func isFound(t *testing.T, w *world) {
	t.Helper()
	w.items(t, "/v1/search?q=lighthouse", 1)
	for words, meant := range map[string]string{"lighthouse": "", "q3": "", "reprots": "reports"} { // in the text, in the name, misspelt
		var paths []string
		corrected := ""
		for hit, err := range w.client.Search(t.Context(), words, &client.SearchOptions{Folder: "reports", Corrected: func(q string) { corrected = q }}) {
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, hit.Path)
		}
		if !slices.Equal(paths, []string{"reports/q3.txt"}) || corrected != meant {
			t.Errorf("%s: found %q, corrected to %q", words, paths, corrected)
		}
	}
}

func pagesGoOn(t *testing.T, w *world) {
	t.Helper()
	_, first := w.get(t, "/v1/ledger/entries?limit=1")
	cursor, _ := first["nextCursor"].(string)
	if cursor == "" {
		t.Fatalf("no cursor: %v", first)
	}
	if status, second := w.get(t, "/v1/ledger/entries?limit=1&cursor="+url.QueryEscape(cursor)); status != http.StatusOK || fmt.Sprint(second["items"]) == fmt.Sprint(first["items"]) {
		t.Errorf("second page: %d %v", status, second)
	}
	if status, problem := w.get(t, "/v1/ledger/entries?limit=1&cursor="+url.QueryEscape(cursor[:len(cursor)-2]+"AA")); status != http.StatusBadRequest && status != http.StatusUnprocessableEntity {
		t.Errorf("a forged cursor: %d %v", status, problem)
	}
}

func isAdjusted(t *testing.T, w *world) {
	t.Helper()
	adjustment := client.NewAdjustment{Class: "INTELLIGENT_TIERING", Bytes: 10, From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Reason: "not counted"}
	first, err := w.client.Adjust(t.Context(), "once", adjustment)
	if err != nil || first.Bytes != 10 || first.Until != nil {
		t.Fatalf("%+v, %v", first, err)
	}
	if second, err := w.client.Adjust(t.Context(), "once", adjustment); err != nil || second.ID != first.ID {
		t.Errorf("again: %+v, %v, first %+v", second, err, first)
	}
	adjustment.Bytes = 11
	if _, err := w.client.Adjust(t.Context(), "once", adjustment); client.CodeOf(err) != "idempotency_mismatch" {
		t.Errorf("another one with its key: %v", err)
	}
}

func isNotSeen(t *testing.T, w *world) {
	t.Helper()
	token, _, err := w.Mint(t.Context(), "beta-user")
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.APIURL()+"/v1/search?q=lighthouse", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || strings.Contains(string(raw), "q3.txt") {
		t.Errorf("%d %s, %v", resp.StatusCode, raw, err)
	}
}

// isGivenUp sends the projector an event that no write of the catalog makes.
func isGivenUp(t *testing.T, w *world) {
	t.Helper()
	if _, err := sqs.NewFromConfig(w.developer()).SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: aws.String(w.ledgerQueue(t)), MessageBody: aws.String(`{"detail-type":"dev.stowage.object.available","source":"stowage","detail":{"specversion":"1.0"}}`),
	}); err != nil {
		t.Fatal(err)
	}
	role := w.role(t, "LedgerProjector")
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		lines, err := usage.Read(w.record)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(lines, func(l usage.Line) bool { return l.Role == role && l.Action == "s3:PutObject" && l.Grant != nil }) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the projector wrote no dead letter")
		}
	}
}

// isChecked runs the nightly check. It leaves alone what has just changed; of an object that
// was written two hours ago the catalog was changed behind the ledger's back.
func isChecked(t *testing.T, w *world) {
	t.Helper()
	w.change(t, w.publishedLongAgo(t))
	i := slices.IndexFunc(w.Model.Functions, func(f *template.Function) bool { return strings.HasPrefix(f.ConstructPath, "Relational/LedgerCheck/") })
	if i < 0 {
		t.Fatal("there is no function that checks")
	}
	r, err := w.Host.Invoke(t.Context(), w.Model.Functions[i].ARN, []byte("{}"))
	if err != nil || r.FunctionError != "" {
		t.Fatalf("%s, %v", r.Payload, err)
	}
	var report struct{ Objects, Imbalances, Differences int }
	if err := json.Unmarshal(r.Payload, &report); err != nil {
		t.Fatal(err)
	}
	if report.Objects == 0 || report.Imbalances != 0 || report.Differences != 1 {
		t.Errorf("report = %+v", report)
	}
}

// isRotated sends what the schedule of db-migrate sends: it is told that the key is young.
func isRotated(t *testing.T, w *world) {
	t.Helper()
	i := slices.IndexFunc(w.Model.Rules, func(r template.Rule) bool { return r.ConstructPath == "Relational/RotateNightly/Default/Resource" })
	if i < 0 || len(w.Model.Rules[i].Targets) != 1 || w.Model.Rules[i].Schedule == "" {
		t.Fatalf("rule %d of %d is no schedule with a target", i, len(w.Model.Rules))
	}
	target := w.Model.Rules[i].Targets[0]
	r, err := w.Host.Invoke(t.Context(), target.ARN, []byte(target.Input))
	if err != nil || r.FunctionError != "" || string(r.Payload) != `{"newCursorKey":false}` {
		t.Errorf("%s: %s, %v", target.Input, r.Payload, err)
	}
}

// isWhoItIs connects as the users of other functions.
func isWhoItIs(t *testing.T, w *world) {
	t.Helper()
	proxy, cluster := w.Model.Proxies[0].Endpoint, w.Model.Databases[0].Writer
	for _, tt := range []struct {
		construct, endpoint, user string
		allowed                   bool
	}{
		{"LedgerApi", proxy, "ledger_api", true}, {"LedgerApi", proxy, "ledger_writer", false}, {"LedgerApi", proxy, "postgres", false},
		{"LedgerApi", cluster, "ledger_api", false}, {"LedgerCheck", proxy, "ledger_api", false}, {"DbMigrate", cluster, "postgres", true},
		{"DbMigrate", proxy, "postgres", false},
	} {
		if err := w.connect(t, tt.construct, tt.endpoint, tt.user); (err == nil) != tt.allowed {
			t.Errorf("%s as %s at %s: %v", tt.construct, tt.user, tt.endpoint, err)
		}
	}
}

func isSurvived(t *testing.T, w *world) {
	t.Helper()
	u := w.put(t, "reports/q4.txt", "text/plain", "The keepers moved inland.")
	restarts := []func(context.Context) error{w.Databases[0].Engine.Restart}
	if pooler := w.Databases[0].Pooler; pooler != nil {
		restarts = append(restarts, pooler.Restart)
	} else { // in CI the stack would not have started
		t.Log("skipped: what stands for RDS Proxy, as this machine has no pgbouncer")
	}
	for _, restart := range restarts {
		if err := restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.items(t, "/v1/ledger/entries?object="+u.ObjectID, 2)
	w.items(t, "/v1/search?q=inland", 1)
}

// wakes asks a database that is paused: the answer is 503 with Retry-After long before API
// Gateway gives up, and when it is awake everything is as before.
func wakes(t *testing.T, w *world) {
	t.Helper()
	w.Databases[0].Pause(15 * time.Second) // what Aurora takes
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.APIURL()+"/v1/ledger/entries", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("while it wakes: %s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
	w.items(t, "/v1/ledger/entries", 2)
}

// isAwaited uploads while the database is paused: its event wakes the database, and is booked
// when it was received for the first time. Later ones would find the database asleep again.
func isAwaited(t *testing.T, w *world) {
	t.Helper()
	events, letters := w.queue(t, "Default"), w.queue(t, "DeadLetters")
	before, err := w.Broker.Stats(letters.ARN)
	if err != nil {
		t.Fatal(err)
	}
	w.Databases[0].Pause(15 * time.Second)
	u := w.put(t, "reports/q5.txt", "text/plain", "The keepers slept.")
	seen := false
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		messages, err := w.Broker.Peek(events.ARN, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if !strings.Contains(m.Body, u.ObjectID) {
				continue
			}
			seen = true
			if times := m.Attributes["ApproximateReceiveCount"]; times != "0" && times != "1" {
				t.Fatalf("the event was received %s times", times)
			}
		}
		if seen && len(messages) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the queue holds %v; its event was seen: %t", messages, seen)
		}
	}
	w.items(t, "/v1/ledger/entries?object="+u.ObjectID, 2)
	if after, err := w.Broker.Stats(letters.ARN); err != nil || after.Visible != before.Visible {
		t.Errorf("%d dead letters, before %d, %v", after.Visible, before.Visible, err)
	}
}

// wholeUsed compares what the roles of the Relational stack are granted with what was
// used of it. Denials are those that isWhoItIs asked for.
func wholeUsed(t *testing.T, m *template.Model, lines []usage.Line) {
	t.Helper()
	own := *m
	own.Roles = slices.DeleteFunc(slices.Clone(m.Roles), func(r *template.Role) bool { return !strings.HasPrefix(r.ConstructPath, "Relational/") })
	lines = slices.DeleteFunc(lines, func(l usage.Line) bool { return l.Denial != nil && strings.HasSuffix(l.Denial.Principal, "/test") })
	report, err := privileges.New(&own, lines)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := report.Write(&table); err != nil {
		t.Fatal(err)
	}
	if count := report.Count(); !count.OK() || count.Roles != 5 {
		t.Errorf("%s\n%s", table.String(), count)
	}
}
