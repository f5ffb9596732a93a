//go:build linux

// Command compare measures the gateway beside handlers that only answer, in one run on one
// machine, so that what is read is the ratio and not the machine.
//
// # Servers
//
// They take turns in rounds, each as a process of its own that is started, warmed up,
// driven and killed; what it wrote is removed and the disk settled before the next.
//
//   - bare: fasthttp, answers the envelope. The limit.
//   - park: bare, and before the answer a grouped wait: a mutex, one wake-up a batch, a
//     committer that sleeps as long as one fdatasync of 4 KiB takes on this disk (measured
//     at the start and printed). It keeps nothing: the floor, in CPU, of a group commit for
//     which fasthttp's handler waits, as the gateway's does not at disk (receive/held.go);
//     under load a real fdatasync is longer than its sleep.
//   - memory, disk, broker: the gateway at that ack level.
//   - bare tls, disk tls: the same over TLS 1.3 with a certificate (ECDSA P-256) that is made for the
//     run. Connections are negotiated before anything is counted; the driver does a client's
//     cryptography in its one thread, so look at whether it was the limit.
//
// # Loops
//
// Every server gets the same bytes from the same driver: one thread on epoll, keep-alive
// connections. In a closed loop each connection sends when it has its answer. In an open
// loop arrivals are due on a schedule that nothing moves, by a timer in the same epoll;
// one for which no connection is free waits for one, and its latency counts from when it
// was due. What is still not answered two seconds after the end is counted, and is in the
// latencies with the time it has waited.
//
// The driver costs little, but on two cores it is beside the server. A turn in which it
// used its whole core, or sent so late that this is more than half of the 99th percentile,
// says so: its figures are the load generator's limit.
//
// # Scenarios
//
// Kafka is away; or there (--brokers, else an embedded broker in a process of its own for
// each turn); or returning: the embedded broker leaves after the warm-up and comes back
// when counting begins, so that the latencies are those of a gateway that is catching up.
// There are no closed loops then: they would wait for what is measured. At the level
// broker a closed loop waits for Kafka; that is what it measures.
//
// # Figures
//
// CPU seconds of the server's process per million requests first, since it is what a
// machine costs and depends least on who else is on it; then rates, latency percentiles,
// syncs a second and entries a sync (from the gateway's metrics), memory at the end. Each
// is the median of the rounds, with ratios to bare and to park taken within a round, and
// their spread.
//
// All are per answer of 200. A refusal (503 or 429 with the envelope: the disk may stall for
// longer than a callback waits) is counted apart, so that it never makes a server look fast: its time
// is in no latency, its CPU is shared by the 200s. A turn with more than 0.1 % of refusals
// says nothing about speed and is in no median; the tables say so. Any other answer, and
// a closed connection, ends the run.
//
// The folder --out gets the raw turns as JSON lines, the tables as Markdown with the
// command in them, and the charts as SVG. `compare goals` puts them beside the floors and goals,
// into goals.md.
package main
