package authority_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/scripts/local/authority"
)

func open(t *testing.T, dir string) *authority.Authority {
	t.Helper()
	a, err := authority.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *authority.Authority, hosts ...string) *x509.Certificate {
	t.Helper()
	issued, err := a.Issue(hosts...)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := issued.TLS()
	if err != nil {
		t.Fatal(err)
	}
	return leaf(t, pair)
}

func leaf(t *testing.T, pair tls.Certificate) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestACertificateIsTrustedByItsAuthorityAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := open(t, dir)
	c := issue(t, first, "127.0.0.1", "db.example")
	again, other := open(t, dir), open(t, t.TempDir())
	for _, host := range []string{"127.0.0.1", "db.example"} {
		if _, err := c.Verify(x509.VerifyOptions{DNSName: host, Roots: again.Pool()}); err != nil {
			t.Errorf("%s by the authority read again: %v", host, err)
		}
	}
	if _, err := c.Verify(x509.VerifyOptions{DNSName: "elsewhere.example", Roots: first.Pool()}); err == nil {
		t.Error("the certificate holds for a name that it does not carry")
	}
	if _, err := c.Verify(x509.VerifyOptions{DNSName: "127.0.0.1", Roots: other.Pool()}); err == nil {
		t.Error("another authority vouches for the certificate")
	}
}

func TestKeysAreReadableByTheirOwnerAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	issued, err := open(t, dir).Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := issued.Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ca-key.pem", "server-key.pem"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

func TestABrokenAuthorityIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := open(t, dir)
	if err := os.WriteFile(a.Path(), []byte("not PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := authority.Open(dir)
	if err == nil || !strings.Contains(err.Error(), a.Path()) || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("error = %v", err)
	}
}
