package ledgerprojector

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stowage-dev/stowage/shared/fault"
)

// FuzzDecode: whatever a message says is refused for good, or can be booked and stored.
func FuzzDecode(f *testing.F) {
	f.Add(`{"detail":{"specversion":"1.0","workspace":"alpha","subject":"01KB3Z5V0QJ8W4N6T2M9R7XHCE","rev":1,"time":"2026-11-22T14:05:07.25Z","type":"dev.stowage.object.available","data":{"path":"a\u0000b","stored":1}}}`)
	f.Add(`{"detail":null}`)
	f.Fuzz(func(t *testing.T, body string) {
		p, err := decode(body)
		if err != nil {
			if !fault.Permanent(err) {
				t.Errorf("%q: %v would be tried again for ever", body, err)
			}
			return
		}
		d := p.document
		for _, text := range []string{d.Path, d.Parent, d.ContentType, strings.Join(d.NameWords(), " "), strings.Join(d.TagWords(), " ")} {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				t.Errorf("%q cannot be stored", text)
			}
		}
		if p.fact.Bytes < 0 || p.fact.Rev < 1 || p.fact.Workspace == "" {
			t.Errorf("%q books %+v", body, p.fact)
		}
	})
}
