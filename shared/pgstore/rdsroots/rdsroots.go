// Package rdsroots holds the authorities from which the certificates of RDS and Aurora
// come. Those of RDS Proxy come from the system's authorities instead.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.SSL.html
package rdsroots

import (
	"crypto/x509"
	_ "embed"
	"fmt"
	"regexp"
	"strings"
)

// bundle holds the roots alone, each region's below a line with its name: what is between
// them and a server's certificate, the server sends.
//
//go:embed rds.pem
var bundle string

// cluster is the host of an instance or a cluster, with its region.
var cluster = regexp.MustCompile(`\.([a-z]{2}(?:-[a-z]+)+-[0-9])\.rds\.amazonaws\.com(?:\.cn)?(?::[0-9]+)?$`)

// For returns the authorities from which the certificate of a host must come: for an
// endpoint of RDS those of its region, three of some eighty, which is what a function that
// starts has time for; nil, the system's, for an endpoint of RDS Proxy and for a host that
// is none of RDS's.
func For(host string) (*x509.CertPool, error) {
	m := cluster.FindStringSubmatch(host)
	if m == nil || strings.Contains(host, ".proxy-") {
		return nil, nil
	}
	_, section, found := strings.Cut(bundle, "\n# "+m[1]+"\n")
	if !found {
		return nil, fmt.Errorf("no authority of RDS is known in the region %s of %s: add it to rds.pem", m[1], host)
	}
	section, _, _ = strings.Cut(section, "\n# ")
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(section)) {
		return nil, fmt.Errorf("the authorities of RDS in the region %s cannot be read", m[1])
	}
	return pool, nil
}
