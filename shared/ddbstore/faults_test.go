package ddbstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

// sometimes answers the first n calls of an operation with what the engine
// would never say.
func sometimes(n int64, operation string, answer func(body []byte) *ddbtest.Answer) *ddbtest.Transport {
	var left atomic.Int64
	left.Store(n)
	return &ddbtest.Transport{Intercept: func(op string, body []byte) *ddbtest.Answer {
		if op == operation && left.Add(-1) >= 0 {
			return answer(body)
		}
		return nil
	}}
}

func canceled(code string) func([]byte) *ddbtest.Answer {
	return func(body []byte) *ddbtest.Answer {
		keys, err := ddbtest.Actions(body)
		if err != nil {
			panic(err)
		}
		return ddbtest.Canceled(len(keys), code)
	}
}

func TestContentionIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			w := b.workspace("alpha", roomy())
			busy := func() *ddbstore.Store { return b.over(sometimes(3, "TransactWriteItems", canceled(code))) }
			u, err := busy().OpenUpload(t.Context(), w, b.upload("alpha", "p", 10))
			if err != nil {
				t.Fatal(err)
			}
			o, err := busy().Publish(t.Context(), u, facts(u))
			if err != nil || o.Rev != 1 {
				t.Fatalf("published %+v, %v", o, err)
			}
			if _, err := busy().DeleteObject(t.Context(), "alpha", o.ID, 1, "owner"); err != nil {
				t.Error(err)
			}
			other := b.open(w, b.upload("alpha", "q", 10))
			if _, err := b.EndUpload(t.Context(), "alpha", other.ID, upload.Abort, upload.Client); err != nil {
				t.Error(err)
			}
			if err := busy().ReleaseUpload(t.Context(), "alpha", other.ID); err != nil {
				t.Error(err)
			}
			bad := b.open(w, b.upload("alpha", "r", 10))
			if _, err := busy().RejectUpload(t.Context(), bad, facts(bad), object.Reason{Code: fault.SizeMismatch}); err != nil {
				t.Error(err)
			}
			if err := busy().ReleaseUpload(t.Context(), "alpha", bad.ID); err != nil {
				t.Error(err)
			}
			q := roomy()
			q.Bytes = 2000
			if _, err := busy().SetQuota(t.Context(), "alpha", q, 0); err != nil {
				t.Error(err)
			}
			b.wantUsage("alpha", amount(0, 0, 0), amount(10, 1, 0))
		})
	}
}

func TestEndlessContentionIsUnavailable(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	never := ddbstore.New(ddbtest.Client(sometimes(1<<40, "TransactWriteItems", canceled("TransactionConflict"))),
		ddbstore.Config{Table: b.table, Retry: ddbstore.Retry{Base: 1, Cap: 2, Attempts: 3}})
	_, err := never.OpenUpload(t.Context(), w, b.upload("alpha", "p", 10))
	wantCode(t, err, fault.Unavailable)
	b.wantUsage("alpha", amount(0, 0, 0), amount(0, 0, 0))
}

