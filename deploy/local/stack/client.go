package stack

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/tidegate/tidegate/internal/kafkaconn"
)

// newClient returns a client of the cluster that f names. It is another library than the
// one that both binaries use, on purpose: what a test reads with it was not read by the
// code under test. The caller closes it.
func newClient(f kafkaconn.Flags, more ...kgo.Opt) (*kgo.Client, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	options := append([]kgo.Opt{kgo.SeedBrokers(f.Brokers...), kgo.ClientID("tidegate-stack"), kgo.MetadataMinAge(100 * time.Millisecond)}, more...)
	if f.TLS {
		config, err := f.TLSConfig()
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.DialTLSConfig(config))
	}
	if f.SASL != "" {
		mechanism, err := mechanism(f)
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.SASL(mechanism))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("make a Kafka client: %w", err)
	}
	return client, nil
}

func mechanism(f kafkaconn.Flags) (sasl.Mechanism, error) {
	data, err := os.ReadFile(f.SASLPasswordFile)
	if err != nil {
		return nil, fmt.Errorf("read --kafka-sasl-password-file: %w", err)
	}
	password := strings.TrimRight(string(data), "\r\n")
	switch f.SASL {
	case "plain":
		return plain.Auth{User: f.SASLUser, Pass: password}.AsMechanism(), nil
	case "scram-sha-256":
		return scram.Auth{User: f.SASLUser, Pass: password}.AsSha256Mechanism(), nil
	case "scram-sha-512":
		return scram.Auth{User: f.SASLUser, Pass: password}.AsSha512Mechanism(), nil
	}
	return nil, errors.New("--kafka-sasl: want plain, scram-sha-256 or scram-sha-512")
}

// KafkaFlags returns f as the flags of a binary, sorted.
func KafkaFlags(f kafkaconn.Flags) []string {
	flags := []string{"--brokers=" + strings.Join(f.Brokers, ",")}
	for name, value := range map[string]string{
		"topic-prefix": f.TopicPrefix, "kafka-tls-ca": f.TLSCA, "kafka-tls-cert": f.TLSCert, "kafka-tls-key": f.TLSKey,
		"kafka-sasl": f.SASL, "kafka-sasl-user": f.SASLUser, "kafka-sasl-password-file": f.SASLPasswordFile,
	} {
		if value != "" {
			flags = append(flags, "--"+name+"="+value)
		}
	}
	if f.TLS {
		flags = append(flags, "--kafka-tls")
	}
	if f.SASLPlaintext {
		flags = append(flags, "--kafka-sasl-plaintext")
	}
	slices.Sort(flags)
	return flags
}
