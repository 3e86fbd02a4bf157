package console_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/stowage-dev/stowage/scripts/local/api"
	"github.com/stowage-dev/stowage/scripts/local/console"
	"github.com/stowage-dev/stowage/scripts/local/lambda"
	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// loadEnv makes this binary a console under load, so that its memory can be told
// from the tests'.
const loadEnv = "STOWAGE_CONSOLE_LOAD"

// loadRate is how many events a second the page must stay live at.
const loadRate = 1000

// maxRSS is how much memory the process may have then, in KiB.
const maxRSS = 100 << 10

// runLoad serves a console that is told of loadRate events a second: each an
// event of a kilobyte, a request, an invocation, a segment and a line of metrics.
func runLoad() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1
	}
	c, err := console.New(console.Config{Listener: l, Resources: console.Resources{Functions: []string{"app-One", "app-Two"}}})
	if err != nil || c.Start(context.Background()) != nil {
		return 1
	}
	fmt.Println(c.URL())
	out := c.Log("app-One", io.Discard)
	padding := strings.Repeat("x", 900)
	tick := time.NewTicker(10 * time.Millisecond)
	begun := time.Now()
	for n := 0; ; {
		<-tick.C
		for n < int(time.Since(begun).Seconds()*loadRate) {
			n++
			note(c, n, padding)
			fmt.Fprintf(out, `{"_aws":{"Timestamp":%d,"CloudWatchMetrics":[{"Namespace":"App","Dimensions":[["function"]],"Metrics":[{"Name":"Done","Unit":"Count"}]}]},"function":"app-One","Done":1}`+"\n", time.Now().UnixMilli())
			fmt.Fprintf(out, `{"level":"INFO","message":"did","n":%d}`+"\n", n)
		}
	}
}

// note tells the console of one request and what came of it.
func note(c *console.Console, n int, padding string) {
	now := time.Now()
	trace := xray.NewTrace(now)
	request, invocation := xray.NewSegmentID(), xray.NewSegmentID()
	c.EventPut("events", fmt.Appendf(nil, `{"source":"app","detail-type":"Something happened","detail":{"subject":"%d","padding":%q}}`, n, padding), 1)
	c.Requested(api.Report{API: "app", Method: "GET", Path: "/things/" + strconv.Itoa(n), Status: 200, Start: now, Duration: time.Millisecond,
		Trace: api.Trace{Header: trace, Segment: request}})
	report := lambda.Report{Function: "app-One", RequestID: strconv.Itoa(n), Start: now, Duration: time.Millisecond,
		Trace: lambda.Trace{Header: trace.Under(request), Segment: invocation}}
	if n%50 == 0 {
		report.FunctionError, report.ErrorType, report.ErrorMessage = "Unhandled", "Oops", padding
	}
	c.Invoked(report)
	c.Segment(fmt.Appendf(nil, `{"trace_id":%q,"id":%q,"parent_id":%q,"type":"subsegment","name":"DynamoDB","start_time":%f,"end_time":%f,"aws":{"operation":"GetItem"}}`,
		trace.Root, xray.NewSegmentID(), invocation, xray.Seconds(now), xray.Seconds(now)+0.001))
}

// TestLiveUnderLoad reads the stream of a console under load as a page does: it
// must hear from it several times a second, of every event, and the process must
// stay small.
func TestLiveUnderLoad(t *testing.T) {
	seconds := 6.0
	if testing.Short() {
		seconds = 3
	}
	url, pid := startLoad(t)
	messages, first, last := readStream(t, url, time.Duration(seconds*float64(time.Second)))
	rss := residentKiB(t, pid)
	rate := float64(last.Total-first.Total) / (float64(last.Now-first.Now) / 1000)
	t.Logf("%d messages in %.0f s, %.0f events a second, %.1f MiB resident", messages, seconds, rate, float64(rss)/1024)
	if float64(messages) < seconds*2 {
		t.Errorf("the page heard %d times in %.0f s: that is not live", messages, seconds)
	}
	if rate < loadRate*0.9 {
		t.Errorf("%.0f events a second were noted, of %d", rate, loadRate)
	}
	if rss > maxRSS {
		t.Errorf("%d KiB are resident, more than %d", rss, maxRSS)
	}
}

