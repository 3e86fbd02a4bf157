// Package events holds sample payloads of everything that invokes a function or
// travels between them, one file for each case: <source>/<case>.json.
//
// Tests take them from here, so that every handler is tested against the shape that
// the service documents. Account, names and ids are made up.
package events

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed */*.json
var files embed.FS

// Names lists every sample, as <source>/<case>, in order.
func Names() []string {
	paths, err := fs.Glob(files, "*/*.json")
	if err != nil {
		panic(fmt.Sprintf("events: list samples: %v", err)) // the pattern is a constant
	}
	for i, p := range paths {
		paths[i] = strings.TrimSuffix(p, ".json")
	}
	return paths
}

// Read returns the sample of that name, such as "s3/object-created-put". It panics
// when there is none: the name is a constant of a test.
func Read(name string) []byte {
	text, err := files.ReadFile(name + ".json")
	if err != nil {
		panic(fmt.Sprintf("events: there is no sample %q; there are %s", name, strings.Join(Names(), ", ")))
	}
	return text
}
