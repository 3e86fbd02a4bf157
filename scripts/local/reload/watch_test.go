package reload

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// watched watches a directory with files.
func watched(t *testing.T, files ...string) (dir string, batches <-chan batch) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		save(t, filepath.Join(dir, name), "package a\n")
	}
	w, err := newWatcher(dir, []string{filepath.Join(dir, "out")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return dir, w.batches
}

func save(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// next is what the next batch has, relative to dir; nothing within a while is "".
func next(t *testing.T, dir string, batches <-chan batch) string {
	t.Helper()
	select {
	case b := <-batches:
		var names []string
		for _, file := range b.files {
			rel, err := filepath.Rel(dir, file)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, filepath.ToSlash(rel))
		}
		return strings.Join(names, " ")
	case <-time.After(time.Second):
		return ""
	}
}

// TestHabitsOfEditors: however an editor writes a file, one batch tells of it and
// of nothing else.
func TestHabitsOfEditors(t *testing.T) {
	const fresh = "package b\n"
	for name, write := range map[string]func(t *testing.T, file string){
		"in place": func(t *testing.T, file string) {
			t.Helper()
			save(t, file, fresh)
		},
		"in steps": func(t *testing.T, file string) {
			t.Helper()
			f, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range strings.SplitAfter(fresh, " ") {
				if _, err := f.WriteString(part); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Millisecond)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		},
		"renamed over": func(t *testing.T, file string) {
			t.Helper()
			save(t, file+".tmp", fresh)
			rename(t, file+".tmp", file)
		},
		"moved away and written anew": func(t *testing.T, file string) {
			t.Helper()
			probe := filepath.Join(filepath.Dir(file), "4913")
			save(t, probe, "")
			if err := os.Remove(probe); err != nil {
				t.Fatal(err)
			}
			rename(t, file, file+"~")
			time.Sleep(100 * time.Millisecond) // longer than a quiet moment
			save(t, file, fresh)
			if err := os.Remove(file + "~"); err != nil {
				t.Fatal(err)
			}
		},
		"with a swap and a lock file": func(t *testing.T, file string) {
			t.Helper()
			dir := filepath.Dir(file)
			save(t, filepath.Join(dir, ".a.go.swp"), "x")
			if err := os.Symlink("me@here", filepath.Join(dir, ".#a.go")); err != nil {
				t.Fatal(err)
			}
			save(t, filepath.Join(dir, "#a.go#"), "x")
			save(t, file, fresh)
		},
		"with a safe-write copy": func(t *testing.T, file string) {
			t.Helper()
			save(t, file+"___jb_tmp___", fresh)
			rename(t, file, file+"___jb_old___")
			rename(t, file+"___jb_tmp___", file)
			if err := os.Remove(file + "___jb_old___"); err != nil {
				t.Fatal(err)
			}
		},
		"and formatted at once": func(t *testing.T, file string) {
			t.Helper()
			save(t, file, "package  b")
			time.Sleep(10 * time.Millisecond)
			save(t, file, fresh)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, batches := watched(t, "a/a.go", "a/c.go")
			write(t, filepath.Join(dir, "a", "a.go"))
			if got := next(t, dir, batches); got != "a/a.go" {
				t.Errorf("told of %q", got)
			}
			if got := next(t, dir, batches); got != "" {
				t.Errorf("then told of %q", got)
			}
		})
	}
}

func TestABurstIsOneBatch(t *testing.T) {
	dir, batches := watched(t, "a.go")
	var want []string
	for i := range 20 {
		name := fmt.Sprintf("f%02d.go", i)
		save(t, filepath.Join(dir, name), "package a\n")
		want = append(want, name)
		time.Sleep(time.Millisecond)
	}
	if got := next(t, dir, batches); got != strings.Join(want, " ") {
		t.Errorf("told of %q", got)
	}
}

func TestWhatIsNoChangeIsNotTold(t *testing.T) {
	dir, batches := watched(t, "a.go", ".git/HEAD", "node_modules/x/x.go", "out/o.go", "_old/b.go")
	now := time.Now()
	if err := os.Chtimes(filepath.Join(dir, "a.go"), now, now); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "a.go"), 0o640); err != nil {
		t.Fatal(err)
	}
	save(t, filepath.Join(dir, "a.go"), "package a\n") // as it was
	for _, name := range []string{".git/HEAD", "node_modules/x/x.go", "out/o.go", "_old/b.go", "a.go~", ".a.go.swp"} {
		save(t, filepath.Join(dir, name), "other\n")
	}
	if got := next(t, dir, batches); got != "" {
		t.Errorf("told of %q", got)
	}
}

func TestDirectoriesComeAndGo(t *testing.T) {
	dir, batches := watched(t, "a.go", "old/b.go")
	save(t, filepath.Join(dir, "new/deep/c.go"), "package c\n")
	if got := next(t, dir, batches); got != "new/deep/c.go" {
		t.Errorf("a new directory: told of %q", got)
	}
	save(t, filepath.Join(dir, "new/deep/c.go"), "package d\n")
	if got := next(t, dir, batches); got != "new/deep/c.go" {
		t.Errorf("in the new directory: told of %q", got)
	}
	rename(t, filepath.Join(dir, "old"), filepath.Join(dir, "moved"))
	told := next(t, dir, batches) + " " + next(t, dir, batches)
	for _, name := range []string{"old/b.go", "moved/b.go"} {
		if !slices.Contains(strings.Fields(told), name) {
			t.Errorf("a directory that moved: told of %q", told)
		}
	}
	if err := os.Remove(filepath.Join(dir, "a.go")); err != nil {
		t.Fatal(err)
	}
	if got := next(t, dir, batches); got != "a.go" {
		t.Errorf("a file that is gone: told of %q", got)
	}
}

func TestEmbedPatterns(t *testing.T) {
	for _, tc := range []struct {
		pattern, file string
		want          bool
	}{
		{"note.txt", "note.txt", true},
		{"note.txt", "other.txt", false},
		{"*.json", "a.json", true},
		{"*.json", "deep/a.json", false},
		{"deep/*.json", "deep/a.json", true},
		{"deep", "deep/er/a.json", true},
		{"all:deep", "deep/er/a.json", true},
		{"deep", "deeper/a.json", false},
		{".", "any/where.txt", true},
		{"[", "a", false},
	} {
		if got := embeds(tc.pattern, tc.file); got != tc.want {
			t.Errorf("%q names %q: %v", tc.pattern, tc.file, got)
		}
	}
}

func TestAMissingDirectoryIsNamed(t *testing.T) {
	if _, err := New(Config{Module: filepath.Join(t.TempDir(), "nowhere")}); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("err = %v", err)
	}
}
