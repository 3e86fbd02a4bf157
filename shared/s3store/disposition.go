package s3store

import "strings"

// ContentDisposition is the RFC 6266 header value for a file name in any script:
// an ASCII fallback in filename and, where that loses something, the name itself in
// filename* (RFC 8187). kind is "attachment" or "inline".
func ContentDisposition(kind, name string) string {
	fallback, exact := asciiFallback(name)
	value := kind + `; filename="` + fallback + `"`
	if exact {
		return value
	}
	return value + "; filename*=UTF-8''" + extValue(name)
}

// asciiFallback replaces what a quoted-string cannot hold, or what clients are known to
// read differently: controls, quotes, backslashes, percent signs and all but ASCII
// (RFC 6266, appendix D).
func asciiFallback(name string) (fallback string, exact bool) {
	exact = true
	var b strings.Builder
	b.Grow(len(name))
	for _, r := range name {
		if r < 0x20 || r >= 0x7f || r == '"' || r == '\\' || r == '%' || r == '/' {
			exact = false
			r = '_'
		}
		b.WriteRune(r)
	}
	return b.String(), exact
}

// extValue percent-encodes all but RFC 8187's attr-char.
func extValue(name string) string {
	const (
		attrChar = "!#$&+-.^_`|~"
		hex      = "0123456789ABCDEF"
	)
	var b strings.Builder
	b.Grow(len(name) * 3)
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(attrChar, c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
