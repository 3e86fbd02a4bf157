// Package rdsroots holds the authorities from which the certificates of RDS and Aurora
// come. Those of RDS Proxy come from the system's authorities instead.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.SSL.html
package rdsroots

import (
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"strings"
)

// bundle holds the roots alone: what is between them and a server's certificate, the server sends.
//
//go:embed rds.pem
var bundle []byte

// For returns the authorities from which the certificate of a host must come: nil, the
// system's, for an endpoint of RDS Proxy, and else those of RDS too. A function that starts
// need not read a hundred certificates for a proxy.
func For(host string) (*x509.CertPool, error) {
	if strings.Contains(host, ".proxy-") && strings.Contains(host, ".rds.") {
		return nil, nil
	}
	return Pool()
}

// Pool returns the system's authorities and those of RDS.
func Pool() (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the system's authorities: %w", err)
	}
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, errors.New("the bundle of RDS's authorities holds no certificate")
	}
	return pool, nil
}
