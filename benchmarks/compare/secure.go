//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/benchmarks/drive"
)

// pair is a certificate for 127.0.0.1 that signs itself, made for one run.
type pair struct {
	cert, key string // paths
	roots     *x509.CertPool
}

// newPair makes a pair in dir.
func newPair(dir string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("certificate: %w", err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return pair{}, fmt.Errorf("certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, fmt.Errorf("certificate: %w", err)
	}
	p := pair{cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key"), roots: x509.NewCertPool()}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	p.roots.AppendCertsFromPEM(chain)
	return p, errors.Join(
		os.WriteFile(p.cert, chain, 0o600),
		os.WriteFile(p.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

// client is what the driver connects with; nil where it shall not be over TLS.
func (p pair) client(on bool) *tls.Config {
	if !on {
		return nil
	}
	return &tls.Config{RootCAs: p.roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13}
}

// secure is TLS over a connection of the driver's: what is read and written goes by its
// descriptor, which does not block. Owned by the driver's loop.
type secure struct {
	net.Conn        // while it is negotiated; nothing is called on it after
	fd       int    // after
	sealed   []byte // what Write was given
	tls      *tls.Conn
}

// negotiate does the handshake over raw, which blocks. fd is to be set after it.
func negotiate(raw net.Conn, config *tls.Config) (*secure, error) {
	s := &secure{Conn: raw, fd: -1}
	s.tls = tls.Client(s, config)
	if err := raw.SetDeadline(time.Now().Add(drive.Starting)); err != nil {
		return nil, fmt.Errorf("driver: negotiate: %w", err)
	}
	if err := s.tls.Handshake(); err != nil {
		return nil, fmt.Errorf("driver: negotiate: %w", err)
	}
	return s, nil
}

// seal returns the bytes to be sent for request. They live until the next call.
func (s *secure) seal(request []byte) ([]byte, error) {
	s.sealed = s.sealed[:0]
	if _, err := s.tls.Write(request); err != nil {
		return nil, fmt.Errorf("driver: seal: %w", err)
	}
	return s.sealed, nil
}

// read reads all that has come: TLS may hold what the kernel no longer tells of. EAGAIN: nothing
// has; 0: the server closed the connection.
func (s *secure) read(p []byte) (n int, err error) {
	for n < len(p) {
		more, err := s.tls.Read(p[n:])
		n += more
		switch {
		case errors.Is(err, io.EOF):
			return n, nil
		case n > 0 && errors.Is(err, unix.EAGAIN):
			return n, nil
		case err != nil:
			return n, err
		}
	}
	return n, nil
}

// again is EAGAIN as TLS takes it: the connection can be read again.
type again struct{ error }

func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }
func (a again) Unwrap() error { return a.error }

// Read reads ciphertext for TLS.
func (s *secure) Read(p []byte) (int, error) {
	if s.fd < 0 {
		return s.Conn.Read(p)
	}
	n, err := unix.Read(s.fd, p)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return 0, again{err}
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write takes ciphertext of TLS, to be sent by the loop.
func (s *secure) Write(p []byte) (int, error) {
	if s.fd < 0 {
		return s.Conn.Write(p)
	}
	s.sealed = append(s.sealed, p...)
	return len(p), nil
}
