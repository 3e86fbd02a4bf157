package statefile_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/stowage-dev/stowage/scripts/local/statefile"
)

var bucket = []byte("b")

// filled is a file with many pages.
func filled(t *testing.T) (path string, content []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "things.db")
	db, err := statefile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucket)
		if err != nil {
			return err
		}
		for i := range 400 {
			if err := b.Put(fmt.Append(nil, i), bytes.Repeat([]byte("v"), 500)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	content, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, content
}

func TestDamage(t *testing.T) {
	t.Parallel()
	garbage := func(from, to int) func([]byte) []byte {
		return func(b []byte) []byte {
			b = bytes.Clone(b)
			copy(b[from:to], bytes.Repeat([]byte{0xa5}, to-from))
			return b
		}
	}
	const page = 4096
	for name, damage := range map[string]func([]byte) []byte{
		"another kind of file": func([]byte) []byte { return []byte(strings.Repeat("hello ", 4000)) },
		"cut short":            func(b []byte) []byte { return b[:len(b)/2/page*page] },
		"cut to its head":      func(b []byte) []byte { return b[:2*page] },
		"cut within its head":  func(b []byte) []byte { return b[:100] },
		"no head":              garbage(0, 2*page),
		"no body":              func(b []byte) []byte { return garbage(2*page, len(b))(b) },
	} {
		path, whole := filled(t)
		wrong := damage(whole)
		if err := os.WriteFile(path, wrong, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the first attempt must not hold the file
			db, err := statefile.Open(path)
			if err == nil {
				db.Close()
			}
			if err == nil || !strings.Contains(err.Error(), path+" is damaged") || !strings.Contains(err.Error(), "RESET=1") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, wrong) {
			t.Errorf("%s: the file was changed: %d bytes, %v; it had %d", name, len(after), err, len(wrong))
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := statefile.Open(path)
		if err != nil {
			t.Errorf("%s: put back: %v", name, err)
			continue
		}
		db.Close()
	}
}

func TestHeld(t *testing.T) {
	t.Parallel()
	path, _ := filled(t)
	db, err := statefile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := statefile.Open(path); err == nil || !strings.Contains(err.Error(), path+": another process holds it") {
		t.Errorf("%v", err)
	}
	if _, err := statefile.Open(filepath.Join(path, "below")); err == nil || !strings.Contains(err.Error(), "below") {
		t.Errorf("a path that cannot be: %v", err)
	}
}
