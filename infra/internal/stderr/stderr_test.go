package stderr

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

const noise = "it ended: no child"

func TestOmit(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"":                                  "",
		"a\nb":                              "a\nb",
		noise:                               "",
		"a\n" + noise + "b\n":               "a\nb\n",
		noise + noise + "!":                 "!",
		"it ended: exit status 1":           "it ended: exit status 1",
		"it it ended: no" + noise:           "it it ended: no",
		"a\n" + noise[:len(noise)-1]:        "a\n" + noise[:len(noise)-1],
		strings.Repeat("x", 64<<10) + noise: strings.Repeat("x", 64<<10),
	} {
		for how, r := range map[string]io.Reader{
			"at once":      strings.NewReader(said),
			"byte by byte": iotest.OneByteReader(strings.NewReader(said)),
			"in halves":    iotest.HalfReader(strings.NewReader(said)),
		} {
			var got bytes.Buffer
			omit(&got, r, []byte(noise))
			if got.String() != want {
				t.Errorf("%q %s gives %q, want %q", said, how, &got, want)
			}
		}
	}
}

// TestNothingIsHeldBack: what cannot be the noise is passed on while more is still to come.
func TestNothingIsHeldBack(t *testing.T) {
	t.Parallel()
	r, said := io.Pipe()
	heard, w := io.Pipe()
	go omit(w, r, []byte(noise))
	for _, line := range []string{"building\n", "it ended\n"} {
		if _, err := io.WriteString(said, line); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(line))
		if _, err := io.ReadFull(heard, got); err != nil || string(got) != line {
			t.Fatalf("%q, %v, want %q", got, err, line)
		}
	}
}

func TestOmitFromStandardError(t *testing.T) {
	before := os.Stderr
	defer func() { os.Stderr = before }()
	file, err := os.Create(filepath.Join(t.TempDir(), "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	os.Stderr = file
	flush, err := Omit(noise)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stderr.WriteString("infra: " + noise + "no bucket\n"); err != nil {
		t.Fatal(err)
	}
	flush()
	flush() // in a panic, again
	if got, err := os.ReadFile(file.Name()); err != nil || string(got) != "infra: no bucket\n" {
		t.Errorf("%q, %v", got, err)
	}
}
