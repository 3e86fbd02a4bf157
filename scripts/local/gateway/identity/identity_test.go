package identity_test

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
)

const (
	account  = "000000000000"
	roleARN  = "arn:aws:iam::" + account + ":role/app/Ingest-Role"
	userARN  = "arn:aws:iam::" + account + ":user/developer"
	lifetime = time.Hour
)

// epoch is when the tests happen.
func epoch() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// newIssuer makes the issuer of one master key at a time.
func newIssuer(t *testing.T, key byte, now time.Time) *identity.Issuer {
	t.Helper()
	master := make([]byte, identity.MasterKeySize)
	master[0] = key
	i, err := identity.New(identity.Config{MasterKey: master, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatalf("new issuer: %v", err)
	}
	return i
}

func TestSession(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, 1, epoch())
	creds, caller, err := i.IssueSession(identity.Session{
		RoleARN: roleARN, Name: "upload-api", Function: "upload-api", Duration: lifetime,
		Tags: map[string]string{"stowage-quarantine": "reader"}, Policies: []string{`{"Version":"2012-10-17"}`},
	})
	if err != nil {
		t.Fatalf("issue: %v", err)
	}
	if want := "arn:aws:sts::000000000000:assumed-role/Ingest-Role/upload-api"; caller.PrincipalARN != want {
		t.Errorf("principal %s, want %s", caller.PrincipalARN, want)
	}
	if !strings.HasPrefix(creds.AccessKeyID, "ASIA") || len(creds.AccessKeyID) != 20 {
		t.Errorf("access key id %q is not shaped like IAM's", creds.AccessKeyID)
	}
	if want := i.RoleID(roleARN) + ":upload-api"; caller.UserID != want || !strings.HasPrefix(want, "AROA") {
		t.Errorf("user id %s, want %s", caller.UserID, want)
	}
	if creds.SecretAccessKey != i.Secret(creds.AccessKeyID) {
		t.Error("the secret cannot be derived from the access key id")
	}

	// Another issuer with the same master key, after a restart or in another process, agrees.
	again := newIssuer(t, 1, epoch())
	got, err := again.Resolve(creds.AccessKeyID, creds.SessionToken)
	if err != nil {
		t.Fatalf("resolve: %v", err)
	}
	if !reflect.DeepEqual(*got, caller) {
		t.Errorf("resolved %+v, want %+v", *got, caller)
	}
	if again.Secret(creds.AccessKeyID) != creds.SecretAccessKey {
		t.Error("another issuer with the same key derives another secret")
	}
}

func TestResolveRefuses(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, 1, epoch())
	one, _, err := i.IssueSession(identity.Session{RoleARN: roleARN, Name: "one", Duration: lifetime})
	if err != nil {
		t.Fatal(err)
	}
	two, err := i.IssueFor(roleARN, "two")
	if err != nil {
		t.Fatal(err)
	}
	user := i.IssueUser(userARN)
	later := func(d time.Duration) *identity.Issuer { return newIssuer(t, 1, epoch().Add(d)) }
	foreign := newIssuer(t, 2, epoch())
	for name, test := range map[string]struct {
		issuer     *identity.Issuer
		key, token string
		want       error
	}{
		"its own":                 {i, one.AccessKeyID, one.SessionToken, nil},
		"a second before the end": {later(lifetime - time.Second), one.AccessKeyID, one.SessionToken, nil},
		"at the end":              {later(lifetime), one.AccessKeyID, one.SessionToken, identity.ErrExpiredToken},
		"token of another key":    {i, one.AccessKeyID, two.SessionToken, identity.ErrInvalidToken},
		"no token":                {i, one.AccessKeyID, "", identity.ErrInvalidToken},
		"not base64":              {i, one.AccessKeyID, "!" + one.SessionToken, identity.ErrInvalidToken},
		"of another master key":   {foreign, one.AccessKeyID, one.SessionToken, identity.ErrInvalidToken},
		"user":                    {i, user.AccessKeyID, "", nil},
		"user with a token":       {i, user.AccessKeyID, one.SessionToken, identity.ErrInvalidToken},
		"user issued elsewhere":   {foreign, user.AccessKeyID, "", identity.ErrUnknownKey},
		"nobody":                  {i, "AKIAIOSFODNN7EXAMPLE", "", identity.ErrUnknownKey},
		"empty":                   {i, "", "", identity.ErrUnknownKey},
	} {
		caller, err := test.issuer.Resolve(test.key, test.token)
		if !errors.Is(err, test.want) || (err == nil) != (caller != nil) {
			t.Errorf("%s: got %v, %v; want %v", name, caller, err, test.want)
		}
	}
}

