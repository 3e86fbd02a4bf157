package rdsroots

import (
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"
)

func TestEveryCertificateIsAnAuthority(t *testing.T) {
	t.Parallel()
	n := 0
	for rest := bundle; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !c.IsCA {
			t.Fatalf("certificate %d: %v", n, err)
		}
		if time.Until(c.NotAfter) < 30*24*time.Hour {
			t.Errorf("%s ends on %s", c.Subject, c.NotAfter)
		}
	}
	if n < 100 {
		t.Errorf("the bundle has %d certificates", n)
	}
	if _, err := Pool(); err != nil {
		t.Error(err)
	}
}
