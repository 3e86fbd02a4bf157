package golden

import (
	"strings"
	"testing"
)

func TestScrubReplacesAssetHashesAlone(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	got, err := Scrub(map[string]any{"S3Key": hash + ".zip", "Short": hash[:63], "Html": "a<b&c"})
	if err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"Html\": \"a<b&c\",\n  \"S3Key\": \"<asset>.zip\",\n  \"Short\": \"" + hash[:63] + "\"\n}\n"
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
