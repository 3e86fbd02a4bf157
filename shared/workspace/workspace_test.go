package workspace_test

import (
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/workspace"
)

func TestValidateID(t *testing.T) {
	t.Parallel()
	for id, ok := range map[string]bool{
		"abc": true, "a-b": true, "0a9": true, strings.Repeat("a", 40): true,
		"": false, "ab": false, strings.Repeat("a", 41): false, "-ab": false, "ab-": false,
		"Abc": false, "a_b": false, "a#b": false, "a b": false, "äbc": false, "abc\n": false,
	} {
		if err := workspace.ValidateID("id", id); (err == nil) != ok {
			t.Errorf("id %q: %v", id, err)
		}
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	order := []workspace.Role{"nobody", workspace.Reader, workspace.Writer, workspace.Owner}
	for i, r := range order {
		for j, need := range order {
			if got := r.Includes(need); got != (j > 0 && i >= j) {
				t.Errorf("%s includes %s: %t", r, need, got)
			}
		}
		if _, err := workspace.ParseRole(string(r)); (err == nil) != (i > 0) {
			t.Errorf("parse %q: %v", r, err)
		}
	}
}

func TestValidateSub(t *testing.T) {
	t.Parallel()
	for sub, ok := range map[string]bool{
		"a": true, "auth0|123": true, strings.Repeat("a", 255): true,
		"": false, strings.Repeat("a", 256): false, "a b": false, "a\x00": false, "ä": false, "a\x7f": false,
	} {
		if err := workspace.ValidateSub(sub); (err == nil) != ok {
			t.Errorf("sub %q: %v", sub, err)
		}
	}
}

func TestValidationNamesEveryField(t *testing.T) {
	t.Parallel()
	err := workspace.Workspace{ID: "X", Quota: workspace.Quota{Bytes: -1}}.Validate()
	if !fault.Is(err, fault.InvalidArgument) {
		t.Fatalf("error is %v", err)
	}
	var fields []string
	for _, v := range err.(*fault.Error).Fields { //nolint:errorlint,forcetypeassert // checked above
		fields = append(fields, v.Field)
	}
	if got := strings.Join(fields, " "); got != "id name bytes shards" {
		t.Errorf("fields are %s", got)
	}
}

func TestTypePolicy(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		policy workspace.TypePolicy
		types  map[string]bool
	}{
		{"none", workspace.TypePolicy{}, map[string]bool{"image/png": true, "application/x-executable": true}},
		{"default", workspace.DefaultTypePolicy(), map[string]bool{
			"image/png": true, "application/octet-stream": true, "application/x-executable": false, "Application/X-Elf; a=b": false,
		}},
		{"a family", workspace.TypePolicy{Allowed: []string{"image/*"}}, map[string]bool{
			"image/png": true, "IMAGE/PNG": true, "imagex/png": false, "text/plain; charset=utf-8": false,
		}},
		{"a family but one", workspace.TypePolicy{Allowed: []string{"image/*"}, Denied: []string{"image/svg+xml"}}, map[string]bool{
			"image/png": true, "image/svg+xml": false,
		}},
	} {
		for contentType, ok := range tc.types {
			err := tc.policy.Permits(contentType)
			if (err == nil) != ok || err != nil && !fault.Is(err, fault.UnsupportedType) {
				t.Errorf("%s: %s: %v", tc.name, contentType, err)
			}
		}
	}
}
