package assembly

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	artifactStack    = "aws:cloudformation:stack"
	artifactAssembly = "cdk:cloud-assembly"
	artifactAssets   = "cdk:asset-manifest"
)

// informational artifacts say nothing about what to run.
var informational = []string{"cdk:tree", "cdk:feature-flag-report"}

type manifest struct {
	Artifacts map[string]artifact
	Missing   []struct{ Key, Provider string }
}

type artifact struct {
	Type                   string
	Environment            string
	Dependencies           []string
	Metadata               map[string][]metadataEntry
	AdditionalMetadataFile string
	Properties             struct {
		File          string
		TemplateFile  string
		StackName     string
		DirectoryName string
	}
}

type metadataEntry struct {
	Type string
	Data any
}

func readManifest(dir string) (*manifest, error) {
	var m manifest
	if err := readJSON(filepath.Join(dir, "manifest.json"), &m, false); err != nil {
		return nil, err
	}
	for _, miss := range m.Missing {
		return nil, fmt.Errorf("it is incomplete: the app asks %s for %s; give that context in cdk.json", miss.Provider, miss.Key)
	}
	for id, a := range m.Artifacts {
		switch {
		case a.Type == artifactStack, a.Type == artifactAssembly, a.Type == artifactAssets, slices.Contains(informational, a.Type):
		default:
			return nil, fmt.Errorf("artifact %s has the unknown type %s", id, a.Type)
		}
	}
	return &m, nil
}

// order lists the artifacts so that each comes after what it depends on;
// artifacts that do not depend on each other stand in the order of their names.
func (m *manifest) order() ([]string, error) {
	ids := make([]string, 0, len(m.Artifacts))
	for id := range m.Artifacts {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	const visiting, visited = 1, 2
	state := map[string]int{}
	var order []string
	var visit func(id string) error
	visit = func(id string) error {
		switch state[id] {
		case visited:
			return nil
		case visiting:
			return fmt.Errorf("artifact %s depends on itself", id)
		}
		art, ok := m.Artifacts[id]
		if !ok {
			return fmt.Errorf("artifact %s is depended on but missing", id)
		}
		state[id] = visiting
		deps := slices.Sorted(slices.Values(art.Dependencies))
		for _, dep := range deps {
			if err := visit(dep); err != nil {
				return err
			}
		}
		state[id] = visited
		order = append(order, id)
		return nil
	}
	for _, id := range ids {
		if err := visit(id); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// environment splits "aws://account/region".
func (a artifact) environment() (account, region string, err error) {
	rest, ok := strings.CutPrefix(a.Environment, "aws://")
	account, region, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return "", "", fmt.Errorf("environment %q is not of the form aws://account/region", a.Environment)
	}
	if account == "unknown-account" {
		account = DefaultAccount
	}
	if region == "unknown-region" {
		region = DefaultRegion
	}
	return account, region, nil
}

// constructPaths maps logical ids to construct paths, from the manifest and
// from the side file that newer libraries write.
func constructPaths(dir string, a artifact) (map[string]string, error) {
	paths := map[string]string{}
	add := func(entries map[string][]metadataEntry) {
		for path, list := range entries {
			for _, e := range list {
				if id, ok := e.Data.(string); ok && e.Type == "aws:cdk:logicalId" {
					paths[id] = strings.TrimPrefix(path, "/")
				}
			}
		}
	}
	add(a.Metadata)
	if a.AdditionalMetadataFile == "" {
		return paths, nil
	}
	var more map[string][]metadataEntry
	if err := readJSON(filepath.Join(dir, a.AdditionalMetadataFile), &more, false); err != nil {
		return nil, err
	}
	add(more)
	return paths, nil
}

// readAssets maps the object key of every file asset to the directory or file
// that holds it.
func readAssets(dir string, m *manifest) (map[string]string, error) {
	assets := map[string]string{}
	for id, a := range m.Artifacts {
		if a.Type != artifactAssets {
			continue
		}
		var am struct {
			Files map[string]struct {
				Source       struct{ Path string }
				Destinations map[string]struct{ ObjectKey string }
			}
			DockerImages map[string]any
		}
		if err := readJSON(filepath.Join(dir, a.Properties.File), &am, false); err != nil {
			return nil, err
		}
		for image := range am.DockerImages {
			return nil, fmt.Errorf("asset manifest %s: docker image %s: container images are not supported", id, image)
		}
		for _, f := range am.Files {
			for _, d := range f.Destinations {
				assets[d.ObjectKey] = filepath.Join(dir, f.Source.Path)
			}
		}
	}
	return assets, nil
}

// asset is the directory behind a function's Code.S3Key.
func (s *stack) asset(key string) (string, error) {
	dir, ok := s.assets[key]
	if !ok {
		return "", fmt.Errorf("code asset %s is in no asset manifest", key)
	}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("code asset %s is missing; run the synthesis again", dir)
	} else if err != nil {
		return "", fmt.Errorf("code asset: %w", err)
	}
	return dir, nil
}
