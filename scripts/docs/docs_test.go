// Package docs tests that what the documentation says of the repository is so.
package docs

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// pages are the documents written by hand, by their path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all[strings.TrimPrefix(filepath.ToSlash(file), root+"/")] = string(text)
		}
	}
	if all["README.md"] == "" {
		t.Fatal("there is no README.md")
	}
	return all
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)
	for page, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
	}
}

func TestCommandsExist(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := regexp.MustCompile("(?m)(?:`|^|\\$ )make ([a-z]+)")
	programs := regexp.MustCompile(`go run (?:-\S+ )*\./(scripts/[a-z/]+)`)
	for page, text := range pages(t) {
		for _, m := range targets.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(string(makefile), "\n"+m[1]+":") {
				t.Errorf("%s tells to run `make %s`, which the Makefile does not know", page, m[1])
			}
		}
		for _, m := range programs.FindAllStringSubmatch(text, -1) {
			if found, err := filepath.Glob(filepath.Join(root, m[1], "*.go")); err != nil || len(found) == 0 {
				t.Errorf("%s tells to run ./%s, which is no program", page, m[1])
			}
		}
	}
}

// TestSnippetsCompile: each line of Go in a page stands in an example, which the compiler
// sees and go test runs.
func TestSnippetsCompile(t *testing.T) {
	t.Parallel()
	compiled := exampleLines(t)
	snippet := regexp.MustCompile("(?s)```go\n(.*?)```")
	for page, text := range pages(t) {
		for _, m := range snippet.FindAllStringSubmatch(text, -1) {
			for line := range strings.Lines(m[1]) {
				line = code(line)
				if line != "" && !compiled[line] {
					t.Errorf("%s shows %q, which stands in no example_test.go", page, line)
				}
			}
		}
	}
}

func exampleLines(t *testing.T) map[string]bool {
	t.Helper()
	lines := map[string]bool{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{"node_modules", "cdk.out", "dist", ".git", ".tools", ".stowage"}, d.Name()) {
			return filepath.SkipDir
		}
		if d.Name() != "example_test.go" {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			lines[code(line)] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// code is a line without its indentation and its comment.
func code(line string) string {
	line, _, _ = strings.Cut(line, " // ")
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "//") || strings.HasPrefix(line, "import ") || strings.HasPrefix(line, `"`) || line == ")" {
		return ""
	}
	return strings.Join(strings.Fields(line), " ")
}

// TestAlarmsLeadToTheirRunbooks: an alarm's description that names a runbook finds the alarm
// in it.
func TestAlarmsLeadToTheirRunbooks(t *testing.T) {
	t.Parallel()
	templates, err := filepath.Glob(filepath.Join(root, "infra/stacks/testdata/*/*.template.json"))
	if err != nil || len(templates) == 0 {
		t.Fatal("there are no templates: ", err)
	}
	runbook, name, found := regexp.MustCompile(`docs/runbooks/[a-z-]+\.md`), regexp.MustCompile(`^(.+)Alarm[0-9A-F]{8}$`), 0
	all := pages(t)
	for _, file := range templates {
		var stack struct {
			Resources map[string]struct {
				Type       string
				Properties json.RawMessage
			}
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &stack); err != nil {
			t.Fatal(err)
		}
		for id, r := range stack.Resources {
			page := runbook.FindString(string(r.Properties))
			if r.Type != "AWS::CloudWatch::Alarm" || page == "" {
				continue
			}
			found++
			alarm := name.ReplaceAllString(id, "$1")
			for _, each := range []string{"Errors", "Throttles"} { // in one line for all functions
				if function, ok := strings.CutSuffix(alarm, each); ok && strings.Contains(all[page], "`…"+each+"`") {
					alarm = function
				}
			}
			if !strings.Contains(all[page], alarm) {
				t.Errorf("%s: the alarm %s leads to %s, which does not name it", file, alarm, page)
			}
		}
	}
	if found == 0 {
		t.Error("no alarm names a runbook")
	}
}

// TestShellCommandsParse: what a page shows as shell is shell.
func TestShellCommandsParse(t *testing.T) {
	t.Parallel()
	block := regexp.MustCompile("(?ms)^( *)```sh\n(.*?)^ *```")
	for page, text := range pages(t) {
		for _, m := range block.FindAllStringSubmatch(text, -1) {
			cmd := exec.CommandContext(t.Context(), "bash", "-n")
			// Of a list's item, without its indentation: here-documents end at the margin.
			cmd.Stdin = strings.NewReader(strings.TrimPrefix(strings.ReplaceAll("\n"+m[2], "\n"+m[1], "\n"), "\n"))
			if said, err := cmd.CombinedOutput(); err != nil || len(said) > 0 {
				t.Errorf("%s: %s, %v, in\n%s", page, said, err, m[2])
			}
		}
	}
}

// TestAnchorsAreHeadings: a link to a part of a page of docs leads to one of its headings.
func TestAnchorsAreHeadings(t *testing.T) {
	t.Parallel()
	link, heading := regexp.MustCompile(`\]\(([^)#\s]*)#([^)\s]*)\)`), regexp.MustCompile(`(?m)^#+ (.*)$`)
	all := pages(t)
	for page, text := range all {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target := page
			if m[1] != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(page), m[1]))
			}
			there, known := all[target]
			if strings.Contains(m[1], "://") || !known {
				continue
			}
			if !slices.ContainsFunc(heading.FindAllStringSubmatch(there, -1), func(h []string) bool { return anchor(h[1]) == m[2] }) {
				t.Errorf("%s links to %s#%s, which has no such heading", page, target, m[2])
			}
		}
	}
}

// anchor is how GitHub names a heading.
func anchor(heading string) string {
	return strings.ReplaceAll(regexp.MustCompile(`[^\p{L}\p{N}\s_-]`).ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}
