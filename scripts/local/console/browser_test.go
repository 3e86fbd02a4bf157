package console_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/stowage-dev/stowage/scripts/chromiumtest"
	"github.com/stowage-dev/stowage/scripts/local/bus"
	"github.com/stowage-dev/stowage/scripts/local/console"
	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/scripts/local/stack"
	"github.com/stowage-dev/stowage/scripts/local/stack/stacktest"
)

// browser is a headless browser that fails its test on any error on the page.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string
	mayLose  bool // connections that break are no problem
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	options := append(chromiumtest.Options(t), chromedp.WindowSize(1360, 860))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, b.watch)
	// The first run starts the browser, which lives as long as its context.
	if err := chromedp.Run(ctx, log.Enable()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.problems) > 0 {
			t.Errorf("the page complained:\n%s", strings.Join(b.problems, "\n"))
		}
	})
	return b
}

// watch notes exceptions, and errors such as violations of the content security policy.
func (b *browser) watch(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, e.ExceptionDetails.Error())
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError && (!b.mayLose || !strings.Contains(e.Entry.Text, "net::ERR_")) {
			b.problems = append(b.problems, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		var html string
		_ = chromedp.Run(b.ctx, chromedp.OuterHTML("#main", &html))
		b.t.Fatalf("%v\nthe page is:\n%s", err, html)
	}
}

// sees waits until an expression is true on the page.
func (b *browser) sees(expression string) {
	b.t.Helper()
	b.do(chromedp.Poll(expression, nil, chromedp.WithPollingInterval(50*time.Millisecond)))
}

// shoot keeps a picture of the page, in light and dark, where STOWAGE_SCREENSHOTS
// names a directory.
func (b *browser) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("STOWAGE_SCREENSHOTS")
	if dir == "" {
		return
	}
	for _, scheme := range []string{"dark", "light"} {
		var png []byte
		b.do(prefer(scheme), chromedp.Sleep(200*time.Millisecond), chromedp.CaptureScreenshot(&png))
		if err := os.WriteFile(filepath.Join(dir, name+"-"+scheme+".png"), png, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
}

func prefer(scheme string) chromedp.Action {
	return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}})
}

// world is a running stack that has seen some traffic.
type world struct {
	*stack.Stack
	app stacktest.App
	dev stack.DevFile
}

// resources are those of the template.
func (w world) resources() map[string]any {
	resources := w.app.Resources()
	resources["Parcels"] = stacktest.Resource("AWS::SQS::Queue", stacktest.Object{
		"RedrivePolicy": stacktest.Object{"deadLetterTargetArn": stacktest.GetAtt("Dead", "Arn"), "maxReceiveCount": 1}})
	// Names that are longer than any of the stacks.
	resources["RelationalLedgerProjectorOfAll"] = w.app.Function("")
	resources["RelationalLedgerEventsOfAll"] = stacktest.Resource("AWS::SQS::Queue", stacktest.Object{
		"RedrivePolicy": stacktest.Object{"deadLetterTargetArn": stacktest.GetAtt("RelationalLedgerEventsOfAllDeadLetters", "Arn"), "maxReceiveCount": 1}})
	resources["RelationalLedgerEventsOfAllDeadLetters"] = stacktest.Resource("AWS::SQS::Queue", stacktest.Object{})
	return resources
}

func newWorld(t *testing.T) world {
	t.Helper()
	app := stacktest.New(t, recorderDir)
	app.Write(t, world{app: app}.resources())
	s, err := stack.Start(t.Context(), stack.Config{
		Assembly: app.Dir, State: t.TempDir(), Source: app.Dir, NodeModules: filepath.Join("..", "..", "..", "node_modules")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return world{s, app, s.Dev(nil)}
}

// queueARN is the ARN of a queue of the template.
func (w world) queueARN(t *testing.T, logicalID string) string {
	t.Helper()
	for _, q := range w.Model.Queues {
		if strings.HasSuffix(q.Name, logicalID) {
			return q.ARN
		}
	}
	t.Fatalf("the template has no queue %s", logicalID)
	return ""
}

// upload asks the API for something, which answers with what it was sent: here a
// presigned URL. The client then uses it, and a function hears of the object.
func (w world) upload(t *testing.T) {
	t.Helper()
	token, _, err := w.Mint(t.Context(), "somebody")
	if err != nil {
		t.Fatal(err)
	}
	client := awss3.New(awss3.Options{BaseEndpoint: &w.dev.S3Endpoint, Region: w.dev.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(w.dev.AccessKeyID, w.dev.SecretAccessKey, "")})
	put, err := awss3.NewPresignClient(client).PresignPutObject(t.Context(), &awss3.PutObjectInput{
		Bucket: &w.dev.Bucket, Key: aws.String("parcels/first.txt"), Tagging: aws.String("colour=blue")})
	if err != nil {
		t.Fatal(err)
	}
	send(t, http.MethodPost, w.APIURL()+"/parcels", strings.NewReader(put.URL), http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"text/plain"}}, http.StatusCreated)
	send(t, http.MethodPut, put.URL, strings.NewReader("hello"), put.SignedHeader, http.StatusOK)
	w.app.Await(t, "parcels/first.txt")
	w.app.Await(t, `"eventSource":"aws:sqs"`)
}