// TestBrowserUnderLoad looks at the bus while a thousand events a second come:
// the newest is shown, and the page goes on drawing.
func TestBrowserUnderLoad(t *testing.T) {
	b := newBrowser(t)
	url, pid := startLoad(t)
	b.do(chromedp.Navigate(url + "/#/bus"))
	b.sees(`Number(document.querySelector("#rate-events").textContent.replace(",", "")) > 900`)
	b.sees(`/ came too fast to list/.test(document.querySelector(".bar [role=status]").textContent)`)
	// The machine may be busy with other things for a while; a page that cannot
	// keep up would never get there.
	var found liveliness
	for attempt := 0; attempt < 5 && !found.good(); attempt++ {
		b.do(chromedp.Evaluate(observeLiveliness, &found, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
		t.Logf("in 3 s: %+v; %.1f MiB resident", found, float64(residentKiB(t, pid))/1024)
	}
	if !found.good() {
		t.Errorf("the page is not live: %+v", found)
	}
	b.shoot("load")
	b.do(chromedp.Click(`.side a[href="#/metrics"]`))
	b.sees(`/^([1-9],\d{3}|[\d.]+[KM])$/.test(document.querySelector(".metric .figure")?.textContent)`) // a thousand, or more by now
	b.shoot("metrics")
	b.do(chromedp.Click(`.side a[href="#/functions"]`), chromedp.Click(`//a[text()="One"]`))
	b.sees(`document.querySelector(".failures strong")?.textContent === "Oops"`)
	b.shoot("failures")
}

// liveliness is what a page did in three seconds.
type liveliness struct {
	Frames int     // drawn
	Events float64 // by which the newest event moved on
	Rate   float64 // of events a second, as the page says
}

func (l liveliness) good() bool {
	return l.Frames >= 30 && l.Events > 2*loadRate && l.Rate > 0.8*loadRate && l.Rate < 1.2*loadRate
}

const observeLiveliness = `new Promise((done) => {
	const newest = () => Number(document.querySelector(".stream tbody tr td:nth-child(5)").textContent);
	const first = newest();
	let frames = 0;
	const end = performance.now() + 3000;
	const draw = () => {
		if (performance.now() < end) {
			frames++;
			return requestAnimationFrame(draw);
		}
		done({ Frames: frames, Events: newest() - first, Rate: Number(document.querySelector("#rate-events").textContent.replace(",", "")) });
	};
	requestAnimationFrame(draw);
})`

// startLoad runs a console under load in a process of its own, and returns its
// URL and the process's id.
func startLoad(t *testing.T) (url string, pid int) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), binary)
	child.Env = append(os.Environ(), loadEnv+"=1")
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), child.Process.Pid
}

// message is what the tests read of one.
type message struct {
	Now     int64
	Total   uint64
	Skipped uint64
	Events  []struct{ Seq uint64 }
	Changed map[string]json.RawMessage
}

// readStream follows a console for a while. Every event must be sent or counted.
func readStream(t *testing.T, url string, d time.Duration) (messages int, first, last message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stream := bufio.NewReader(resp.Body)
	for {
		line, err := stream.ReadString('\n')
		if err != nil {
			return messages, first, last // time is up, perhaps in the middle of a message
		}
		raw, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var m message
		if err := json.Unmarshal([]byte(raw), &m); err != nil {
			t.Fatal(err)
		}
		if messages > 0 && m.Total != last.Total+m.Skipped+uint64(len(m.Events)) {
			t.Fatalf("%d events were there, %d are now, %d came and %d were skipped", last.Total, m.Total, len(m.Events), m.Skipped)
		}
		if messages == 0 {
			first = m
		}
		messages++
		last = m
	}
}

func residentKiB(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("resident memory is read from /proc, which only Linux has: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return kib
		}
	}
	t.Fatal("the process has no VmRSS")
	return 0
}
