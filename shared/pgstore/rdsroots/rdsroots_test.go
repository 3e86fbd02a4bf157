package rdsroots

import (
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"
)

func TestEveryCertificateIsAnAuthorityOfItsRegion(t *testing.T) {
	t.Parallel()
	sections := strings.Split(bundle, "\n# ")
	n := 0
	for _, section := range sections[2:] { // what comes before is where they are from
		region, rest, _ := strings.Cut(section, "\n")
		for rest := []byte(rest); ; n++ {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil || !c.IsCA || c.CheckSignatureFrom(c) != nil || !strings.HasPrefix(c.Subject.CommonName, "Amazon RDS "+region+" ") {
				t.Fatalf("certificate %d of %s: %v", n, region, err)
			}
			if time.Until(c.NotAfter) < 30*24*time.Hour {
				t.Errorf("%s ends on %s", c.Subject, c.NotAfter)
			}
		}
		if _, err := For("db.cluster-abc123." + region + ".rds.amazonaws.com"); err != nil {
			t.Error(err)
		}
	}
	if n < 80 {
		t.Errorf("the bundle has %d certificates", n)
	}
}

func TestAuthoritiesOfAHost(t *testing.T) {
	t.Parallel()
	for host, system := range map[string]bool{
		"stowage.proxy-abc123.eu-central-1.rds.amazonaws.com":              true,
		"reader.endpoint.proxy-abc123.eu-central-1.rds.amazonaws.com:5432": true,
		"127.0.0.1:5432":         true,
		"database.example.com":   true,
		"rds.amazonaws.com.evil": true,
		"stowage.cluster-abc123.eu-central-1.rds.amazonaws.com":      false,
		"stowage.cluster-ro-abc123.eu-central-1.rds.amazonaws.com":   false,
		"stowage.cluster-abc123.us-east-1.rds.amazonaws.com:5432":    false,
		"stowage-writer.abc123.ap-southeast-2.rds.amazonaws.com:999": false,
	} {
		pool, err := For(host)
		if err != nil || (pool == nil) != system {
			t.Errorf("%s: %v, %v", host, pool == nil, err)
		}
	}
	if _, err := For("x.cluster-a.xx-north-1.rds.amazonaws.com"); err == nil || !strings.Contains(err.Error(), "xx-north-1") {
		t.Errorf("a region that is not known: %v", err)
	}
}