func send(t *testing.T, method, url string, body io.Reader, header http.Header, want int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != want {
		t.Fatalf("%s %s: %d, want %d: %s", method, url, resp.StatusCode, want, answer)
	}
}

// bury sends a message that nobody handles, until it is a dead letter.
func (w world) bury(t *testing.T, body string) {
	t.Helper()
	parcels := w.queueARN(t, "Parcels")
	if _, err := w.Broker.Send(t.Context(), parcels, queue.Message{Body: body}); err != nil {
		t.Fatal(err)
	}
	now := time.Duration(0)
	for range 2 { // once received, and once given up
		if _, err := w.Broker.Receive(t.Context(), parcels, queue.ReceiveInput{VisibilityTimeout: &now, Wait: &now}); err != nil {
			t.Fatal(err)
		}
	}
	if stats, err := w.Broker.Stats(w.queueARN(t, "Dead")); err != nil || stats.Visible != 1 {
		t.Fatalf("the dead-letter queue has %+v, %v; want one message", stats, err)
	}
}

func (w world) writeItem(t *testing.T) {
	t.Helper()
	client := dynamodb.New(dynamodb.Options{BaseEndpoint: &w.dev.DynamoDBEndpoint, Region: w.dev.Region,
		Credentials: credentials.NewStaticCredentialsProvider(w.dev.AccessKeyID, w.dev.SecretAccessKey, "")})
	_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &w.dev.Table, Item: map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "parcel-1"}, "weight": &types.AttributeValueMemberN{Value: "12345678901234567890"},
		"note":   &types.AttributeValueMemberS{Value: "<img src=x onerror=alert(1)>"},
		"gsi1pk": &types.AttributeValueMemberS{Value: "WORKSPACE#alpha#PATH#" + strings.Repeat("folder/", 20)},
		"gsi1sk": &types.AttributeValueMemberS{Value: "OBJECT#01JD8XK3Q0Z4Y6N7M8P9R0S1T2"},
		"sha256": &types.AttributeValueMemberS{Value: strings.Repeat("A", 43) + "="}}})
	if err != nil {
		t.Fatal(err)
	}
}

