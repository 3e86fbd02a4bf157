package workspace_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/workspace"
)

func amounts(most int64) *rapid.Generator[workspace.Amount] {
	return rapid.Custom(func(t *rapid.T) workspace.Amount {
		return workspace.Amount{
			Bytes:   rapid.Int64Range(0, most).Draw(t, "bytes"),
			Objects: rapid.Int64Range(0, most).Draw(t, "objects"),
			Uploads: rapid.Int64Range(0, most).Draw(t, "uploads"),
		}
	})
}

func TestSpreadLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		quota := amounts(1000).Draw(t, "quota")
		n := rapid.IntRange(1, workspace.MaxShards).Draw(t, "shards")
		shards := workspace.Spread("ws", quota, n)
		if got := workspace.Sum(shards).Available; len(shards) != n || got != quota {
			t.Errorf("%d shards hold %+v, want %d and %+v", len(shards), got, n, quota)
		}
		for i, s := range shards {
			if d := shards[0].Available.Minus(s.Available); s.Number != i || d.Bytes < 0 || d.Bytes > 1 || d.Objects > 1 || d.Uploads > 1 {
				t.Errorf("shard %d is %+v beside %+v", i, s, shards[0])
			}
		}
	})
}

func TestPlanFindsRoomExactlyWhenThereIsRoom(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var shards []workspace.Shard
		for i, a := range rapid.SliceOfN(amounts(10), 1, 8).Draw(t, "available") {
			shards = append(shards, workspace.Shard{Number: i, Balance: workspace.Balance{Available: a}})
		}
		want := amounts(30).Draw(t, "want")
		first := rapid.IntRange(0, len(shards)-1).Draw(t, "first")
		shares, ok := workspace.Plan(shards, want, first)
		if ok != workspace.Sum(shards).Available.Covers(want) {
			t.Fatalf("plan says %t", ok)
		}
		var sum workspace.Amount
		seen := map[int]bool{}
		for _, s := range shares {
			if seen[s.Shard] || !shards[s.Shard].Available.Covers(s.Amount) {
				t.Errorf("share %+v of %+v", s, shards[s.Shard])
			}
			seen[s.Shard] = true
			sum = sum.Plus(s.Amount)
		}
		if ok && sum != want {
			t.Errorf("shares are %+v, want %+v", sum, want)
		}
		for _, s := range shards {
			if s.Available.Covers(want) && len(shares) != 1 {
				t.Errorf("%d shares although shard %d holds enough", len(shares), s.Number)
			}
		}
	})
}

func TestNothingFitsWithoutShards(t *testing.T) {
	t.Parallel()
	if shares, ok := workspace.Plan(nil, workspace.Amount{Bytes: 1}, 0); ok {
		t.Errorf("planned %v", shares)
	}
}

func TestSettleRefusesMoreThanWasReserved(t *testing.T) {
	t.Parallel()
	shares := []workspace.Share{{Shard: 0, Amount: workspace.Amount{Bytes: 5}}, {Shard: 1, Amount: workspace.Amount{Bytes: 5}}}
	for kept, ok := range map[int64]bool{0: true, 9: true, 10: true, 11: false} {
		if _, err := workspace.Settle(shares, workspace.Amount{Bytes: kept}); (err == nil) != ok {
			t.Errorf("keep %d of 10: %v", kept, err)
		}
	}
	if _, err := workspace.Settle(shares, workspace.Amount{Objects: 1}); err == nil {
		t.Error("an object was kept that was not reserved")
	}
}

func TestResizeRefusesWithTheFigures(t *testing.T) {
	t.Parallel()
	shards := workspace.Spread("ws", workspace.Amount{Bytes: 10}, 2)
	moves := workspace.Reserve([]workspace.Share{{Shard: 0, Amount: workspace.Amount{Bytes: 4}}})
	shards[0], _ = shards[0].Apply(moves[0])
	_, err := workspace.Resize(shards, workspace.Amount{Bytes: 10}, workspace.Amount{Bytes: 3})
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != fault.QuotaInUse || f.Details["bytesInUse"] != int64(4) || f.Details["bytes"] != int64(3) {
		t.Errorf("error is %v, details %v", err, f)
	}
}

// TestLedgerInAnyInterleaving lets clients plan on what they have read, and
// commit it later, when it may be true no more. Whatever the order, the quota is
// never exceeded, and nothing is lost or given back twice.
func TestLedgerInAnyInterleaving(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		quota := amounts(50).Draw(t, "quota")
		l := &ledger{shards: workspace.Spread("ws", quota, rapid.IntRange(1, 5).Draw(t, "shards")), quota: quota}
		t.Repeat(map[string]func(*rapid.T){
			"":       l.check,
			"plan":   l.plan,
			"commit": l.commit,
			"settle": l.settle,
			"give":   l.release,
			"resize": l.resize,
		})
	})
}

