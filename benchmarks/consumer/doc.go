//go:build linux

// Command consumer measures the consumer's real binary on loopback: how fast, how large, how
// soon. Each part starts what it needs, and ends it.
//
// # Parts
//
//   - sqlite, postgres: a table that holds millions of rows already, a topic that holds millions
//     of raw alarms, and a consumer that works them off: from the raw topic to a saved row, a
//     published event and a committed offset. What counts is the consumer's own counter of
//     saved alarms, which moves when all of that but the commit is done, and afterwards is held
//     against rows, offsets and events. After each turn the consumer is stopped (SIGSTOP) while
//     the baseline has its own: the rows that it saved last, written again in bulk into a table
//     of the same columns and indexes, and nothing else. Over PostgreSQL that table held as many
//     rows before; over SQLite, where nothing is judged by it, it began empty. The consumer's
//     memory is the most that it ever had resident.
//   - store: the benchmark of the store alone over PostgreSQL, of consumer/internal/store.
//   - live: callbacks on schedule to the real gateway at ack level disk; from the gateway's
//     answer to the event that a reader of the enriched topic has, and from the sending of a
//     callback that crosses a step to the answer of the Alertmanager that was told. A Kafka that
//     has just begun, or has had other work, still has its JIT compile the code for small
//     requests: at 500 a second that takes half a processor for over a minute and a tenth of one
//     for the minute after, and raises latencies. So the part begins with time that does not
//     count (--settle), once, before SQLite's turns. Crossings count from the first callback on,
//     settling included, and their samples are the four steps in place of rounds.
//   - rebalance: a second consumer joins, and is killed; from the first moment in which the
//     group's coordinator says that the generation is stable to the first event of each
//     partition.
//
// # Limits
//
// Kafka, the database, the driver and the consumer share the machine's processors. The page
// says how busy those were, but for store and rebalance.
package main
