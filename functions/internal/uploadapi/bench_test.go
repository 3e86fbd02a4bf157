package uploadapi_test

import (
	"fmt"
	"testing"
)

// BenchmarkOpenUpload opens uploads against the DynamoDB engine, one after the other.
func BenchmarkOpenUpload(b *testing.B) {
	w := newWorld(b)
	w.must(b, admin(), "PUT", "/v1/workspaces/alpha/quota", fields{
		"bytes": 1 << 50, "objects": 1 << 40, "openUploads": 1 << 40, "maxObjectBytes": 1 << 40, "writesPerSecond": 1_000_000, "writesBurst": 1_000_000,
	}, 200)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		w.must(b, member("alpha", "writer"), "POST", "/v1/uploads", declare(fmt.Sprint("a/", n), "x"), 201)
	}
}
