// Package fidelity_test keeps docs/local-runtime.md honest: every line that says
// how the local runtime compares with AWS names a test that shows it, which
// exists, or a page of AWS's documentation.
package fidelity_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const docs = "../../../docs"

// link is a link of Markdown: its text and its target.
var link = regexp.MustCompile(`\[([^\]]+)\]\(([^)]+)\)`)

// general are the sections that compare no service; each other one has all three parts.
var general = []string{"What runs", "Saving a file", "Seeing", "When something is wrong"}

var parts = []string{"As on AWS", "Stricter", "Missing"}

// page is the document, by lines.
func page(t *testing.T) []string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(docs, "local-runtime.md"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(raw), "\n")
}

func TestEveryServiceHasItsThreeParts(t *testing.T) {
	found := map[string][]string{} // parts with at least one line, by service
	var services []string
	service, part := "", ""
	for _, line := range page(t) {
		switch {
		case strings.HasPrefix(line, "### "):
			part = strings.TrimPrefix(line, "### ")
		case strings.HasPrefix(line, "## "):
			service, part = strings.TrimPrefix(line, "## "), ""
			if !slices.Contains(general, service) {
				services = append(services, service)
			}
		case strings.HasPrefix(line, "- ") && part != "" && !slices.Contains(found[service], part):
			found[service] = append(found[service], part)
		}
	}
	if len(services) < 13 {
		t.Errorf("the page compares only %q", services)
	}
	for _, s := range services {
		if !slices.Equal(found[s], parts) {
			t.Errorf("%s has the parts %v, want %v", s, found[s], parts)
		}
	}
}

func TestEveryLineIsBacked(t *testing.T) {
	tests := functions{}
	section := ""
	for i, line := range page(t) {
		if strings.HasPrefix(line, "## ") {
			section = strings.TrimPrefix(line, "## ")
		}
		if !strings.HasPrefix(line, "- ") || section == "" { // before the first section stands the table of contents
			continue
		}
		backed := false
		for _, l := range link.FindAllStringSubmatch(line, -1) {
			text, target := l[1], l[2]
			switch {
			case strings.HasSuffix(target, "_test.go"):
				backed = true
				if !tests.has(t, filepath.Join(docs, target), text) {
					t.Errorf("line %d: %s is not in %s", i+1, text, target)
				}
			case strings.HasPrefix(target, "https://docs.aws.amazon.com/"):
				backed = true
			}
		}
		if !backed {
			t.Errorf("line %d is backed by no test and by no page of AWS's: %s", i+1, line)
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	anchors := map[string]bool{}
	contents := strings.Join(page(t), "\n")
	for _, line := range page(t) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			anchor := "#" + strings.ReplaceAll(strings.ToLower(title), " ", "-")
			anchors[anchor] = true
			if strings.HasPrefix(line, "## ") && !strings.Contains(contents, "]("+anchor+")") {
				t.Errorf("the table of contents leaves out %q", title)
			}
		}
	}
	for i, line := range page(t) {
		for _, l := range link.FindAllStringSubmatch(line, -1) {
			switch target := l[2]; {
			case strings.HasPrefix(target, "https://"):
			case strings.HasPrefix(target, "#"):
				if !anchors[target] {
					t.Errorf("line %d: no heading is %s", i+1, target)
				}
			default:
				if _, err := os.Stat(filepath.Join(docs, target)); err != nil {
					t.Errorf("line %d: %v", i+1, err)
				}
			}
		}
	}
}

// functions are the names of top-level functions, by file.
type functions map[string][]string

func (f functions) has(t *testing.T, file, name string) bool {
	t.Helper()
	if _, read := f[file]; !read {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return false
		}
		f[file] = []string{}
		for _, d := range parsed.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				f[file] = append(f[file], fn.Name.Name)
			}
		}
	}
	return slices.Contains(f[file], name)
}
