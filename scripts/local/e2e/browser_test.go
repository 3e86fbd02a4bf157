package e2e_test

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// newBrowser starts a headless browser.
func newBrowser(t *testing.T, options []chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Run(ctx); err != nil { // starts it
		t.Fatal(err)
	}
	return ctx
}

// tab is a tab of a headless browser.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	parts      []int // that PUTs were sent for
	complaints []string
}

func openTab(t *testing.T, browser context.Context) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, b.watch)
	if err := chromedp.Run(ctx, log.Enable(), network.Enable()); err != nil {
		t.Fatal(err)
	}
	return b
}

// watch notes the parts that are sent, and what the page complains of.
func (b *tab) watch(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err == nil && e.Request.Method == http.MethodPut && u.Query().Has("partNumber") {
			n, _ := strconv.Atoi(u.Query().Get("partNumber")) // 0 is no part
			b.parts = append(b.parts, n)
		}
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, e.ExceptionDetails.Error())
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError {
			b.complaints = append(b.complaints, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

// sent gives the parts that PUTs were sent for since it was called last.
func (b *tab) sent() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	parts := b.parts
	b.parts = nil
	return parts
}

func (b *tab) complained() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.complaints, "\n")
}

func (b *tab) do(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.t.Fatalf("%v\nthe page said:\n%s", err, b.complained())
	}
}

// sees waits until an expression is true on the page.
func (b *tab) sees(expression string) {
	b.t.Helper()
	b.do(chromedp.Poll(expression, nil, chromedp.WithPollingInterval(50*time.Millisecond)))
}

// visit opens the page, ready for a file.
func (b *tab) visit(origin string) {
	b.t.Helper()
	b.do(chromedp.Navigate(origin))
	b.sees(`window.page !== undefined`)
}

// pick picks a file, as a person does with the page's input.
func (b *tab) pick(path string) {
	b.t.Helper()
	b.do(chromedp.SetUploadFiles("#file", []string{path}, chromedp.ByQuery))
}

// slow limits how many bytes a second the page can send; -1: no limit.
func slow(bytesPerSecond float64) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := network.EmulateNetworkConditionsByRule(false, []*network.Conditions{{
			DownloadThroughput: -1, UploadThroughput: bytesPerSecond,
		}}).Do(ctx)
		return err
	})
}

// loseAnswer makes the first answer to a PUT to an endpoint fail on its way, until the returned
// function is called, which tells whether that has happened.
func (b *tab) loseAnswer(endpoint string) (lost func() bool) {
	b.t.Helper()
	var done atomic.Bool
	ctx, cancel := context.WithCancel(b.ctx)
	chromedp.ListenTarget(ctx, func(event any) {
		e, ok := event.(*fetch.EventRequestPaused)
		if !ok {
			return
		}
		go func() { // a listener must not wait for the browser
			if e.Request.Method == http.MethodPut && done.CompareAndSwap(false, true) {
				_ = chromedp.Run(b.ctx, fetch.FailRequest(e.RequestID, network.ErrorReasonConnectionReset))
				return
			}
			_ = chromedp.Run(b.ctx, fetch.ContinueRequest(e.RequestID)) // the page tells when it gets no answer
		}()
	})
	b.do(fetch.Enable().WithPatterns([]*fetch.RequestPattern{{URLPattern: endpoint + "/*", RequestStage: fetch.RequestStageResponse}}))
	return func() bool {
		b.do(fetch.Disable())
		cancel()
		return done.Load()
	}
}
