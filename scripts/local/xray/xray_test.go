package xray_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/scripts/local/xray"
)

const (
	root  = "1-5759e988-bd862e3fe1be46a994272793"
	other = "1-5759e988-000000000000000000000001"
)

func TestHeader(t *testing.T) {
	for _, test := range []struct {
		in   string
		want xray.Header
		ok   bool
	}{
		{"Root=" + root, xray.Header{Root: root}, true},
		{"Root=" + root + ";Parent=53995c3f42cd8ad8;Sampled=1", xray.Header{Root: root, Parent: "53995c3f42cd8ad8"}, true},
		{"Sampled=0; Root=" + root, xray.Header{Root: root, Unsampled: true}, true},
		{"Root=" + root + ";Lineage=a87bd80c:1|68fd508a:5|c512fbe3:2", xray.Header{Root: root}, true},
		{"Root=" + root + ";Parent=nonsense", xray.Header{Root: root}, true},
		{"", xray.Header{}, false},
		{"Parent=53995c3f42cd8ad8", xray.Header{}, false},
		{"Root=1-5759e988-bd862e3fe1be46a99427279", xray.Header{}, false},
		{"Root=2-5759e988-bd862e3fe1be46a994272793", xray.Header{}, false},
		{"Root=1-5759e988-bd862e3fe1be46a99427279g", xray.Header{}, false},
	} {
		got, ok := xray.ParseHeader(test.in)
		if got != test.want || ok != test.ok {
			t.Errorf("%q: %+v, %t, want %+v, %t", test.in, got, ok, test.want, test.ok)
		}
		if again, _ := xray.ParseHeader(got.String()); ok && again != got {
			t.Errorf("%q: written and read again it is %+v", test.in, again)
		}
	}
	if s := (xray.Header{}).String(); s != "" {
		t.Errorf("no trace is written %q", s)
	}
	fresh := xray.NewTrace(time.Unix(0x5759e988, 0))
	if read, ok := xray.ParseHeader(fresh.String()); !ok || read != fresh || !strings.HasPrefix(fresh.Root, "1-5759e988-") {
		t.Errorf("a new trace is %q", fresh)
	}
}

func TestOrigins(t *testing.T) {
	a, b := xray.Header{Root: root, Parent: "53995c3f42cd8ad8"}, xray.Header{Root: other}
	unsampled := xray.Header{Root: other, Unsampled: true}
	for _, test := range []struct {
		name    string
		origins []xray.Header
		want    xray.Header // empty: none, or a new one when there are links
		links   []xray.Header
	}{
		{"none", nil, xray.Header{}, nil},
		{"empty", []xray.Header{{}, {}}, xray.Header{}, nil},
		{"one", []xray.Header{a}, a, nil},
		{"one of several messages", []xray.Header{a, {}, a.Under("0000000000000001")}, a, nil},
		{"unsampled", []xray.Header{a, unsampled}, a, nil},
		{"two", []xray.Header{a, b, a}, xray.Header{}, []xray.Header{a, b}},
	} {
		h, links := xray.FromContext(xray.WithOrigins(context.Background(), test.origins, time.Now()))
		if !slices.Equal(links, test.links) {
			t.Errorf("%s: links %v, want %v", test.name, links, test.links)
		}
		if len(links) > 0 {
			if h.Root == "" || h.Root == root || h.Root == other {
				t.Errorf("%s: %+v is no new trace", test.name, h)
			}
		} else if h != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, h, test.want)
		}
	}
}

func segment(id, parent string, start, end float64) xray.Segment {
	s := xray.Segment{TraceID: root, ID: id, ParentID: parent, Name: id, StartTime: start, EndTime: end}
	if parent != "" {
		s.Type = "subsegment"
	}
	return s
}

// lay draws a waterfall as text: one line a row, indented by its depth.
func lay(t *testing.T, s *xray.Store, id string) string {
	t.Helper()
	w, ok := s.Waterfall(id)
	if !ok {
		t.Fatal("the trace is not kept")
	}
	var b strings.Builder
	for _, r := range w.Rows {
		fmt.Fprintf(&b, "%s%s +%.0f %.0f %s\n", strings.Repeat(" ", r.Depth), r.Name, r.Offset, r.Millis, r.Outcome)
	}
	return b.String()
}