// TestBrowser uses the page as a developer does.
func TestBrowser(t *testing.T) {
	b := newBrowser(t)
	w := newWorld(t)
	w.upload(t)
	w.writeItem(t)
	w.bury(t, `{"parcel":"<b>lost</b>"}`)
	b.do(prefer("light"), chromedp.Navigate(w.ConsoleURL()))
	b.sees(`document.querySelector("#live").textContent === "Live"`)

	t.Run("functions", func(t *testing.T) {
		b.t = t
		b.sees(row("Recorder", ".invocations", "Number(text) > 0"))
		b.do(chromedp.Click(`//a[text()="Web"]`))
		b.sees(`/START RequestId/.test(document.querySelector(".log")?.textContent)`)
		b.shoot("functions")
	})
	t.Run("redrive", func(t *testing.T) {
		b.t = t
		b.do(chromedp.Click(`.side a[href="#/queues"]`), chromedp.Click(`//a[text()="Dead"]`))
		b.sees(`document.querySelector(".json")?.textContent.includes("<b>lost</b>")`)
		b.shoot("queues")
		b.do(chromedp.Click(`.redrive:not(:disabled)`))
		b.sees(`document.querySelector("#toast").textContent.startsWith("Sent 1 message back")`)
		b.sees(row("Dead", ".visible", `text === "0"`))
		b.sees(row("Parcels", ".visible", `text === "1"`))
		if stats, err := w.Broker.Stats(w.queueARN(t, "Parcels")); err != nil || stats.Visible != 1 {
			t.Errorf("the queue has %+v, %v; want the message back", stats, err)
		}
	})
	t.Run("waterfall", func(t *testing.T) { b.t = t; testWaterfall(b) })
	t.Run("bus", func(t *testing.T) {
		b.t = t
		b.do(chromedp.Click(`.side a[href="#/bus"]`), chromedp.WaitVisible(`.stream`))
		if _, err := w.Bus.Put(t.Context(), bus.Entry{Bus: "events", Source: "test", DetailType: "Parcel lost", Detail: []byte(`{"subject":"p-1"}`)}); err != nil {
			t.Fatal(err)
		}
		b.do(chromedp.Click(`//button[text()="Parcel lost"]`))
		b.sees(`document.querySelector(".json")?.textContent.includes('"source": "test"')`)
		b.shoot("bus")
	})
	t.Run("tables and buckets", func(t *testing.T) { b.t = t; testBrowsing(b) })
	t.Run("wide and less wide", func(t *testing.T) { b.t = t; testNothingIsCutOff(b, w) })
	t.Run("reload", func(t *testing.T) { b.t = t; testReload(b, w) })
	t.Run("keyboard", func(t *testing.T) {
		b.t = t
		b.do(chromedp.Focus(`.side a[href="#/metrics"]`), chromedp.KeyEvent(kb.Enter))
		b.sees(`document.querySelector("#title").textContent === "Metrics"`)
		b.do(chromedp.KeyEvent(kb.Tab))
		b.sees(`document.activeElement.matches('.side a[href="#/tables"]') && getComputedStyle(document.activeElement).outlineStyle === "solid"`)
	})
	t.Run("narrow", func(t *testing.T) {
		b.t = t
		b.do(emulation.SetDeviceMetricsOverride(420, 800, 1, false))
		for _, section := range []string{"functions", "queues", "traces", "buckets"} {
			b.do(chromedp.Click(`.side a[href="#/` + section + `"]`))
			b.sees(`document.querySelector("#title").textContent.toLowerCase() === "` + section + `"`)
			b.sees(`document.documentElement.scrollWidth <= innerWidth`)
			b.sees(`[...document.querySelectorAll("table")].every((t) => { // every cell stands below its heading
				const lefts = (row) => [...row.cells].filter((c) => c.checkVisibility()).map((c) => c.getBoundingClientRect().left).join();
				return [...t.tBodies[0].rows].every((r) => lefts(r) === lefts(t.tHead.rows[0]));
			})`)
			b.sees(`document.querySelector('.side a[aria-current] span').checkVisibility()`) // its name, for those who listen
			b.shoot("narrow-" + section)
		}
		b.do(emulation.ClearDeviceMetricsOverride())
	})
	t.Run("light and dark", func(t *testing.T) {
		b.t = t
		ground := `getComputedStyle(document.body).backgroundColor === `
		b.do(prefer("dark"))
		b.sees(ground + `"rgb(15, 17, 22)"`)
		b.do(chromedp.Click("#theme"))
		b.sees(ground + `"rgb(246, 247, 249)"`)
	})
}

// testNothingIsCutOff looks at every section in the windows that people have: no card is
// wider than its window shows, and no button out of reach.
func testNothingIsCutOff(b *browser, w world) {
	b.t.Helper()
	_, err := w.Bus.Put(b.t.Context(), bus.Entry{Bus: "events", Source: "stowage.catalog.of-all-workspaces", DetailType: "dev.stowage.object.derivatives.available",
		Detail: []byte(`{"subject":"workspaces/alpha/objects/01JD8XK3Q0Z4Y6N7M8P9R0S1T2/derivatives/1024"}`)})
	if err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.Click(`.side a[href="#/queues"]`))
	b.sees(row("RelationalLedgerEventsOfAll", ".visible", `text === "0"`))
	for _, width := range []int64{1280, 900} {
		b.do(emulation.SetDeviceMetricsOverride(width, 800, 1, false))
		for _, section := range []string{"functions", "queues", "bus", "traces", "metrics", "tables", "buckets"} {
			b.do(chromedp.Click(`.side a[href="#/` + section + `"]`))
			b.sees(`document.querySelector("#title").textContent.toLowerCase() === "` + section + `"`)
			if section != "traces" && section != "metrics" {
				b.sees(`document.querySelector("main tbody tr") !== null`)
			}
			b.sees(`document.documentElement.scrollWidth <= innerWidth`)
			b.sees(`[...document.querySelectorAll(".card, .detail")].every((e) => e.scrollWidth <= e.clientWidth)`)
			b.sees(`[...document.querySelectorAll(".redrive")].every((e) => { const r = e.getBoundingClientRect(); return r.left >= 0 && r.right <= innerWidth; })`)
			b.shoot(fmt.Sprintf("%d-%s", width, section))
		}
	}
	b.do(emulation.ClearDeviceMetricsOverride())
}

