package forward

import (
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/produce"
)

// state says where a topic's entries go.
type state uint8

const (
	open      state = iota // main journal -> lanes
	refused                // main journal -> parked journal
	returning              // parked journal -> lanes; main journal waits
)

// topic is one topic that entries are of. All of it is owned by the loop.
type topic struct {
	name    string
	state   state
	count   int32   // partitions that lanes stand for; 0: not known, one lane that takes nothing
	target  int32   // the new count while the lanes become idle; 0: none
	lanes   []*lane // by partition
	outlets []*outlet
	skips   []skip // cursors of former numberings

	parked  *stash // its parked entries
	single  *stash // its records that Kafka refused
	retryAt time.Time
	pausing bool // refused, and to be taken up when its lanes are idle: nothing more is parked
	backoff time.Duration

	delivered, refusals prometheus.Counter
	gauge               prometheus.Gauge
}

// skip holds the cursors of a numbering that is no more: an entry at or below the cursor of the
// partition that it had there was settled.
type skip struct {
	count   int32
	cursors []journal.LSN // by partition
}

// covers reports whether the entry was settled under the old numbering.
func (s *skip) covers(lsn journal.LSN, key []byte) bool {
	return lsn <= s.cursors[partitionOf(key, s.count)]
}

// partitionOf is produce.PartitionOf, and 0 where the count is not known.
func partitionOf(key []byte, count int32) int32 {
	if count == 0 {
		return 0
	}
	return produce.PartitionOf(key, count)
}

// highest returns the largest cursor: above it the skip says nothing.
func (s *skip) highest() (highest journal.LSN) {
	for _, c := range s.cursors {
		highest = max(highest, c)
	}
	return highest
}

// lane is one partition of one topic: what is in flight there, and where it stands.
type lane struct {
	topic     *topic
	partition int32
	cursor    string  // its name in the checkpoint
	out       *outlet // nil: the topic is not known yet

	window   window // taken from the main journal and not settled
	inflight int    // records in the producer's lane, of either journal
	full     bool   // the producer's lane said no and has not called since
	dirty    bool   // records were added since the last flush

	lagging bool
	next    journal.LSN // when lagging: no entry before it is left to take
	inPass  bool        // when lagging: the pass has offered it all its entries since next
}

// newLanes makes the lanes of a topic's count.
func (t *topic) newLanes(count int32) {
	t.count, t.lanes = count, nil
	for p := range max(1, count) {
		l := &lane{topic: t, partition: p, cursor: cursorName(t.name, count, p)}
		if count > 0 {
			l.out = t.outlets[p]
		}
		t.lanes = append(t.lanes, l)
	}
}

// lane returns the lane of a key.
func (t *topic) lane(key []byte) *lane { return t.lanes[partitionOf(key, t.count)] }

// settledAhead reports whether an entry is known as settled from a former numbering.
func (t *topic) settledAhead(lsn journal.LSN, key []byte) bool {
	for i := range t.skips {
		if t.skips[i].covers(lsn, key) {
			return true
		}
	}
	return false
}

// idle reports whether nothing of the topic is in flight, to Kafka or to the parked journal.
func (t *topic) idle() bool {
	for _, l := range t.lanes {
		if l.inflight > 0 || l.window.len() > 0 {
			return false
		}
	}
	return true
}

// inflight returns how many records the producer's lanes have.
func (t *topic) inflight() (n int) {
	for _, l := range t.lanes {
		n += l.inflight
	}
	return n
}

// lag lets the lane lag from lsn on, or from where it lags already when that is earlier.
func (l *lane) lag(lsn journal.LSN, f *Forwarder) {
	if l.lagging {
		lsn = min(lsn, f.position(l))
	}
	l.lagging, l.next, l.inPass = true, lsn, false
}

// Cursor names: a topic's name holds no slash.

func cursorName(topic string, count, partition int32) string {
	return topic + "/" + strconv.Itoa(int(count)) + "/" + strconv.Itoa(int(partition))
}

// parseCursor reads a cursor's name back; false: not one of ours.
func parseCursor(name string) (topic string, count, partition int32, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 3 {
		return "", 0, 0, false
	}
	n, err1 := strconv.ParseInt(parts[1], 10, 32)
	p, err2 := strconv.ParseInt(parts[2], 10, 32)
	if err1 != nil || err2 != nil || n < 0 || p < 0 || p >= max(1, n) || n > maxPartitions {
		return "", 0, 0, false
	}
	return parts[0], int32(n), int32(p), true
}

// maxPartitions bounds what a cursor's name may make us allocate.
const maxPartitions = 100_000
