package clamdscan

import (
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/shared/scan"
)

// FuzzInterpret: nothing but one answer is clean.
func FuzzInterpret(f *testing.F) {
	for _, s := range []string{
		"stream: OK", "stream: Eicar FOUND", "stream:  FOUND", "INSTREAM size limit exceeded. ERROR",
		"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND", "stream: Heuristics.Encrypted.Zip FOUND",
		"stream: Can't allocate memory ERROR", "OK", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		v, err := interpret(answer)
		switch {
		case (v.Result == scan.Clean) != (answer == "stream: OK"):
			t.Errorf("%q is %+v", answer, v)
		case v.Result == scan.Infected && (!strings.HasSuffix(answer, " FOUND") || len(v.Threats) != 1 || v.Threats[0] == ""):
			t.Errorf("%q is %+v", answer, v)
		case (v.Result == "") != (err != nil):
			t.Errorf("%q is %+v and fails with %v", answer, v, err)
		}
	})
}
