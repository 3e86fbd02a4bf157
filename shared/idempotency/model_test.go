package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/idempotency"
)

// attempt is one owner of a request, as it sees itself. It may have lost by now.
type attempt struct {
	idempotency.Claim
	payload string
}

// model is what must be true of one key, whatever happens to it.
type model struct {
	b   *bench
	rt  *rapid.T
	key string
	// out are the attempts that have not ended; some have lost and do not know it.
	out []attempt
	// known are the payload and the id of the request that the key stands for; began is
	// when that was first seen.
	payload, id string
	began       time.Time
	owner       int64 // the fence of the latest owner
	leaseEnd    time.Time
	result      string
	done        bool
	// effects counts the effects that were one with their result, by id.
	effects map[string]int
}

// TestAnyLifeOfAKey lets owners begin, go silent, come back late, finish, fail and race
// with their heirs, in any order and at any time, and compares each answer with the model.
func TestAnyLifeOfAKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var run atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{b: b, rt: rt, key: fmt.Sprint("key-", run.Add(1)), effects: map[string]int{}}
		rt.Repeat(map[string]func(*rapid.T){
			"begin":   m.begin,
			"finish":  m.finish,
			"effect":  m.effect,
			"guard":   m.guard,
			"abandon": m.abandon,
			"forget":  m.forget,
			"wait":    m.wait,
		})
	})
}

func (m *model) exists() bool { return m.id != "" && !m.expired() }

// expired reports whether the record counts no longer. The lease of its latest owner
// outlives it.
func (m *model) expired() bool { return m.b.now().After(m.began.Add(keep)) && m.lapsed() }

func (m *model) lapsed() bool { return m.b.now().After(m.leaseEnd.Add(skew)) }

func (m *model) begin(rt *rapid.T) {
	payload := rapid.SampledFrom([]string{"one", "one", "one", "two"}).Draw(rt, "payload")
	claim, result, err := m.b.Begin(context.Background(), request(m.key, payload))
	switch {
	case !m.exists():
		if err != nil || claim == nil || !claim.First() || claim.ID == m.id {
			rt.Fatalf("a free key: %+v, %s, %v", claim, result, err)
		}
		m.payload, m.id, m.began, m.done, m.result, m.owner = payload, claim.ID, m.b.now(), false, "", 1
	case payload != m.payload:
		if !fault.Is(err, fault.IdempotencyReused) {
			rt.Fatalf("another payload: %+v, %s, %v", claim, result, err)
		}
		return
	case m.done:
		if err != nil || string(result) != m.result {
			rt.Fatalf("a request that was done with %s: %+v, %s, %v", m.result, claim, result, err)
		}
		return
	case !m.lapsed():
		if !fault.Is(err, fault.IdempotencyInProgress) {
			rt.Fatalf("a request at work: %+v, %s, %v", claim, result, err)
		}
		return
	default:
		m.owner++
		if err != nil || claim == nil || claim.ID != m.id || claim.Fence != m.owner {
			rt.Fatalf("heir %d of %s: %+v, %s, %v", m.owner, m.id, claim, result, err)
		}
	}
	m.leaseEnd = m.b.now().Add(lease)
	m.out = append(m.out, attempt{*claim, payload})
}

// draw takes one of the attempts that are out.
func (m *model) draw(rt *rapid.T) (a attempt, owns bool) {
	if len(m.out) == 0 {
		rt.Skip("nobody is at work")
	}
	a = rapid.SampledFrom(m.out).Draw(rt, "attempt")
	return a, a.ID == m.id && a.Fence == m.owner && !m.done
}

func (m *model) drop(a attempt) {
	m.out = slices.DeleteFunc(m.out, func(o attempt) bool { return o == a })
}

func (m *model) finish(rt *rapid.T) {
	a, owns := m.draw(rt)
	result := fmt.Sprintf(`{"id":%q,"fence":%d}`, a.ID, a.Fence)
	err := m.b.Finish(context.Background(), a.Claim, []byte(result))
	repeated := m.done && a.ID == m.id && m.result == result
	switch {
	case (owns || repeated) && err != nil, !owns && !repeated && !fault.Is(err, fault.IdempotencyInProgress):
		rt.Fatalf("finish by %+v, which owns it: %t: %v", a, owns, err)
	case owns:
		m.done, m.result = true, result
	}
	m.drop(a)
}

// effect is one with its result: it happens once for an id, and only for its owner.
func (m *model) effect(rt *rapid.T) {
	a, owns := m.draw(rt)
	result := made{a.ID}
	finishing, err := m.b.Finishing(a.Claim, result)
	if err != nil {
		rt.Fatal(err)
	}
	err = m.b.transact(finishing)
	if owns != (err == nil) {
		rt.Fatalf("effect of %+v, which owns it: %t: %v", a, owns, err)
	}
	if !owns {
		return
	}
	m.done, m.result = true, fmt.Sprintf(`{"id":%q}`, a.ID)
	if m.effects[a.ID]++; m.effects[a.ID] > 1 {
		rt.Fatalf("%s had its effect %d times", a.ID, m.effects[a.ID])
	}
}

func (m *model) guard(rt *rapid.T) {
	a, owns := m.draw(rt)
	if err := m.b.transact(m.b.Guard(a.Claim)); owns != (err == nil) {
		rt.Fatalf("guarded step of %+v, which owns it: %t: %v", a, owns, err)
	}
}

