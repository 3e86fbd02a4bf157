package usage_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/iam"
	"github.com/stowage-dev/stowage/scripts/local/iam/authorize"
	"github.com/stowage-dev/stowage/scripts/local/iam/usage"
)

const role = "arn:aws:iam::000000000000:role/Ingest"

func by(roleARN string) *gateway.Caller {
	return &gateway.Caller{RoleARN: roleARN, PrincipalARN: "arn:aws:sts::000000000000:assumed-role/Ingest/fn"}
}

// used is a request that two grants of the role and the key's policy allow.
func used(action string) authorize.Outcome {
	grant := func(kind iam.Kind, policy string) iam.Grant {
		return iam.Grant{Ref: iam.Ref{Kind: kind, Policy: policy, Index: 1}, Action: "s3:Get*", Resource: "*"}
	}
	return authorize.Outcome{Caller: by(role), Request: iam.Request{Action: action, Resource: "arn:aws:s3:::b/k"},
		Decision: iam.Decision{Allowed: true, Grants: []iam.Grant{grant(iam.Identity, "own"), grant(iam.Identity, "shared"), grant(iam.Resource, "the bucket's"), grant(iam.Boundary, "b")}}}
}

func denied() authorize.Outcome {
	return authorize.Outcome{Caller: by(role), Request: iam.Request{Action: "s3:PutObject", Resource: "arn:aws:s3:::b/k", Principal: iam.Principal{ARN: by(role).PrincipalARN}},
		Decision: iam.Decision{Because: iam.Ref{Kind: iam.Identity}}, Hints: []string{"a hint"}}
}

func record(t *testing.T, path string, outcomes ...authorize.Outcome) {
	t.Helper()
	r, err := usage.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes {
		r.Record(o)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRecord: what a role's own policies allowed, and what it was denied, is kept once a
// run; what users, services and nobody did is not.
func TestRecord(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "usage.jsonl")
	user, nobody := used("s3:GetObject"), used("s3:GetObject")
	user.Caller, nobody.Caller = &gateway.Caller{PrincipalARN: "arn:aws:iam::000000000000:user/developer"}, nil
	record(t, path, used("s3:GetObject"), user, nobody, used("s3:GetObject"), denied(), denied())
	want := []usage.Line{
		{Role: role, Action: "s3:GetObject", Grant: &usage.Grant{Policy: "own", Statement: 1, Action: "s3:Get*", Resource: "*"}},
		{Role: role, Action: "s3:GetObject", Grant: &usage.Grant{Policy: "shared", Statement: 1, Action: "s3:Get*", Resource: "*"}},
		{Role: role, Action: "s3:PutObject", Denial: &usage.Denial{Principal: by(role).PrincipalARN, Resource: "arn:aws:s3:::b/k",
			Why: "User: " + by(role).PrincipalARN + " is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::b/k because no identity-based policy allows the s3:PutObject action; a hint"}},
	}
	if got, err := usage.Read(path); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	record(t, path, used("s3:GetObject")) // another run: its lines come behind
	if got, err := usage.Read(path); err != nil || len(got) != len(want)+2 {
		t.Errorf("after another run there are %d lines, %v", len(got), err)
	}
}

// TestRunsShareAFile: lines of runs at a time do not mix.
func TestRunsShareAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "usage.jsonl")
	const runs, actions = 8, 50
	var all sync.WaitGroup
	for range runs {
		all.Go(func() {
			r, err := usage.Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			for i := range actions {
				r.Record(used("s3:Get" + strings.Repeat("x", i)))
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if lines, err := usage.Read(path); err != nil || len(lines) != runs*actions*2 {
		t.Errorf("%d lines, %v; want %d", len(lines), err, runs*actions*2)
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	const good = `{"role":"r","action":"s3:GetObject","grant":{"policy":"p","statement":0,"action":"s3:*","resource":"*"}}` + "\n"
	for name, test := range map[string]struct {
		content string
		lines   int
		want    string // what the error says
	}{
		"empty":                  {"", 0, ""},
		"two lines":              {good + good, 2, ""},
		"cut short by a kill":    {good + good[:40], 1, ""},
		"damaged in the middle":  {good + good[:40] + "\n" + good, 0, "line 2"},
		"neither use nor denial": {good + `{"role":"r","action":"s3:GetObject"}` + "\n", 0, "line 2"},
	} {
		path := filepath.Join(t.TempDir(), "usage.jsonl")
		if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		lines, err := usage.Read(path)
		if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path)) {
			t.Errorf("%s: %v, want an error that says %q and the file", name, err, test.want)
		}
		if test.want == "" && (err != nil || len(lines) != test.lines) {
			t.Errorf("%s: %d lines, %v; want %d", name, len(lines), err, test.lines)
		}
	}
	if lines, err := usage.Read(filepath.Join(t.TempDir(), "none")); err != nil || lines != nil {
		t.Errorf("no file: %v, %v", lines, err)
	}
	if _, err := usage.Open(filepath.Join(t.TempDir(), "none", "usage.jsonl")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// TestFullDisk: a record that could not be kept is told of at the end, for a report made
// of the rest would find grants unused that are.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no /dev/full")
	}
	r, err := usage.Open("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	r.Record(used("s3:GetObject"))
	r.Record(used("s3:GetObjectVersion"))
	if err := r.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Close = %v, want that the disk is full", err)
	}
}

// FuzzRead: whatever the file holds, Read answers, and what it gives can be compared with a template.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"role":"r","action":"a","denial":{"principal":"p","resource":"*","why":"w"}}` + "\n"))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "usage.jsonl")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		lines, err := usage.Read(path)
		if err != nil {
			return
		}
		for _, l := range lines {
			if (l.Grant == nil) == (l.Denial == nil) {
				t.Fatalf("%+v is neither a use nor a denial, or both", l)
			}
		}
	})
}
