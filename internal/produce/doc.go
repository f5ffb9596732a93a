// Package produce is the idempotent producer of both binaries, on kafka-go's RawProduce.
//
// What it promises:
//
//   - A record that was added to a Lane is delivered, or handed back with a definite refusal,
//     or still being tried when the producer is closed. It is never dropped.
//   - Records of one lane reach Kafka in the order in which they were added, and once, as long
//     as the cluster knows the lane's producer id. When that is lost (answers 45, 47, 59), what
//     was in flight goes out again under a new id: duplicates, which readers know by ce_id.
//   - Memory is bounded by two batches for each lane, and with compression what is sent of
//     them, whatever is away.
//
// A lane is one partition of one topic, with a producer id, a sequence and a goroutine of its
// own, and exactly one request in flight: kafka-go spreads concurrent requests over several
// connections, and a fresh producer id accepts whatever sequence comes first, so with more
// than one in flight the order can be lost for good. Throughput comes from batches: while one
// is in flight the next one fills.
//
// A batch is sent with the same records under the same sequence until it is answered, because
// the attempt before may have been applied: the same sequence with other boundaries would be
// refused (45). Only an answer that says "nothing of this was taken" permits other boundaries.
// What each answer means stands in one table, errors.go, by code and never by text. What is
// compressed (compression.go) is compressed once: every attempt sends the records in the same bytes.
//
// The forwarder has lanes of its own and hears of each record as an Owner. Whoever wants to
// wait calls Produce (call.go), whose lanes all callers share.
//
// Who owns what: the filling batch of a lane is guarded by its mutex; the batch in flight, the
// producer id and the sequence belong to the lane's goroutine. The producer owns all lanes'
// goroutines: Close cancels them and waits. The layout of topics is polled by Run.
package produce
