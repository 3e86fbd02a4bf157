package e2e_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/stowage-dev/stowage/shared/client"
)

// uppyCORS sends to storage from the page's origin and from another, what a page may send
// and what it may not.
func uppyCORS(l *local, b *tab, origin string) {
	t := b.t
	elsewhere := strings.Replace(origin, "127.0.0.1", "localhost", 1)
	for i, test := range []struct {
		name, origin, header string
		want                 string
	}{
		{"what the API says", origin, "", "200 true true true false"},
		{"another header", origin, "x-amz-meta-note", "refused"},
		{"another origin", elsewhere, "", "refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := fmt.Sprintf("body %d", i)
			sum := sha256.Sum256([]byte(body))
			opened, err := l.client(t, "alpha").Open(t.Context(), client.NewUpload{Path: fmt.Sprintf("cors/%d.txt", i),
				Size: int64(len(body)), ContentType: "text/plain", SHA256: base64.StdEncoding.EncodeToString(sum[:])})
			if err != nil {
				t.Fatal(err)
			}
			headers := opened.Put.Headers
			if test.header != "" {
				headers[test.header] = "x"
			}
			arguments, err := json.Marshal([]any{opened.Put.URL, map[string]any{"method": "PUT", "headers": headers, "body": body}})
			if err != nil {
				t.Fatal(err)
			}
			b.visit(test.origin)
			var got string
			b.do(chromedp.Evaluate(`fetch(...`+string(arguments)+`).then((r) => [r.status,
				...["etag", "x-amz-version-id", "x-amz-checksum-sha256", "x-amz-request-id"].map((h) => r.headers.has(h))].join(" "), () => "refused")`,
				&got, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
			if got != test.want {
				t.Errorf("the page got %q, want %q\nthe browser said:\n%s", got, test.want, b.complained())
			}
		})
	}
}
