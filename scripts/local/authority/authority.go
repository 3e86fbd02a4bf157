// Package authority is the certificate authority of the local runtime. The engines
// that are reached by TLS show certificates of it, and the functions trust it and no
// other, so that a certificate is verified here as it is on AWS.
//
// Its key stays in one directory that its owner alone can read. Nothing outside of the
// local runtime is asked to trust it.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// validity is how long certificates hold: of the authority, and of what it issues,
// which is issued anew at each start.
const (
	authorityValidity = 10 * 365 * 24 * time.Hour
	issuedValidity    = 365 * 24 * time.Hour
)

const (
	certificateFile = "ca.pem"
	keyFile         = "ca-key.pem"
)

// Authority issues certificates. It is safe for concurrent use.
type Authority struct {
	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Issued is a certificate with its key, both PEM.
type Issued struct {
	Certificate []byte // with that of the authority after it
	Key         []byte
}

// Open reads the authority in dir, or makes one there when dir holds none.
func Open(dir string) (*Authority, error) {
	a, err := read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		a, err = create(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open the certificate authority in %s: %w", dir, err)
	}
	return a, nil
}

// Path is the file that holds the authority's certificate, PEM.
func (a *Authority) Path() string { return filepath.Join(a.dir, certificateFile) }

// Pool trusts the authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// Issue makes a server's certificate for the given names and addresses.
func (a *Authority) Issue(hosts ...string) (Issued, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Issued{}, fmt.Errorf("make a key: %w", err)
	}
	template, err := newTemplate("Stowage local engine", issuedValidity)
	if err != nil {
		return Issued{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return Issued{}, fmt.Errorf("issue a certificate for %v: %w", hosts, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return Issued{}, err
	}
	chain := append(encodeCertificate(der), encodeCertificate(a.certificate.Raw)...)
	return Issued{Certificate: chain, Key: keyPEM}, nil
}

// TLS is the certificate as crypto/tls takes it.
func (i Issued) TLS() (tls.Certificate, error) {
	pair, err := tls.X509KeyPair(i.Certificate, i.Key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read the issued certificate: %w", err)
	}
	return pair, nil
}

// Write writes the certificate to dir/server.pem and the key to dir/server-key.pem,
// which its owner alone can read.
func (i Issued) Write(dir string) (certificate, key string, err error) {
	certificate, key = filepath.Join(dir, "server.pem"), filepath.Join(dir, "server-key.pem")
	if err := replace(key, i.Key); err != nil {
		return "", "", err
	}
	return certificate, key, replace(certificate, i.Certificate)
}

func read(dir string) (*Authority, error) {
	certificate, err := decode(filepath.Join(dir, certificateFile))
	if err != nil {
		return nil, err
	}
	key, err := decode(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	a := &Authority{dir: dir}
	if a.certificate, err = x509.ParseCertificate(certificate); err != nil {
		return nil, fmt.Errorf("%s: %w", certificateFile, err)
	}
	if a.key, err = x509.ParseECPrivateKey(key); err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	return a, nil
}

func decode(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM: remove it and start again", path)
	}
	return block.Bytes, nil
}

// create writes the key first: a certificate without a key would be read as whole.
func create(dir string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	template, err := newTemplate("Stowage local authority", authorityValidity)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign the authority's certificate: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err //nolint:wrapcheck // it names the directory
	}
	if err := replace(filepath.Join(dir, keyFile), keyPEM); err != nil {
		return nil, err
	}
	if err := replace(filepath.Join(dir, certificateFile), encodeCertificate(der)); err != nil {
		return nil, err
	}
	return read(dir)
}

func newTemplate(name string, validity time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour), // a clock that is set back a little
		NotAfter:     now.Add(validity),
	}, nil
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// replace writes a file that is whole or not there, and that its owner alone can read.
func replace(path string, content []byte) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	return os.Rename(temporary, path) //nolint:wrapcheck // it names both
}
