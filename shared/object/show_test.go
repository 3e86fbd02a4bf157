package object_test

import (
	"testing"

	"github.com/stowage-dev/stowage/shared/object"
)

func TestShowable(t *testing.T) {
	t.Parallel()
	for contentType, want := range map[string]bool{
		"image/png":                               true,
		"IMAGE/JPEG":                              true,
		"image/avif":                              true,
		"video/mp4":                               true,
		"audio/ogg; codecs=opus":                  true,
		"application/pdf":                         true,
		"text/plain; charset=utf-8":               true,
		"text/html":                               false,
		"TEXT/HTML; charset=utf-8":                false,
		"image/svg+xml":                           false,
		"image/svg+xml;charset=utf-8":             false,
		"text/xml":                                false,
		"application/xhtml+xml":                   false,
		"application/rss+xml":                     false,
		"text/javascript":                         false,
		"application/javascript":                  false,
		"application/octet-stream":                false,
		"application/x-shockwave-flash":           false,
		"multipart/x-mixed-replace":               false,
		"text/plain, text/html":                   false,
		"text/plain; a=b; a=c":                    false,
		"":                                        false,
		"image":                                   false,
		"application/vnd.ms-htmlhelp":             false,
		"text/cache-manifest":                     false,
		"application/x-www-form-encoded":          false,
		"application/vnd.oasis.opendocument.text": false,
	} {
		if got := object.Showable(contentType); got != want {
			t.Errorf("%q: %t, want %t", contentType, got, want)
		}
	}
}