// TestTokenCannotBeAltered changes any one byte of a token's blob.
func TestTokenCannotBeAltered(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, 1, epoch())
	creds, err := i.IssueFor(roleARN, "f")
	if err != nil {
		t.Fatal(err)
	}
	blob, err := base64.StdEncoding.DecodeString(creds.SessionToken)
	if err != nil {
		t.Fatalf("the token is not in base64: %v", err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		altered := append([]byte(nil), blob...)
		altered[rapid.IntRange(0, len(blob)-1).Draw(rt, "at")] ^= rapid.ByteRange(1, 255).Draw(rt, "bits")
		if _, err := i.Resolve(creds.AccessKeyID, base64.StdEncoding.EncodeToString(altered)); !errors.Is(err, identity.ErrInvalidToken) {
			rt.Fatalf("an altered token: got %v", err)
		}
	})
}

func TestUserKeysAreStable(t *testing.T) {
	t.Parallel()
	a, b := newIssuer(t, 1, epoch()), newIssuer(t, 1, epoch())
	if x, y := a.IssueUser(userARN), b.IssueUser(userARN); x != y {
		t.Errorf("the same user got %+v and %+v", x, y)
	}
	if x, y := a.IssueUser(userARN), a.IssueUser(userARN+"2"); x.AccessKeyID == y.AccessKeyID || x.SecretAccessKey == y.SecretAccessKey {
		t.Error("two users share a key")
	}
	if x, y := a.IssueUser(userARN), newIssuer(t, 2, epoch()).IssueUser(userARN); x.SecretAccessKey == y.SecretAccessKey {
		t.Error("two master keys give one secret")
	}
}

func TestRoleARN(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, 1, epoch())
	for _, arn := range []string{"", "role", "arn:aws:iam::0:user/x", "arn:aws:sts::0:assumed-role/x/y", "arn:aws:iam::0:role/", "arn:aws:iam::0:role/path/"} {
		if _, err := i.IssueFor(arn, "f"); err == nil {
			t.Errorf("issued credentials for %q", arn)
		}
	}
}

func TestLoadMasterKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state", "master.key")
	first, err := identity.LoadMasterKey(path)
	if err != nil {
		t.Fatalf("make: %v", err)
	}
	second, err := identity.LoadMasterKey(path)
	if err != nil || string(second) != string(first) {
		t.Errorf("a second load gave another key (%v)", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info, err)
	}
	if err := os.WriteFile(path, first[:31], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.LoadMasterKey(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a short key: got %v, want an error that names %s", err, path)
	}
	for _, n := range []int{0, identity.MasterKeySize - 1, identity.MasterKeySize + 1} {
		if _, err := identity.New(identity.Config{MasterKey: make([]byte, n)}); err == nil {
			t.Errorf("took a master key of %d bytes", n)
		}
	}
}

// FuzzResolve: no token but the issued one resolves.
func FuzzResolve(f *testing.F) {
	f.Add("ASIAAAAAAAAAAAAAAAAA", "AQ==")
	f.Add("", "")
	i, err := identity.New(identity.Config{MasterKey: make([]byte, identity.MasterKeySize)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key, token string) {
		if c, err := i.Resolve(key, token); err == nil {
			t.Fatalf("resolved a made-up credential to %+v", c)
		}
	})
}
