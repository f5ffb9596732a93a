// Package kafkaconn is the one place where a connection to Kafka is configured: brokers,
// TLS, SASL, time limits and how often the cluster's layout is asked for.
//
// kafka-go wants TLS and SASL set twice, in the Transport that a Client uses and in the
// Dialer that readers and consumer groups use; a Conn holds both, made from the same
// Flags, so that they cannot differ. Nothing here retries: that is the caller's business,
// who alone knows what waits behind it.
//
// A Conn keeps the layout of the topics that were asked about, and learns from it where the
// nodes of the cluster are: it outlives the brokers that it was given, as long as one node that
// it knows is left. A restart begins with the given ones again.
//
// Secrets (the SASL password, the client's private key) are read from files once, at Open.
// They are never part of an error or of a log line.
package kafkaconn