func TestWaterfall(t *testing.T) {
	nested := segment("function", "request", 100.1, 100.3)
	nested.Subsegments = []xray.Segment{{ID: "init", Name: "init", StartTime: 100.1, EndTime: 100.2}}
	failed := segment("call", "function", 100.25, 100.3)
	failed.Fault = true
	pending := segment("slow", "function", 100.26, 0)
	next := segment("next", "", 100.5, 100.6)
	next.TraceID = other
	for _, test := range []struct {
		name     string
		segments []xray.Segment
		link     bool
		want     string
	}{
		{"in any order", []xray.Segment{failed, pending, nested, segment("request", "", 100, 100.4)}, false,
			"request +0 400 ok\n function +100 200 ok\n  init +100 100 ok\n  call +250 50 fault\n  slow +260 0 pending\n"},
		{"a parent that never came", []xray.Segment{segment("orphan", "gone", 100, 100.1)}, false, "orphan +0 100 ok\n"},
		{"a ring", []xray.Segment{segment("a", "b", 100, 100.1), segment("b", "a", 100.05, 100.1), segment("c", "b", 100.06, 100.1)}, false,
			"a +0 100 ok\nb +50 50 ok\n c +60 40 ok\n"},
		{"its own parent", []xray.Segment{segment("a", "a", 100, 100.1)}, false, "a +0 100 ok\n"},
		{"a linked trace", []xray.Segment{segment("request", "", 100, 100.4), next}, true, "request +0 400 ok\n next +500 100 ok\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := xray.NewStore(0)
			for _, one := range test.segments {
				s.Add(one)
			}
			if test.link {
				s.Link(xray.Header{Root: root, Parent: "request"}, other)
				s.Link(xray.Header{Root: other, Parent: "next"}, root) // and back: no endless loop
			}
			if got := lay(t, s, root); got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
		})
	}
}

// TestNothingIsLost: whatever the parents are, every segment is a row, once.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := xray.NewStore(0)
		n := rapid.IntRange(1, 20).Draw(t, "n")
		for i := range n {
			parent := fmt.Sprint(rapid.IntRange(-1, n).Draw(t, "parent"))
			s.Add(segment(fmt.Sprint(i), parent, 100+rapid.Float64Range(0, 1).Draw(t, "start"), 102))
		}
		w, ok := s.Waterfall(root)
		if !ok || len(w.Rows) != n {
			t.Fatalf("%d segments make %d rows", n, len(w.Rows))
		}
		seen := map[string]bool{}
		for _, r := range w.Rows {
			if seen[r.ID] || r.Offset < 0 || r.Offset > w.Millis {
				t.Fatalf("row %+v", r)
			}
			seen[r.ID] = true
		}
	})
}

func TestStoreIsBounded(t *testing.T) {
	s := xray.NewStore(3)
	for i := range 5 {
		one := segment("s", "", 100, 101)
		one.TraceID = fmt.Sprintf("1-5759e988-%024d", i)
		s.Add(one)
	}
	latest := s.Latest(10)
	if len(latest) != 3 || latest[0].ID != "1-5759e988-000000000000000000000004" {
		t.Errorf("kept %+v", latest)
	}
	for i := range 1005 {
		s.Add(segment(fmt.Sprint(i), "", 100, 101))
	}
	if w, _ := s.Waterfall(root); len(w.Rows) != 1000 || w.Dropped != 5 {
		t.Errorf("%d rows, %d dropped", len(w.Rows), w.Dropped)
	}
	// Many large documents: the oldest traces give way, the newest stays.
	s = xray.NewStore(0)
	for i := range 200 {
		raw := fmt.Sprintf(`{"trace_id":"1-5759e988-%024d","id":"a","name":"n","start_time":1,"end_time":2,"metadata":{"x":%q}}`, i, strings.Repeat("x", 60<<10))
		one, err := xray.Decode([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		s.Add(one)
	}
	if n := len(s.Latest(1000)); n < 100 || n > 140 {
		t.Errorf("%d traces of 60 KB are kept, want about 8 MB of them", n)
	}
}

func TestReceive(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 10)
	ended := make(chan error, 1)
	go func() { ended <- xray.Receive(conn, func(d []byte) { got <- string(d) }) }()
	client, err := net.Dial("udp", conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, datagram := range []string{"no header", "{\"format\":\"json\"}\n", "{\"format\":\"json\",\"version\":1}\n{\"id\":\"1\"}\n"} {
		if _, err := client.Write([]byte(datagram)); err != nil {
			t.Fatal(err)
		}
	}
	if d := <-got; d != `{"id":"1"}` {
		t.Errorf("got %q", d)
	}
	conn.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestMemory(t *testing.T) {
	m := xray.NewMemory(2)
	h := func(i int) xray.Header { return xray.Header{Root: fmt.Sprint(i)} }
	m.Remember("a", h(1))
	m.Remember("b", h(2))
	m.Remember("a", h(3)) // anew: b is the oldest now
	m.Remember("c", h(4))
	m.Remember("d", xray.Header{})
	for key, want := range map[string]string{"a": "3", "b": "", "c": "4", "d": ""} {
		if got := m.Recall(key).Root; got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"trace_id":"` + root + `","id":"1","name":"n","start_time":1.5,"end_time":2,"http":{"response":{"status":200,"content_length":"-1"}},"cause":"0123456789abcdef"}`))
	f.Add([]byte(`{"trace_id":"` + root + `","id":"1","name":"n","start_time":1,"in_progress":true,"subsegments":[{"id":"2","name":"x","start_time":1,"end_time":2}],"cause":{"exceptions":[{"message":"m","type":"t"}]}}`))
	f.Add([]byte(`{"trace_id":"` + root + `","id":"1","start_time":1,"subsegments":[{"id":"1","parent_id":"1"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := xray.Decode(raw)
		if err != nil {
			return
		}
		store := xray.NewStore(0)
		store.Add(s)
		if w, ok := store.Waterfall(s.TraceID); !ok || len(w.Rows) == 0 {
			t.Errorf("%s is kept, but not drawn", raw)
		}
	})
}
