package ledger_test

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/ledger"
)

func TestCost(t *testing.T) {
	t.Parallel()
	gibHours := func(n int64) ledger.Quantity { return ledger.Held(n<<30, time.Hour) }
	for _, tc := range []struct {
		picos int64
		q     ledger.Quantity
		want  string
	}{
		{1_000_000_000_000, gibHours(1), "1.000000"},
		{31_506_849, gibHours(730), "0.023000"}, // 0.02299999977
		{31_506_849, gibHours(1_000_000), "31.506849"},
		{500_000, gibHours(1), "0.000000"}, // half of a micro, to even
		{1_500_000, gibHours(1), "0.000002"},
		{500_001, gibHours(1), "0.000001"},
		{1_500_000, gibHours(-1), "-0.000002"},
		{500_000, gibHours(-1), "0.000000"},
		{0, gibHours(5), "0.000000"},
		{1, ledger.Quantity{}, "0.000000"},
	} {
		if got := (ledger.Price{PicosPerGiBHour: tc.picos}).Cost(tc.q).String(); got != tc.want {
			t.Errorf("%s byte-ms at %d cost %s, want %s", tc.q.ByteMillis(), tc.picos, got, tc.want)
		}
	}
}

func TestByteHours(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		byteMillis, want string
	}{
		{"0", "0"}, {"3600000", "1"}, {"1800000", "0"}, {"1800001", "1"}, {"5400000", "2"}, {"-1800000", "0"}, {"-5400000", "-2"},
		{"99999999999999999999999999", "27777777777777777778"},
	} {
		q, err := ledger.ParseQuantity(tc.byteMillis)
		if err != nil || q.ByteHours() != tc.want || q.ByteMillis() != tc.byteMillis {
			t.Errorf("%s byte-ms are %s byte-hours, %v, want %s", tc.byteMillis, q.ByteHours(), err, tc.want)
		}
	}
	if _, err := ledger.ParseQuantity("1e9"); err == nil {
		t.Error("1e9 passes for an integer")
	}
}

func prices(tb testing.TB, list ...ledger.Price) ledger.Prices {
	tb.Helper()
	p, err := ledger.NewPrices(list)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// TestPriceChangesWithinAPeriod: a line for each price, each with the hours that it held.
func TestPriceChangesWithinAPeriod(t *testing.T) {
	t.Parallel()
	day, err := ledger.ParsePeriod("2026-10-25", zone(t, "Europe/Berlin")) // 25 hours
	if err != nil {
		t.Fatal(err)
	}
	raised := day.Start.Add(10 * time.Hour)
	table := prices(t,
		ledger.Price{Class: ledger.Standard, Currency: "USD", From: day.Start.AddDate(-1, 0, 0), PicosPerGiBHour: 1e12},
		ledger.Price{Class: ledger.Standard, Currency: "USD", From: raised, PicosPerGiBHour: 2e12},
	)
	spans := table.Spans(day.Span)
	if len(spans) != 2 || !spans[0].End.Equal(raised) || !spans[1].Start.Equal(raised) {
		t.Fatalf("spans are %v", spans)
	}
	var all []ledger.Sums
	for _, s := range spans {
		all = append(all, ledger.Sums{Class: ledger.Standard, Basis: ledger.Measured, Span: s, Opening: big.NewInt(1 << 30)})
		all = append(all, ledger.Sums{Class: ledger.Glacier, Basis: ledger.Corrected, Span: s, Opening: big.NewInt(5)})
	}
	st := ledger.Draw("alpha", day, day.End, table, all)
	if len(st.Lines) != 4 || st.Lines[0].Price != nil || st.Lines[2].Amount.String() != "10.000000" || st.Lines[3].Amount.String() != "30.000000" ||
		st.Totals["USD"].String() != "40.000000" || !st.Complete() {
		t.Errorf("statement is %+v", st)
	}
}

func TestPricesAreRefused(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := ledger.NewPrices([]ledger.Price{{Class: ledger.Standard, From: from}, {Class: ledger.Standard, From: from}}); err == nil {
		t.Error("two prices from the same time on pass")
	}
	if _, err := ledger.NewPrices([]ledger.Price{{Class: ledger.Standard, From: from.Add(time.Minute)}}); err == nil {
		t.Error("a price that begins within a quarter passes")
	}
	if _, ok := prices(t, ledger.Price{Class: ledger.Standard, From: from}).At(ledger.Standard, from.Add(-1)); ok {
		t.Error("a price holds before it begins")
	}
}

// TestSpansAddUp: cutting a period anywhere changes no quantity.
func TestSpansAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := rapid.SliceOfN(rapid.Int64Range(0, 96), 2, 6).Draw(t, "cuts")
		var table []ledger.Price
		seen := map[int64]bool{}
		for _, n := range q {
			if !seen[n] {
				seen[n] = true
				table = append(table, ledger.Price{Class: ledger.Standard, From: ledger.QuarterStart(1000 + n)})
			}
		}
		list, err := ledger.NewPrices(table)
		if err != nil {
			t.Fatal(err)
		}
		whole := ledger.Span{Start: ledger.QuarterStart(1000), End: ledger.QuarterStart(1096)}
		var moves []ledger.Movement
		for range rapid.IntRange(0, 20).Draw(t, "moves") {
			moves = append(moves, ledger.Movement{
				At:    whole.Start.Add(time.Duration(rapid.Int64Range(-1e6, 90e6).Draw(t, "ms")) * time.Millisecond),
				Class: ledger.Standard, Bytes: rapid.Int64Range(-1<<50, 1<<50).Draw(t, "bytes"),
			})
		}
		var total ledger.Quantity
		for _, span := range list.Spans(whole) {
			total = total.Add(sums(moves, ledger.Standard, span).Quantity())
		}
		if want := sums(moves, ledger.Standard, whole).Quantity(); !total.Equal(want) {
			t.Fatalf("%s, want %s", total.ByteMillis(), want.ByteMillis())
		}
	})
}

