package edge

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tidegate/tidegate/internal/reload"
)

const (
	// soon is how long before its end a certificate that is renewed by a machine has been
	// renewed long ago.
	soon = 14 * 24 * time.Hour

	// maxKeyBytes bounds a key file: a larger one is not a key.
	maxKeyBytes = 1 << 20
)

// Certificate is a certificate chain with its key. It is immutable.
type Certificate struct {
	keyPath string
	pair    tls.Certificate // with Leaf
}

// Files returns the path of the key, so that it is watched with the certificate.
func (c *Certificate) Files() []string { return []string{c.keyPath} }

// NotAfter returns when the certificate expires.
func (c *Certificate) NotAfter() time.Time { return c.pair.Leaf.NotAfter }

// ParseCertificate returns the parser of a PEM file with the certificate first and then those
// that lead to its root. The key is in the file at keyPath, PEM too and not encrypted, and is
// watched with it. A pair that does not belong together is not taken. What is said about a key
// holds nothing of it.
func ParseCertificate(keyPath string) reload.Parse[*Certificate] {
	return func(data []byte) (*Certificate, reload.Problems) {
		c := &Certificate{keyPath: keyPath}
		var problems reload.Problems
		key, err := readKey(keyPath)
		if err != nil {
			problems.Add(reload.Pos{}, "key %s: %v", keyPath, err)
		}
		if err := onlyCertificates(data); err != nil {
			problems.Add(reload.Pos{}, "%v", err)
		}
		if problems != nil {
			return c, problems
		}
		if c.pair, err = tls.X509KeyPair(data, key); err != nil {
			problems.Add(reload.Pos{}, "certificate and key %s are no pair: %v", keyPath, err)
		}
		return c, problems
	}
}

// onlyCertificates says what is wrong with a PEM file that shall hold certificates.
func onlyCertificates(data []byte) error {
	found := false
	for len(data) > 0 {
		block, rest := pem.Decode(data)
		switch {
		case block == nil && !found:
			return errors.New("holds no PEM block; write the certificate as -----BEGIN CERTIFICATE-----")
		case block == nil && len(strings.TrimSpace(string(rest))) > 0:
			return errors.New("is cut off, or has something behind the last certificate; write whole PEM blocks only")
		case block == nil:
			return nil
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return errors.New("holds a private key; write that to a file of its own, which others cannot read")
		case block.Type != "CERTIFICATE":
			return errors.New("holds a PEM block that is no certificate; write certificates only")
		}
		data, found = rest, true
	}
	if !found {
		return errors.New("is empty; write the certificate as -----BEGIN CERTIFICATE-----")
	}
	return nil
}

// readKey returns the content of the key's file.
func readKey(path string) ([]byte, error) {
	data, err := reload.ReadFile(path, maxKeyBytes)
	if err != nil {
		return nil, err
	}
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return data, nil
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return nil, errors.New("is encrypted; write it without a passphrase, mode 0600")
		}
	}
}

// Warnings returns what an operator should know of a certificate that works, or did: a client
// that checks it refuses it, or will soon.
func (c *Certificate) Warnings(now time.Time) (warnings []string) {
	leaf := c.pair.Leaf
	warnings = validity(leaf, now)
	if len(leaf.DNSNames) == 0 && len(leaf.IPAddresses) == 0 {
		warnings = append(warnings, "names no host (no subjectAltName), so clients refuse it")
	}
	return warnings
}

// validity says whether a certificate is outside its time, or soon will be.
func validity(c *x509.Certificate, now time.Time) []string {
	left := c.NotAfter.Sub(now)
	switch {
	case now.Before(c.NotBefore):
		return []string{"is not valid before " + date(c.NotBefore)}
	case left < 0:
		return []string{"has expired on " + date(c.NotAfter)}
	case left < soon:
		return []string{fmt.Sprintf("expires on %s, in %.0f days", date(c.NotAfter), left.Hours()/24)}
	}
	return nil
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// KeyWarning says that others on this machine can read the key, and "" where they cannot.
func (c *Certificate) KeyWarning() string {
	info, err := os.Stat(c.keyPath)
	if err == nil && info.Mode().Perm()&0o007 != 0 {
		return fmt.Sprintf("everybody on this machine can use the key (mode %04o); make it 0600", info.Mode().Perm())
	}
	return ""
}

// String says for whom the certificate is and until when. It holds no secret.
func (c *Certificate) String() string {
	leaf := c.pair.Leaf
	names := append([]string{}, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = []string{"nobody"}
	}
	return fmt.Sprintf("for %s until %s", strings.Join(names, ", "), date(leaf.NotAfter))
}

// ClientCA are the authorities of whose certificates clients have to show one. It is immutable.
type ClientCA struct {
	pool *x509.CertPool
	all  []*x509.Certificate
}

// ParseClientCA reads a PEM file with the certificates of authorities.
func ParseClientCA(data []byte) (*ClientCA, reload.Problems) {
	ca := &ClientCA{pool: x509.NewCertPool()}
	var problems reload.Problems
	if err := onlyCertificates(data); err != nil {
		problems.Add(reload.Pos{}, "%v", err)
		return ca, problems
	}
	for n := 1; ; n++ {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return ca, problems
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			problems.Add(reload.Pos{}, "certificate %d cannot be read: %v", n, err)
			continue
		}
		ca.pool.AddCert(c)
		ca.all = append(ca.all, c)
	}
}

// Len returns the number of authorities.
func (ca *ClientCA) Len() int { return len(ca.all) }

// Warnings returns what an operator should know of authorities by whom nobody is let in.
func (ca *ClientCA) Warnings(now time.Time) (warnings []string) {
	for i, c := range ca.all {
		of := fmt.Sprintf("certificate %d ", i+1)
		if c.BasicConstraintsValid && !c.IsCA {
			warnings = append(warnings, of+"is no authority: it lets in itself only")
		}
		for _, w := range validity(c, now) {
			warnings = append(warnings, of+w)
		}
	}
	return warnings
}
