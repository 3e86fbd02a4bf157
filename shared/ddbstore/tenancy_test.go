package ddbstore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/workspace"
)

func TestWorkspaceReadsBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := workspace.Workspace{
		ID: "alpha", Name: "Alpha & Söhne", CreatedAt: b.now(), CreatedBy: "ann", UpdatedAt: b.now(),
		Quota: workspace.DefaultQuota(), Types: workspace.DefaultTypePolicy(), Shards: workspace.MaxShards,
	}
	owner := workspace.Member{Workspace: "alpha", Sub: "ann", Role: workspace.Owner, CreatedAt: b.now(), CreatedBy: "ann"}
	if err := b.CreateWorkspace(t.Context(), w, owner); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.CreateWorkspace(t.Context(), w, owner), fault.Conflict)

	w.Rev = 1
	found, err := b.Workspace(t.Context(), "alpha")
	if diff := cmp.Diff(w, found); err != nil || diff != "" {
		t.Errorf("workspace: %v\n%s", err, diff)
	}
	member, err := b.Member(t.Context(), "alpha", "ann")
	if diff := cmp.Diff(owner, member); err != nil || diff != "" {
		t.Errorf("owner: %v\n%s", err, diff)
	}
	b.wantUsage("alpha", amount(0, 0, 0), amount(0, 0, 0))

	_, err = b.Workspace(t.Context(), "beta")
	wantCode(t, err, fault.NotFound)
	_, err = b.Usage(t.Context(), "beta")
	wantCode(t, err, fault.NotFound)
}

func TestWorkspaceMustBeValid(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := workspace.Workspace{ID: "alpha", Name: "Alpha", Quota: roomy(), Shards: 1}
	owner := workspace.Member{Workspace: "alpha", Sub: "ann", Role: workspace.Owner}
	for name, change := range map[string]func(){
		"too many shards":  func() { w.Shards = workspace.MaxShards + 1 },
		"no shards":        func() { w.Shards = 0 },
		"upper-case id":    func() { w.ID, owner.Workspace = "Alpha", "Alpha" },
		"negative quota":   func() { w.Quota.Bytes = -1 },
		"no role":          func() { owner.Role = "" },
		"owner of another": func() { owner.Workspace = "beta" },
	} {
		was, wasOwner := w, owner
		change()
		if err := b.CreateWorkspace(t.Context(), w, owner); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
		w, owner = was, wasOwner
	}
}

func TestMembers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.workspace("alpha", roomy())
	b.workspace("beta", roomy())
	wantCode(t, b.PutMember(t.Context(), workspace.Member{Workspace: "ghost", Sub: "ann", Role: workspace.Reader}), fault.NotFound)

	for i := range 5 {
		m := workspace.Member{Workspace: "alpha", Sub: fmt.Sprintf("sub-%d", i), Role: workspace.Reader}
		if err := b.PutMember(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	promoted := workspace.Member{Workspace: "alpha", Sub: "sub-3", Role: workspace.Writer}
	if err := b.PutMember(t.Context(), promoted); err != nil {
		t.Fatal(err)
	}
	if m, err := b.Member(t.Context(), "alpha", "sub-3"); err != nil || m.Role != workspace.Writer {
		t.Errorf("promoted member is %+v, %v", m, err)
	}
	for range 2 {
		if err := b.RemoveMember(t.Context(), "alpha", "sub-1"); err != nil {
			t.Error(err)
		}
	}
	_, err := b.Member(t.Context(), "alpha", "sub-1")
	wantCode(t, err, fault.NotFound)

	var got []string
	for page := (catalog.Page{Limit: 2}); ; {
		members, next, err := b.Members(t.Context(), "alpha", page)
		if err != nil || len(members) > 2 {
			t.Fatalf("%d members, %v", len(members), err)
		}
		for _, m := range members {
			got = append(got, m.Sub)
		}
		if page.After = next; next == "" {
			break
		}
	}
	if want := []string{"owner", "sub-0", "sub-2", "sub-3", "sub-4"}; !slices.Equal(got, want) {
		t.Errorf("members are %v, want %v", got, want)
	}
	_, _, err = b.Members(t.Context(), "alpha", catalog.Page{After: strings.Repeat("x", 256)})
	wantCode(t, err, fault.InvalidArgument)
}

func TestMembershipsOf(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.workspace("alpha", roomy())
	b.workspace("beta", roomy())
	if err := b.PutMember(t.Context(), workspace.Member{Workspace: "beta", Sub: "own", Role: workspace.Reader}); err != nil {
		t.Fatal(err) // "own" is a prefix of "owner"
	}
	for sub, want := range map[string][]string{"owner": {"alpha:owner", "beta:owner"}, "own": {"beta:reader"}, "nobody": nil} {
		members, err := b.MembershipsOf(t.Context(), sub)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range members {
			got = append(got, m.Workspace+":"+string(m.Role))
		}
		if !slices.Equal(got, want) {
			t.Errorf("memberships of %s are %v, want %v", sub, got, want)
		}
	}
}
