package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/console"
	"github.com/stowage-dev/stowage/scripts/local/queue"
)

const token = "the-token-of-this-run"

// serve runs a console over a dead-letter queue with one message that was put
// there by hand, so that nobody knows where it came from.
func serve(t *testing.T, change func(*console.Config)) *console.Console {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	queues := []console.Queue{{Name: "work", ARN: "arn:aws:sqs:us-east-1:000000000000:work", RedriveTarget: "arn:aws:sqs:us-east-1:000000000000:dead"},
		{Name: "dead", ARN: "arn:aws:sqs:us-east-1:000000000000:dead"}}
	broker, err := queue.Open(queue.Config{Queues: []queue.Queue{
		{Name: "work", ARN: queues[0].ARN, RedriveTarget: queues[1].ARN, MaxReceiveCount: 1}, {Name: "dead", ARN: queues[1].ARN}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	if _, err := broker.Send(t.Context(), queues[1].ARN, queue.Message{Body: "lost"}); err != nil {
		t.Fatal(err)
	}
	cfg := console.Config{Listener: l, Broker: broker, Token: token, Resources: console.Resources{
		Functions: []string{"app-One"}, Queues: queues, Tables: []console.Table{{Name: "things", Keys: []string{"pk"}}}, Buckets: []console.Bucket{{Name: "things"}}}}
	if change != nil {
		change(&cfg)
	}
	c, err := console.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask makes a request and returns its status and body.
func ask(t *testing.T, c *console.Console, method, path string, header map[string]string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		if name == "Host" {
			req.Host = value
		} else {
			req.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestGuard(t *testing.T) {
	c := serve(t, nil)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(c.URL(), "http://"))
	own := c.URL()
	const redrive = "/data/queues/dead/redrive"
	for _, test := range []struct {
		name, method, path string
		header             map[string]string
		want               int
	}{
		{"the page", "GET", "/", nil, 200},
		{"by name", "GET", "/", map[string]string{"Host": "localhost:" + port}, 200},
		{"a name that somebody points here", "GET", "/", map[string]string{"Host": "evil.example:" + port}, 421},
		{"a name that begins alike", "GET", "/", map[string]string{"Host": "127.0.0.1.evil.example"}, 421},
		{"another address", "GET", "/", map[string]string{"Host": "0.0.0.0:" + port}, 421},
		{"a link from elsewhere", "GET", "/", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200},
		{"data from elsewhere", "GET", "/data/queues/dead", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403},
		{"data from another port", "GET", "/data/queues/dead", map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		{"a frame elsewhere", "GET", "/", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403},
		{"another origin", "GET", "/data/queues/dead", map[string]string{"Origin": "http://evil.example"}, 403},
		{"no origin", "GET", "/data/queues/dead", map[string]string{"Origin": "null"}, 403},
		{"own origin", "GET", "/data/queues/dead", map[string]string{"Origin": own}, 200},
		{"a change without the token", "POST", redrive, map[string]string{"Origin": own}, 403},
		{"a change with another token", "POST", redrive, map[string]string{"Origin": own, "X-Console-Token": token + "x"}, 403},
		{"a change from elsewhere", "POST", redrive, map[string]string{"Origin": "http://evil.example", "X-Console-Token": token}, 403},
		{"a change by following a link", "GET", redrive, nil, 405},
		{"another method", "DELETE", redrive, map[string]string{"X-Console-Token": token}, 405},
		{"an unknown queue", "POST", "/data/queues/none/redrive", map[string]string{"X-Console-Token": token}, 404},
		{"an unknown function", "GET", "/data/functions/none", nil, 404},
		{"an unknown event", "GET", "/data/events/1", nil, 404},
		{"an event of no number", "GET", "/data/events/x", nil, 404},
		{"an unknown trace", "GET", "/data/traces/x", nil, 404},
		{"an unknown table", "GET", "/data/tables/none", nil, 404},
		{"a cursor of nowhere", "GET", "/data/tables/things?cursor=e30", nil, 400},
		{"an unknown bucket", "GET", "/data/buckets/none", nil, 404},
		{"a path out of the assets", "GET", "/assets/..%2fconsole.go", nil, 404},
	} {
		resp, body := ask(t, c, test.method, test.path, test.header)
		if resp.StatusCode != test.want {
			t.Errorf("%s: %d, want %d: %s", test.name, resp.StatusCode, test.want, body)
		}
		if policy := resp.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", test.name, policy)
		}
	}
}

func TestRedriveThatCannotBe(t *testing.T) {
	c := serve(t, nil)
	resp, body := ask(t, c, "POST", "/data/queues/dead/redrive", map[string]string{"X-Console-Token": token})
	if resp.StatusCode != http.StatusConflict || !strings.Contains(body, "CouldNotDetermineMessageSource") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	resp, body = ask(t, c, "POST", "/data/queues/work/redrive", map[string]string{"X-Console-Token": token})
	if resp.StatusCode != http.StatusConflict || !strings.Contains(body, "Dead Letter Queue") {
		t.Errorf("a queue that holds no dead letters: %d %s", resp.StatusCode, body)
	}
}

func TestPageKnowsItsToken(t *testing.T) {
	c := serve(t, nil)
	resp, body := ask(t, c, "GET", "/", nil)
	if !strings.Contains(body, token) || resp.Header.Get("Cache-Control") != "no-store" || strings.Contains(body, "<script>") {
		t.Errorf("%v %s", resp.Header, body)
	}
	for _, asset := range []string{"app.js", "dom.js", "style.css", "icon.svg"} {
		if resp, _ := ask(t, c, "GET", "/assets/"+asset, nil); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", asset, resp.StatusCode)
		}
	}
}

// failingBroker has a broken disk.
type failingBroker struct{ console.Queues }

func (failingBroker) Stats(string) (queue.Stats, error) {
	return queue.Stats{}, errors.New("disk on fire")
}

func (failingBroker) Peek(string, int) ([]queue.Received, error) {
	return nil, errors.New("disk on fire")
}

func TestAnEngineThatFails(t *testing.T) {
	c := serve(t, func(cfg *console.Config) { cfg.Broker = failingBroker{} })
	if resp, body := ask(t, c, "GET", "/data/queues/dead", nil); resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "disk on fire") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	_, first, _ := readStream(t, c.URL(), 300*time.Millisecond)
	if !strings.Contains(string(first.Changed["queues"]), "disk on fire") {
		t.Errorf("the page is told %s", first.Changed["queues"])
	}
}

// TestStreamSendsWhatChanges: the first message has everything, later ones what
// is new, and nothing is sent while nothing happens.
func TestStreamSendsWhatChanges(t *testing.T) {
	c := serve(t, nil)
	c.EventPut("events", json.RawMessage(`{"source":"app","detail-type":"Before"}`), 0)
	go func() {
		time.Sleep(600 * time.Millisecond)
		c.EventPut("events", json.RawMessage(`{"source":"app","detail-type":"After"}`), 2)
	}()
	messages, first, last := readStream(t, c.URL(), 1500*time.Millisecond)
	for _, section := range []string{"functions", "queues", "traces", "metrics", "tables", "buckets"} {
		if len(first.Changed[section]) == 0 {
			t.Errorf("the first message has no %s", section)
		}
	}
	if len(first.Events) != 1 || first.Total != 1 || last.Total != 2 || messages > 4 {
		t.Errorf("%d messages, from %+v to %+v", messages, first, last)
	}
}

// TestShow: a page that is open hears of what came and what went, and may look into it.
func TestShow(t *testing.T) {
	c := serve(t, nil)
	next := console.Resources{
		Functions: []string{"app-One", "app-Two"}, Tables: []console.Table{{Name: "others", Keys: []string{"pk"}}},
		Queues:  []console.Queue{{Name: "late", ARN: "arn:aws:sqs:us-east-1:000000000000:dead"}},
		Buckets: []console.Bucket{{Name: "things", Note: "dead letters"}},
	}
	go func() {
		time.Sleep(300 * time.Millisecond)
		c.Show(next)
	}()
	_, first, last := readStream(t, c.URL(), 2*time.Second)
	for section, want := range map[string][2]string{
		"functions": {`"label":"app-One"`, `"label":"Two"`}, "queues": {`"name":"dead"`, `"name":"late"`},
		"tables": {`"name":"things"`, `"name":"others"`}, "buckets": {`"name":"things"`, `"note":"dead letters"`},
	} {
		if was, is := string(first.Changed[section]), string(last.Changed[section]); !strings.Contains(was, want[0]) || !strings.Contains(is, want[1]) {
			t.Errorf("%s: from %s to %s", section, was, is)
		}
	}
	for path, want := range map[string]int{"/data/queues/late": 200, "/data/queues/work": 404, "/data/functions/app-Two": 200, "/data/tables/things": 404} {
		if resp, body := ask(t, c, "GET", path, nil); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d: %s", path, resp.StatusCode, want, body)
		}
	}
}

// TestCloseEndsStreams: a page that is open does not hold the console up.
func TestCloseEndsStreams(t *testing.T) {
	before := runtime.NumGoroutine()
	c := serve(t, nil)
	client := &http.Client{Transport: &http.Transport{}}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, c.URL()+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	start := time.Now()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	client.CloseIdleConnections()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("closing took %s", took)
	}
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before+2 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before+2 {
		t.Errorf("%d goroutines are left, of %d before", n, before)
	}
}

// TestTooManyPages: one more than the limit is refused, and room is made when one goes.
func TestTooManyPages(t *testing.T) {
	c := serve(t, nil)
	open := func() *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL()+"/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	var pages []*http.Response
	for range 16 {
		pages = append(pages, open())
	}
	refused := open()
	refused.Body.Close()
	if refused.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the 17th page: %d", refused.StatusCode)
	}
	pages[0].Body.Close()
	deadline := time.Now().Add(5 * time.Second)
	for {
		again := open()
		again.Body.Close()
		if again.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no room is made")
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, p := range pages {
		p.Body.Close()
	}
}
