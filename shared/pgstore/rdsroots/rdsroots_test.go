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
		if err != nil || !c.IsCA || c.CheckSignatureFrom(c) != nil {
			t.Fatalf("certificate %d: %v", n, err)
		}
		if time.Until(c.NotAfter) < 30*24*time.Hour {
			t.Errorf("%s ends on %s", c.Subject, c.NotAfter)
		}
	}
	if n < 80 {
		t.Errorf("the bundle has %d certificates", n)
	}
	if _, err := Pool(); err != nil {
		t.Error(err)
	}
}

func TestProxiesComeFromTheSystemsAuthorities(t *testing.T) {
	t.Parallel()
	for host, system := range map[string]bool{
		"stowage.proxy-abc123.eu-central-1.rds.amazonaws.com":              true,
		"reader.endpoint.proxy-abc123.eu-central-1.rds.amazonaws.com:5432": true,
		"stowage.cluster-abc123.eu-central-1.rds.amazonaws.com":            false,
		"stowage.cluster-ro-abc123.eu-central-1.rds.amazonaws.com":         false,
		"127.0.0.1:5432": false,
	} {
		pool, err := For(host)
		if err != nil || (pool == nil) != system {
			t.Errorf("%s: %v, %v", host, pool == nil, err)
		}
	}
}