func TestContentionEndsWithTheContext(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	busy := ddbstore.New(ddbtest.Client(sometimes(1<<40, "TransactWriteItems", canceled("TransactionConflict"))),
		ddbstore.Config{Table: b.table, Retry: ddbstore.Retry{Base: time.Minute, Cap: time.Hour, Attempts: 3}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := busy.OpenUpload(ctx, w, b.upload("alpha", "p", 10))
	if !errors.Is(err, context.DeadlineExceeded) || !fault.Transient(err) {
		t.Errorf("error is %v", err)
	}
}

func TestCodesOfFailures(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for exception, want := range map[string]fault.Code{
		"ProvisionedThroughputExceededException": fault.Unavailable,
		"ThrottlingException":                    fault.Unavailable,
		"RequestLimitExceeded":                   fault.Unavailable,
		"AccessDeniedException":                  fault.Internal,
		"ValidationException":                    fault.Internal,
		"ResourceNotFoundException":              fault.Internal,
	} {
		s := b.over(sometimes(1<<40, "GetItem", func([]byte) *ddbtest.Answer { return ddbtest.Error(exception) }))
		_, err := s.Object(t.Context(), "alpha", newID())
		if fault.CodeOf(err) != want {
			t.Errorf("%s: %v (code %q), want %q", exception, err, fault.CodeOf(err), want)
		}
	}
	for status, exception := range map[int]string{
		http.StatusInternalServerError: "InternalServerError",
		http.StatusServiceUnavailable:  "NotModelled",
	} {
		broken := b.over(sometimes(1<<40, "GetItem", func([]byte) *ddbtest.Answer {
			return &ddbtest.Answer{Status: status, Body: map[string]string{"__type": exception}}
		}))
		_, err := broken.Object(t.Context(), "alpha", newID())
		wantCode(t, err, fault.Unavailable)
	}
}

func TestUnprocessedKeysAreReadAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.workspace("alpha", roomy())
	s := b.over(sometimes(3, "BatchGetItem", func(body []byte) *ddbtest.Answer {
		var call struct{ RequestItems map[string]any }
		if err := json.Unmarshal(body, &call); err != nil {
			panic(err)
		}
		return &ddbtest.Answer{Status: http.StatusOK, Body: map[string]any{
			"Responses": map[string]any{}, "UnprocessedKeys": call.RequestItems,
		}}
	}))
	usage, err := s.Usage(t.Context(), "alpha")
	if err != nil || usage.Available != roomy().Amount() {
		t.Errorf("usage is %+v, %v", usage, err)
	}
}

// TestLostAnswers loses the answer to every other transaction that was
// committed: whoever asks again must find it done, once.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	var calls atomic.Int64
	s := b.over(&ddbtest.Transport{After: func(operation string) error {
		if operation == "TransactWriteItems" && calls.Add(1)%2 == 1 {
			return errors.New("connection reset by peer")
		}
		return nil
	}})
	u, err := s.OpenUpload(t.Context(), w, b.upload("alpha", "p", 10))
	if err != nil {
		t.Fatal(err)
	}
	if o, err := s.Publish(t.Context(), u, facts(u)); err != nil || o.Rev != 1 {
		t.Errorf("published %+v, %v", o, err)
	}
	b.wantUsage("alpha", amount(0, 0, 0), amount(10, 1, 0))
	if calls.Load() < 4 {
		t.Errorf("only %d transactions were sent: no answer was lost", calls.Load())
	}
}

// TestCrowdUnderConflicts lets more clients than the quota has room for open
// uploads at the same moment, while transactions on the same item cancel each
// other, and then ends all of them at the same moment.
func TestCrowdUnderConflicts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	const clients, size, room = 80, 20, 50 // of 1000 bytes
	var conflicts ddbtest.Conflicts
	s := ddbstore.New(ddbtest.Client(&conflicts), ddbstore.Config{Table: b.table, Now: b.now})

	var mu sync.Mutex
	var opened []upload.Upload
	together(clients, func(i int) {
		u, err := s.OpenUpload(t.Context(), w, b.upload("alpha", path(i), size))
		if fault.Is(err, fault.QuotaExceeded) {
			return
		}
		if err != nil {
			t.Errorf("open: %v", err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		opened = append(opened, u)
	})
	if len(opened) != room {
		t.Errorf("%d uploads were accepted, there is room for %d", len(opened), room)
	}
	b.wantUsage("alpha", amount(room*size, room, room), amount(0, 0, 0))

	together(len(opened), func(i int) {
		var err error
		if i%2 == 0 {
			_, err = s.EndUpload(t.Context(), "alpha", opened[i].ID, upload.Abort, upload.Client)
			err = errors.Join(err, s.ReleaseUpload(t.Context(), "alpha", opened[i].ID))
		} else {
			_, err = s.Publish(t.Context(), opened[i], facts(opened[i]))
		}
		if err != nil {
			t.Errorf("end: %v", err)
		}
	})
	b.wantUsage("alpha", amount(0, 0, 0), amount(room/2*size, room/2, 0))
	if conflicts.Count() == 0 {
		t.Error("no transaction met another one")
	}
}

func together(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}
