package kafkaconn

import "errors"

// Mistakes in Flags. The process says so and stops: none mends itself.
var (
	// ErrNoBrokers means that --brokers is missing.
	ErrNoBrokers = errors.New("no brokers: set --brokers HOST:PORT[,HOST:PORT...]")

	// ErrPlaintextSASL means that a password would cross the network unprotected.
	ErrPlaintextSASL = errors.New("sasl without tls sends credentials in clear: add --kafka-tls, or --kafka-sasl-plaintext to permit it")

	// ErrTLSOff means that a TLS file was named and TLS was not asked for.
	ErrTLSOff = errors.New("a tls file is named, but tls is off: add --kafka-tls")

	// ErrSASLOff means that a SASL user or password was named without a mechanism.
	ErrSASLOff = errors.New("a sasl user or password file is named, but no mechanism: add --kafka-sasl")
)
