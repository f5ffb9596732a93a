// Package pipeline is what happens to a batch of raw records: one function, Handle, and
// five stages that it calls in a row.
//
//	decode   []schema.Record → decoded    what the record says, or why it is a dead letter
//	load     decoded         → loaded     a transaction: what is known, the apps' periods
//	apply    loaded          → applied    new alarms, periods, notices, by the rules of quota
//	save     applied         → saved      rows and progress, committed
//	publish  saved           → published  stored event bytes, dead letters, acks=all
//
// Each stage takes the result of the one before and has a result type of its own, so a
// wrong order does not compile. Each record leaves with exactly one Outcome.
//
// What holds when Handle returned nil: every alarm of the batch is one row; its event was
// answered by Kafka at least once, every copy byte for byte the same; every record that
// cannot be used is a row of dead_letter and a record of the dead letters' topic, or, where
// one of the two refused it for good, in the other and in the log. From then on
// the caller may commit the offset. After a crash before that commit the records come again, the database
// recognises what it has, and the stored bytes are published again.
//
// Nothing about an app is kept between batches: the database's row is the state. A
// dependency that is away blocks Handle, with backoff and jitter; nothing is dropped,
// skipped or put aside for later, which would break the order. Only what the data itself
// causes is isolated, by halving the batch down to the record, and becomes a dead letter.
//
// Replay takes saved dead letters through the same stages instead of fetched records, and
// closes their rows in the transaction that saves what they brought.
//
// Transactions: load begins one, save ends it, and every way out between the two rolls it
// back. Handle may be called from several goroutines, one per partition.
package pipeline