// testReload adds a function and a queue to the template while the page is open.
func testReload(b *browser, w world) {
	b.t.Helper()
	b.do(chromedp.Click(`.side a[href="#/functions"]`))
	b.sees(row("Recorder", ".invocations", "Number(text) > 0"))
	resources := w.resources()
	resources["Newcomer"] = resources["Recorder"]
	resources["Late"] = stacktest.Resource("AWS::SQS::Queue", stacktest.Object{})
	delete(resources["Parcels"].(map[string]any)["Properties"].(map[string]any), "RedrivePolicy")
	w.app.Write(b.t, resources)
	if lines, err := w.Apply(b.t.Context()); err != nil || !slices.Contains(lines, "App/Newcomer: function added") {
		b.t.Fatalf("Apply = %v, %v", lines, err)
	}
	b.sees(row("Newcomer", ".invocations", `text === "0"`))
	b.do(chromedp.Click(`.side a[href="#/queues"]`), chromedp.Click(`//a[text()="Late"]`))
	b.sees(row("Parcels", "td:nth-last-child(2)", `text === "none"`))
	b.sees(`/Nothing waits here/.test(document.querySelector(".detail")?.textContent)`)
}

// TestAnotherRun: a page that was left open loads itself anew when the runtime was
// started again, so that its buttons work.
func TestAnotherRun(t *testing.T) {
	b := newBrowser(t)
	b.mayLose = true
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	begin := func(token string, on net.Listener) *console.Console {
		c, err := console.New(console.Config{Listener: on, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	first := begin("first", l)
	holds := func(token string) string {
		return fmt.Sprintf(`JSON.parse(document.querySelector("meta[name=console]")?.content ?? "{}").token === %q && document.querySelector("#live")?.textContent === "Live"`, token)
	}
	b.do(chromedp.Navigate(first.URL() + "/#/bus"))
	b.sees(holds("first"))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := net.Listen("tcp", l.Addr().String())
	if err != nil {
		t.Skipf("somebody else took the port: %v", err)
	}
	begin("second", again)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var there bool
		err := chromedp.Run(b.ctx, chromedp.Evaluate(holds("second"), &there)) // it fails while the page is loading
		if there {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the page did not load itself anew: %v", err)
		}
	}
	b.sees(`document.querySelector("#title").textContent === "Bus"`)
}

// row makes an expression that tests a cell of the row with a label.
func row(label, cell, test string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("tbody tr")].filter((r) => r.querySelector("a.name")?.textContent === %q)
		.some((r) => { const text = r.querySelector(%q)?.textContent; return %s; })`, label, cell, test)
}

// testWaterfall follows the upload: the request, the client's own call, the
// function that heard of the object, and what both functions sent to the daemon.
func testWaterfall(b *browser) {
	b.t.Helper()
	b.do(chromedp.Click(`.side a[href="#/traces"]`), chromedp.Click(`//a[contains(@class, "pickrow")][.//span[text()="POST /parcels"]]`))
	names := `[...document.querySelectorAll(".wname")].map((e) => e.title)`
	b.sees(names + `.join("|") === "POST /parcels|Web|Initialization|note the event|Client: S3 PutObject|Recorder|Initialization|note the event" ||
		` + names + `.join("|") === "POST /parcels|Web|Initialization|note the event|Client: S3 PutObject|Recorder|note the event"`)
	b.sees(`[...document.querySelectorAll(".fill")].every((e) => e.getBoundingClientRect().width >= 3)`)
	b.do(chromedp.Click(`//button[contains(@class, "wrow")][.//span[text()="Recorder"]]`))
	b.sees(`document.querySelector(".facts")?.textContent.includes("App-Recorder")`)
	b.shoot("traces")
}

func testBrowsing(b *browser) {
	b.t.Helper()
	b.do(chromedp.Click(`.side a[href="#/tables"]`), chromedp.Click(`//button[text()="parcel-1"]`))
	b.sees(`document.querySelector(".inner")?.textContent.includes("<img src=x")`)
	b.sees(`document.querySelector(".rows")?.textContent.includes("12345678901234567890")`)
	b.shoot("tables")
	b.do(chromedp.Click(`.side a[href="#/buckets"]`), chromedp.Click(`//button[text()="parcels/first.txt"]`))
	b.sees(`document.querySelector(".inner")?.textContent.includes("Content type")`)
	b.do(chromedp.Click(`//button[text()="Show the content"]`))
	b.sees(`document.querySelector(".inner .json")?.textContent === "hello"`)
	b.shoot("buckets")
}
