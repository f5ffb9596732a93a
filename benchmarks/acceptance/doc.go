// Package acceptance holds the tests of what Tidegate promises, against the real binaries
// in bin/: `make build` first. Each scenario brings up a whole stack, treats it badly, and
// then compares what is in Kafka and in the database with a ledger that was kept outside.
//
// # Against which Kafka
//
// By default each scenario has an embedded broker of its own. With TIDEGATE_TEST_BROKERS
// all use the cluster there, whose four topics (without a prefix) must exist; scenarios then
// look only at what came after they began and at apps of their own.
//
//	TIDEGATE_TEST_BROKERS        HOST:PORT,...
//	TIDEGATE_TEST_KAFKA_FLAGS    flags of the connection for everyone, as: --kafka-tls --kafka-tls-ca=FILE
//	TIDEGATE_TEST_KAFKA_SECRETS  a folder with ca.pem and USER.password for gateway, consumer and admin:
//	                             each speaks TLS and SCRAM-SHA-512 as its own user; and for reader and
//	                             admin USER.properties, for Java, and USER.librdkafka
//	TIDEGATE_TEST_KAFKA_SH       deploy/kafka/kafka.sh, with its environment, to take the cluster away and
//	                             bring it back, and to run Kafka's Java tools
//
// TestForeignReaders reads with programs of others: Kafka's Java tools, which come with a
// real Kafka only, and kcat, which must then be installed; without one it is tried where
// it is installed.
//
// # How hard
//
// The default sizes, in brackets, keep the whole package within minutes on two cores. What
// `make acceptance` sets for the published table stands behind them.
//
//	TIDEGATE_TEST_RATE    callbacks a second (400)
//	TIDEGATE_TEST_KILLS   kills of the gateway (2; make acceptance: KILLS, else 20)
//	TIDEGATE_TEST_OUTAGE  how long Kafka is away (6s)
//	TIDEGATE_TEST_STALL   how long a process stands still (1s; make acceptance: 10s)
//	TIDEGATE_TEST_SEED    what the moments of random faults are drawn by (the clock; it is logged)
//
// # The proof
//
// Tests named TestProof... are the fault scenarios: each adds a row to the table of package
// proof, in the folder of TIDEGATE_TEST_REPORT where that is set. `make acceptance` runs them
// against three nodes of real Kafka and writes benchmarks/results/acceptance.md.
package acceptance