func TestThrough(t *testing.T) {
	t.Parallel()
	p, err := ledger.ParsePeriod("2026-11-03", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		now   time.Time
		want  time.Time
		begun bool
	}{
		{p.Start.Add(-1), p.Start.Add(-ledger.Quarter), false},
		{p.Start, p.Start, false},
		{p.Start.Add(16 * time.Minute), p.Start.Add(15 * time.Minute), true},
		{p.End.Add(-1), p.End.Add(-ledger.Quarter), true},
		{p.End, p.End, true},
		{p.End.Add(time.Hour), p.End, true},
	} {
		if got, begun := ledger.Through(p, tc.now); !got.Equal(tc.want) || begun != tc.begun {
			t.Errorf("at %s through %s, %t", tc.now, got, begun)
		}
	}
	if ledger.QuarterOf(time.UnixMilli(-1)) != -1 || ledger.QuarterOf(time.UnixMilli(-900_000)) != -1 || ledger.QuarterOf(time.UnixMilli(900_000)) != 1 {
		t.Error("quarters before 1970 are off")
	}
}

func TestAdjustments(t *testing.T) {
	t.Parallel()
	now := at(0)
	good := ledger.Adjustment{Class: ledger.Standard, Bytes: -5, From: now.Add(-time.Hour), Until: now, Reason: "counted twice"}
	if err := good.Validate(now); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*ledger.Adjustment){
		"bytes":             func(a *ledger.Adjustment) { a.Bytes = 0 },
		"bytes, too many":   func(a *ledger.Adjustment) { a.Bytes = ledger.MaxAdjustmentBytes + 1 },
		"bytes, too few":    func(a *ledger.Adjustment) { a.Bytes = -ledger.MaxAdjustmentBytes - 1 },
		"from, future":      func(a *ledger.Adjustment) { a.From, a.Until = now.Add(1), time.Time{} },
		"from, ages ago":    func(a *ledger.Adjustment) { a.From = time.Time{} },
		"until, not after":  func(a *ledger.Adjustment) { a.Until = a.From },
		"until, future":     func(a *ledger.Adjustment) { a.Until = now.Add(1) },
		"reason":            func(a *ledger.Adjustment) { a.Reason = " " },
		"reason, too long":  func(a *ledger.Adjustment) { a.Reason = strings.Repeat("x", ledger.MaxReasonBytes+1) },
		"reason, not UTF-8": func(a *ledger.Adjustment) { a.Reason = "\xff" },
		"reason, NUL":       func(a *ledger.Adjustment) { a.Reason = "a\x00b" },
	} {
		bad := good
		change(&bad)
		err := bad.Validate(now)
		field, _, _ := strings.Cut(name, ",")
		if !fault.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), field+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	sum := new(big.Int)
	for _, m := range good.Movements() {
		sum.Add(sum, big.NewInt(m.Bytes))
	}
	if sum.Sign() != 0 {
		t.Error("an adjustment that ends leaves bytes behind")
	}
}
