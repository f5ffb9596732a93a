// Package forward carries entries from the journal to Kafka.
//
// What it promises:
//
//   - Every synced entry is delivered, or stands in the parked journal, or is still unsettled in
//     the main one. Nothing is dropped.
//   - Entries of one key go out in the order of their LSNs, and so do parked entries before
//     newer ones of their topic. Single records that Kafka refused are the exception: they are
//     kept aside and tried again on their own.
//   - What Kafka took since the last checkpoint may go out again after a crash, no more.
//   - Memory is bounded whatever is away: two batches for each lane and a few numbers for each
//     entry in them.
//   - A lane that is stuck holds up nobody else. (While a topic returns from being parked, a
//     stuck partition of it holds up that topic, and no other.)
//
// # Two readers
//
// A lane is one partition of one topic. The live reader goes through the journal and gives each
// entry to its lane. A lane whose batches are full gets a moment; then it lags: its position is
// its first entry that was not taken, and the live reader goes on for the others. When
// lagging lanes can take again, one catch-up reader makes a pass, from the smallest position of
// those up to where the live reader is, and gives each lagging lane its entries; lanes that
// last until the pass ends have rejoined. A lane that cannot take drops out of the pass and is
// served by a later one. While Kafka is away as a whole the live reader rests; and while it meets
// nothing but lanes that lag and are about to take, since all that it read then would be read again.
//
// So what is settled needs no list of entries: all entries of a lane are settled up to its
// first one in flight, else up to its position when it lags, else up to the live reader. The
// smallest of these is the journal's settled watermark; the others are the cursors that the
// checkpoint keeps, by which a restart passes over what was settled ahead of it.
//
// # Pace
//
// Catching up takes what the syncs leave: while their 99th percentile of the last second is
// above twice what it is in quiet times, entries go out more slowly, else faster, and never
// below 1.5 times the rate at which they come (pace.go).
//
// # Requests
//
// Nobody waits for most deliveries, and a request costs us and the broker more than a hundred
// more records in one that goes anyway. So the loop looks at what was synced at most once in
// 5 ms, and requests of a lane whose batch is not nearly full are at least 50 ms apart; an entry
// that comes alone goes out at once. While somebody waits, at ack level broker, the loop looks
// after every sync, and requests are at least 5 ms apart.
//
// # Partitions added or removed
//
// When a topic's number of partitions changes, its lanes take nothing more until all that they
// hold is answered; then they are replaced, and their positions are kept as cursors of the
// old numbering: an entry below the cursor of its old lane was settled there.
//
// # Topics that refuse
//
// A topic that is missing or closed to us is parked: its lanes get back what they had, and
// their entries are appended, in order, to the parked journal, each in an envelope with its
// identity. Once synced there they count as settled. When the topic answers again, its lanes
// take nothing from the main journal until all that was parked has been delivered. A record
// that Kafka refuses for what it is (too large) is kept in the parked journal too, with its
// reason, and is tried again after a restart and from time to time.
//
// # Entries that nobody can decode
//
// A newer release wrote them, or they are wrong in a way that no checksum sees. Passing over
// them would lose them, and ending would lose what comes meanwhile; so delivery halts there,
// for all topics, until Skip settles the entry or a release runs that can read it. What stands
// in the parked journal behind such an entry, and its topics, wait too: the entry may be of any
// of them. Skipped entries are cursors of the checkpoint until all before them is settled.
//
// Who owns what: one goroutine, the loop of Run, owns all state. Lanes of the producer hand
// their settlements over through a mailbox, Look and Skip are run by the loop between two of its
// turns; metrics, TopicRefused and Halted read atomics.
package forward