type ledger struct {
	shards  []workspace.Shard
	quota   workspace.Amount
	stored  workspace.Amount
	planned [][]workspace.Share // read, and not yet written
	held    [][]workspace.Share // reserved
}

// apply is a transaction: all movements or none.
func (l *ledger) apply(moves []workspace.Movement) bool {
	after := append([]workspace.Shard(nil), l.shards...)
	for _, m := range moves {
		var ok bool
		if after[m.Shard], ok = after[m.Shard].Apply(m); !ok {
			return false
		}
	}
	l.shards = after
	return true
}

func (l *ledger) plan(t *rapid.T) {
	want := amounts(20).Draw(t, "want")
	if shares, ok := workspace.Plan(l.shards, want, rapid.IntRange(0, len(l.shards)-1).Draw(t, "first")); ok {
		l.planned = append(l.planned, shares)
	}
}

func (l *ledger) commit(t *rapid.T) {
	if shares := take(t, &l.planned); l.apply(workspace.Reserve(shares)) {
		l.held = append(l.held, shares)
	}
}

func (l *ledger) settle(t *rapid.T) {
	shares := take(t, &l.held)
	total := sumOf(shares)
	kept := workspace.Amount{
		Bytes:   rapid.Int64Range(0, total.Bytes).Draw(t, "bytes"),
		Objects: rapid.Int64Range(0, total.Objects).Draw(t, "objects"),
	}
	moves, err := workspace.Settle(shares, kept)
	if err != nil || !l.apply(moves) {
		t.Fatalf("settle %+v of %+v: %v", kept, total, err)
	}
	l.stored = l.stored.Plus(kept)
}

func (l *ledger) release(t *rapid.T) {
	if shares := take(t, &l.held); !l.apply(workspace.Release(shares)) {
		t.Fatalf("cannot give back %+v", shares)
	}
}

func (l *ledger) resize(t *rapid.T) {
	to := amounts(80).Draw(t, "quota")
	inUse := workspace.Sum(l.shards).Reserved.Plus(l.stored)
	moves, err := workspace.Resize(l.shards, l.quota, to)
	if (err == nil) != to.Covers(inUse) {
		t.Fatalf("resize to %+v with %+v in use: %v", to, inUse, err)
	}
	if err != nil {
		return
	}
	if !l.apply(moves) {
		t.Fatalf("cannot resize to %+v", to)
	}
	l.quota = to
}

func (l *ledger) check(t *rapid.T) {
	var held workspace.Amount
	for _, shares := range l.held {
		held = held.Plus(sumOf(shares))
	}
	sum := workspace.Sum(l.shards)
	if sum.Total() != l.quota || sum.Reserved != held || sum.Stored != l.stored {
		t.Fatalf("the shards hold %+v; the quota is %+v, reserved should be %+v, stored %+v", sum, l.quota, held, l.stored)
	}
}

func sumOf(shares []workspace.Share) workspace.Amount {
	var sum workspace.Amount
	for _, s := range shares {
		sum = sum.Plus(s.Amount)
	}
	return sum
}

// take removes a random element. Without one the step is skipped.
func take(t *rapid.T, from *[][]workspace.Share) []workspace.Share {
	if len(*from) == 0 {
		return nil
	}
	i := rapid.IntRange(0, len(*from)-1).Draw(t, "which")
	taken := (*from)[i]
	*from = append((*from)[:i:i], (*from)[i+1:]...)
	return taken
}

func TestDivide(t *testing.T) {
	t.Parallel()
	shares := []workspace.Share{{Shard: 1, Amount: workspace.Amount{Bytes: 5, Uploads: 1}}, {Shard: 2, Amount: workspace.Amount{Bytes: 3, Objects: 1}}}
	taken, rest := workspace.Divide(shares, workspace.Amount{Bytes: 6, Uploads: 1})
	want := []workspace.Share{{Shard: 1, Amount: workspace.Amount{Bytes: 5, Uploads: 1}}, {Shard: 2, Amount: workspace.Amount{Bytes: 1}}}
	left := []workspace.Share{{Shard: 2, Amount: workspace.Amount{Bytes: 2, Objects: 1}}}
	if !slices.Equal(taken, want) || !slices.Equal(rest, left) {
		t.Errorf("took %+v, left %+v", taken, rest)
	}
	if taken, rest := workspace.Divide(shares, workspace.Amount{}); taken != nil || !slices.Equal(rest, shares) {
		t.Errorf("took %+v for nothing, left %+v", taken, rest)
	}
}
