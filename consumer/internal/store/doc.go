// Package store keeps what the consumer knows: alarms, the state of each app's period,
// notices, dead letters, and how far each partition was saved.
//
// Store is the interface of both databases, SQLite and PostgreSQL; the conformance suite in
// the tests is what both have to pass. The pipeline writes through it, in the consumer and
// in a replay of dead letters:
//
//	Begin ─▶ what is there already (Known, Periods, Progress), locked ─▶ Save ─▶ committed
//	                                                                 └─▶ Rollback
//
// Outbox is the other side, of the worker that sends the notices which Save left.
//
// # Invariants
//
//   - A transaction is all or nothing. When Save returns nil, everything in its Changes
//     is on disk: the offset of the records is committed to Kafka after that, and from then on
//     the rows are the only trace of them. So SQLite runs with synchronous=FULL; with
//     NORMAL, the last commits before a power loss would be gone while Kafka goes on
//     behind them. That costs one sync for a batch, which in batches of 500 is less than
//     runs differ among themselves: 24,700 to 31,000 alarms/s with FULL, 24,700 to
//     28,100 with NORMAL (BenchmarkSave, eight interleaved runs of each, two cores).
//   - One alarm id is one row, one (app, period, kind, step) one notice, one
//     (topic, partition, offset, record time) one dead letter, however often they are
//     saved.
//   - A dead letter is closed, by Changes.Replayed, in the transaction that saves what its
//     replay brought, and only once.
//   - Begin holds off every other Begin of the same partition, and of the same apps, until
//     the transaction is over, and a transaction ends with its context: a worker that lost
//     its partition cannot write over its successor. One whose process was stopped for longer
//     loses its transaction to the server (PostgreSQL), and what it has in hand it
//     handles once more, behind its successor: ids that exist are known, the progress does
//     not go back.
//   - Migrations only go forward. What a migration makes can be read by the release
//     before it; a database of a later release than the binary is not written to.
//
// # Owners
//
// This package owns the database file and its -wal and -shm companions, or the tables in the
// PostgreSQL schema; nothing else writes to them, but a second process may read through Open
// with Options.ReadOnly, or write, as a replay of dead letters does. In SQLite the two then
// write in turn, each waiting for the file's lock; in PostgreSQL any number of processes
// may write.
//
// # Cost
//
// A batch of 500 alarms with 64 apps' periods takes about twice what COPY of its alarms alone
// takes in a transaction of the same size (BenchmarkPostgres; figures in
// benchmarks/results/consumer.md).
package store
