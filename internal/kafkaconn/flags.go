package kafkaconn

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// Flags are the settings of a connection, embedded by both binaries. The zero value is
// refused by Open (ErrNoBrokers); everything but Brokers is optional.
type Flags struct {
	Brokers          []string `name:"brokers" placeholder:"HOST:PORT" help:"Kafka brokers to start from, separated by commas; the others are found."`
	TopicPrefix      string   `name:"topic-prefix" help:"Put before the name of every topic."`
	TLS              bool     `name:"kafka-tls" help:"Speak TLS (1.2 or newer) to the brokers."`
	TLSCA            string   `name:"kafka-tls-ca" placeholder:"FILE" help:"PEM file with the authorities that sign the brokers' certificates; default: the system's."`
	TLSCert          string   `name:"kafka-tls-cert" placeholder:"FILE" help:"PEM file with the client certificate; needs --kafka-tls-key."`
	TLSKey           string   `name:"kafka-tls-key" placeholder:"FILE" help:"PEM file with the client certificate's private key."`
	SASL             string   `name:"kafka-sasl" enum:",plain,scram-sha-256,scram-sha-512" default:"" placeholder:"MECHANISM" help:"Authenticate by SASL: plain, scram-sha-256 or scram-sha-512; empty: not at all."`
	SASLUser         string   `name:"kafka-sasl-user" placeholder:"NAME" help:"User of SASL."`
	SASLPasswordFile string   `name:"kafka-sasl-password-file" placeholder:"FILE" help:"File that holds the SASL password; a newline at its end is left out."`
	SASLPlaintext    bool     `name:"kafka-sasl-plaintext" help:"Permit SASL without TLS: the credentials cross the network in clear."`
}

// Check says whether f is complete and agrees with itself, without touching a file or the
// network. Errors are the sentinels of this package or name the flag at fault.
func (f Flags) Check() error {
	switch {
	case len(f.addresses()) == 0:
		return ErrNoBrokers
	case !f.TLS && (f.TLSCA != "" || f.TLSCert != "" || f.TLSKey != ""):
		return ErrTLSOff
	case (f.TLSCert == "") != (f.TLSKey == ""):
		return fmt.Errorf("--kafka-tls-cert and --kafka-tls-key go together: one is missing")
	case f.SASL == "" && (f.SASLUser != "" || f.SASLPasswordFile != ""):
		return ErrSASLOff
	case f.SASL != "" && (f.SASLUser == "" || f.SASLPasswordFile == ""):
		return fmt.Errorf("--kafka-sasl needs --kafka-sasl-user and --kafka-sasl-password-file")
	case f.SASL != "" && !f.TLS && !f.SASLPlaintext:
		return ErrPlaintextSASL
	}
	return nil
}

// maxPrefix leaves room in Kafka's 249 bytes for the names that follow.
const maxPrefix = 200

// CheckPrefix returns an error where TopicPrefix is no beginning of a topic's name.
func (f Flags) CheckPrefix() error {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	}
	if len(f.TopicPrefix) > maxPrefix || strings.ContainsFunc(f.TopicPrefix, other) {
		return fmt.Errorf("--topic-prefix: want up to %d letters, digits, dots, dashes and underscores, have %q", maxPrefix, f.TopicPrefix)
	}
	return nil
}

// addresses returns the brokers without blanks and empty items: "a:1, b:2," is how people
// write lists.
func (f Flags) addresses() []string {
	var list []string
	for _, item := range f.Brokers {
		for part := range strings.SplitSeq(item, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
	}
	return list
}

// TLSConfig returns what TLS needs, nil where it is off. The files are read now; a renewed
// certificate needs a restart.
func (f Flags) TLSConfig() (*tls.Config, error) {
	if !f.TLS {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.TLSCA != "" {
		pem, err := os.ReadFile(f.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("read --kafka-tls-ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read --kafka-tls-ca: %s holds no PEM certificate", f.TLSCA)
		}
	}
	if f.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(f.TLSCert, f.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("read --kafka-tls-cert and --kafka-tls-key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// mechanism returns the SASL mechanism, nil where it is off. The password lives in the
// mechanism only.
func (f Flags) mechanism() (sasl.Mechanism, error) {
	if f.SASL == "" {
		return nil, nil
	}
	data, err := os.ReadFile(f.SASLPasswordFile)
	if err != nil {
		return nil, fmt.Errorf("read --kafka-sasl-password-file: %w", err)
	}
	password := strings.TrimRight(string(data), "\r\n")
	if password == "" {
		return nil, fmt.Errorf("read --kafka-sasl-password-file: %s is empty", f.SASLPasswordFile)
	}
	switch f.SASL {
	case "plain":
		return plain.Mechanism{Username: f.SASLUser, Password: password}, nil
	case "scram-sha-256":
		return prepared(scram.Mechanism(scram.SHA256, f.SASLUser, password))
	case "scram-sha-512":
		return prepared(scram.Mechanism(scram.SHA512, f.SASLUser, password))
	}
	return nil, fmt.Errorf("--kafka-sasl is %q: want plain, scram-sha-256 or scram-sha-512", f.SASL)
}

// prepared hides the text of a SCRAM preparation error: stringprep's messages quote the
// password's characters.
func prepared(m sasl.Mechanism, err error) (sasl.Mechanism, error) {
	if err != nil {
		return nil, fmt.Errorf("--kafka-sasl-user or the password holds characters that SCRAM (RFC 4013) forbids")
	}
	return m, nil
}
