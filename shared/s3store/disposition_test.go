package s3store_test

import (
	"mime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/s3store"
)

func TestContentDisposition(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"plain.txt":        `attachment; filename="plain.txt"`,
		"with space.txt":   `attachment; filename="with space.txt"`,
		`q"uote.txt`:       `attachment; filename="q_uote.txt"; filename*=UTF-8''q%22uote.txt`,
		`back\slash`:       `attachment; filename="back_slash"; filename*=UTF-8''back%5Cslash`,
		"100%.txt":         `attachment; filename="100_.txt"; filename*=UTF-8''100%25.txt`,
		"Übersicht.pdf":    `attachment; filename="_bersicht.pdf"; filename*=UTF-8''%C3%9Cbersicht.pdf`,
		"漢字":               `attachment; filename="__"; filename*=UTF-8''%E6%BC%A2%E5%AD%97`,
		"a\r\nSet-Cookie:": `attachment; filename="a__Set-Cookie:"; filename*=UTF-8''a%0D%0ASet-Cookie%3A`,
		"€ rates":          `attachment; filename="_ rates"; filename*=UTF-8''%E2%82%AC%20rates`, // RFC 6266, section 5
	} {
		if got := s3store.ContentDisposition("attachment", name); got != want {
			t.Errorf("%q:\n got %s\nwant %s", name, got, want)
		}
	}
}

// TestContentDispositionRoundTrips reads the value back as a client would.
func TestContentDispositionRoundTrips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.StringN(1, 200, -1).Draw(rt, "name")
		value := s3store.ContentDisposition("inline", name)
		if strings.ContainsAny(value, "\r\n\x00") {
			rt.Fatalf("%q is not one header line", value)
		}
		kind, params, err := mime.ParseMediaType(value)
		if err != nil {
			rt.Fatalf("%q: %v", value, err)
		}
		if kind != "inline" || params["filename"] != name {
			rt.Fatalf("%q reads as %s, %q; want %q", value, kind, params["filename"], name)
		}
	})
}