func (m *model) abandon(rt *rapid.T) {
	a, owns := m.draw(rt)
	if err := m.b.Abandon(context.Background(), a.Claim); err != nil {
		rt.Fatal(err)
	}
	if owns {
		m.leaseEnd = time.Time{}
	}
	if rapid.Bool().Draw(rt, "is gone") {
		m.drop(a)
	}
}

func (m *model) forget(rt *rapid.T) {
	a, owns := m.draw(rt)
	if err := m.b.Forget(context.Background(), a.Claim); err != nil {
		rt.Fatal(err)
	}
	if owns {
		m.id = ""
	}
	m.drop(a)
}

func (m *model) wait(rt *rapid.T) {
	m.b.move(rapid.SampledFrom([]time.Duration{time.Millisecond, lease, skew, lease + skew + time.Millisecond, keep / 2, keep}).Draw(rt, "by"))
}

func (b *bench) transact(item types.TransactWriteItem) error {
	_, err := ddbtest.Client(nil).TransactWriteItems(context.Background(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{item}})
	return err
}

// world counts effects of the two safe kinds, whatever process has them.
type world struct {
	created map[string]int // by name: creating what is there changes nothing
	both    map[string]int // one with their result
}

// TestCrashesAtAnyPoint runs Do in processes that are killed before or after any of their
// calls, until one gets through: each request has one effect, and one answer.
func TestCrashesAtAnyPoint(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var run atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		w := world{map[string]int{}, map[string]int{}}
		r := request(fmt.Sprint("key-", run.Add(1)), "p")
		together := rapid.Bool().Draw(rt, "one with its result")
		for attempt := 0; ; attempt++ {
			kill := rapid.IntRange(0, 4).Draw(rt, "killed at call")
			if attempt > 4 {
				kill = 0
			}
			p := &process{killAt: kill, after: rapid.Bool().Draw(rt, "after it"), within: rapid.Bool().Draw(rt, "or within the effect")}
			got, replayed, err := p.do(b, r, w, together)
			switch {
			case err == nil:
				if names := slices.Collect(maps.Keys(w.created)); len(names)+len(w.both) != 1 || w.created[got.ID]+w.both[got.ID] == 0 {
					rt.Fatalf("answer %+v (replayed: %t), created %v, both %v", got, replayed, w.created, w.both)
				}
				if w.both[got.ID] > 1 {
					rt.Fatalf("%d effects", w.both[got.ID])
				}
				return
			case attempt > 6:
				rt.Fatalf("never gets through: %v", err)
			case fault.Is(err, fault.IdempotencyInProgress):
				b.move(lease + skew + time.Millisecond)
			}
		}
	})
}

// process is a function instance that dies at one of its calls.
type process struct {
	calls, killAt int
	after, within bool
}

func (p *process) dead() bool { return p.killAt > 0 && p.calls >= p.killAt }

// RoundTrip implements the transport of a process: nothing gets out after its death.
func (p *process) transport() *ddbtest.Transport {
	return &ddbtest.Transport{
		Intercept: func(string, []byte) *ddbtest.Answer {
			if p.dead() {
				return ddbtest.Error("ValidationException")
			}
			if p.calls++; p.dead() && !p.after {
				return ddbtest.Error("ValidationException")
			}
			return nil
		},
		After: func(string) error {
			if p.dead() {
				return errCrash
			}
			return nil
		},
	}
}

func (p *process) do(b *bench, r idempotency.Request, w world, together bool) (made, bool, error) {
	s := b.over(p.transport())
	return idempotency.Do(context.Background(), s, r, func(_ context.Context, c idempotency.Claim) (made, error) {
		if p.within && p.killAt == 2 {
			p.calls = p.killAt
			return made{}, errCrash
		}
		if !together {
			w.created[c.ID]++
			return made{c.ID}, nil
		}
		finishing, err := s.Finishing(c, made{c.ID})
		if err == nil {
			err = b.transact(finishing)
		}
		if err != nil {
			return made{}, errors.Join(errCrash, err)
		}
		w.both[c.ID]++
		if p.within && p.killAt == 3 {
			p.calls = p.killAt
			return made{}, errCrash
		}
		return made{c.ID}, nil
	})
}

// FuzzKeys asks that any key is either refused or kept apart from every other, in any
// scope.
func FuzzKeys(f *testing.F) {
	f.Add("key", "alpha", "other", "alpha")
	f.Add("a", "bc", "ab", "c")
	f.Add(strings.Repeat("k", 255), "", "\x00", "")
	b := newBench(f)
	f.Fuzz(func(t *testing.T, key1, scope1, key2, scope2 string) {
		one := idempotency.Request{Scope: []string{t.Name(), scope1}, Key: key1, Payload: idempotency.Sum("1")}
		two := idempotency.Request{Scope: []string{t.Name(), scope2}, Key: key2, Payload: idempotency.Sum("2")}
		claims := map[string]bool{}
		for _, r := range []idempotency.Request{one, two} {
			c, _, err := b.Begin(context.Background(), r)
			switch {
			case err == nil:
				claims[c.ID] = true
				defer func() {
					if err := b.Forget(context.Background(), *c); err != nil {
						t.Error(err)
					}
				}()
			case r.Validate() != nil:
				if !fault.Is(err, fault.InvalidArgument) {
					t.Errorf("%q: %v", r.Key, err)
				}
			case key1 != key2 || scope1 != scope2:
				t.Errorf("%q in %q met another: %v", r.Key, r.Scope, err)
			}
		}
		if one.Validate() == nil && two.Validate() == nil && (key1 != key2 || scope1 != scope2) && len(claims) != 2 {
			t.Errorf("claims are %v", claims)
		}
	})
}
