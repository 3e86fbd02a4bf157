package object

import (
	"mime"
	"strings"
)

// Showable reports whether a browser may show bytes of a content type in place. It may show what it takes
// for a picture, a sound, a film, a PDF document or plain text, and nothing that it would run: not HTML,
// XML, SVG or scripts, which would act in the name of the origin they come from. S3 cannot send
// X-Content-Type-Options; for these types that header would change nothing, since a browser never takes
// them for something that it runs (https://mimesniff.spec.whatwg.org/#mime-type-sniffing-algorithm).
func Showable(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch kind, subtype, _ := strings.Cut(mediaType, "/"); kind {
	case "audio", "video":
		return true
	case "image":
		return subtype != "" && !strings.HasSuffix(subtype, "xml") // image/svg+xml runs scripts
	default:
		return mediaType == "text/plain" || mediaType == "application/pdf"
	}
}
