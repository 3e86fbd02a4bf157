package idempotency_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/idempotency"
)

func TestMain(m *testing.M) { os.Exit(ddbtest.Main(m)) }

// clock is moved by the test alone.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2026, 11, 3, 15, 4, 5, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time        { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) move(by time.Duration) { c.nanos.Add(int64(by)) }

// bench is a table with stores on it that share a clock.
type bench struct {
	*idempotency.Store
	*clock
	table string
	ids   atomic.Int64
}

func newBench(tb testing.TB) *bench {
	tb.Helper()
	b := &bench{clock: newClock(), table: ddbtest.NewTable(tb, ddbtest.Client(nil), catalog.IdempotencyTable())}
	b.Store = b.over(nil)
	return b
}

const (
	lease = 10 * time.Second
	keep  = time.Hour
	skew  = time.Second
)

// over is another function instance, whose calls go over transport.
func (b *bench) over(transport http.RoundTripper) *idempotency.Store {
	return idempotency.New(ddbtest.Client(transport), idempotency.Config{
		Table: b.table, Now: b.now, Keep: keep, Lease: lease, Skew: skew,
		NewID: func() string { return "id-" + strconv.FormatInt(b.ids.Add(1), 10) },
	})
}

// request is the request that says payload under key.
func request(key, payload string) idempotency.Request {
	return idempotency.Request{Scope: []string{"alpha", "zoe", "POST /v1/uploads"}, Key: key, Payload: idempotency.Sum(payload)}
}

func wantCode(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != code {
		t.Errorf("error is %v (code %q), want code %q", err, got, code)
	}
}

// begin claims a request that must be free.
func begin(t *testing.T, s *idempotency.Store, r idempotency.Request) idempotency.Claim {
	t.Helper()
	c, result, err := s.Begin(t.Context(), r)
	if err != nil || c == nil || result != nil {
		t.Fatalf("begin: claim %v, result %s, error %v", c, result, err)
	}
	return *c
}

// made is what an effect returns: the id of what it has created.
type made struct {
	ID string `json:"id"`
}

var errCrash = errors.New("the process was killed")

// create is an effect that creates something named by its claim.
func create(ids *[]string) func(context.Context, idempotency.Claim) (made, error) {
	return func(_ context.Context, c idempotency.Claim) (made, error) {
		*ids = append(*ids, c.ID)
		return made{c.ID}, nil
	}
}
