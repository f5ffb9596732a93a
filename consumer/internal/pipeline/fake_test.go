package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

const testGroup = "tidegate"

var topics = schema.NewTopics("")

// now is the clock of the tests: a few seconds after receipt.
func now() time.Time { return received.Add(3 * time.Second) }

// snapshot is an apps file with one app.
func snapshot(t testing.TB) *apps.Snapshot {
	t.Helper()
	s, problems := apps.Parser(apps.Options{})([]byte("apps:\n  - {sdk_app_id: 1400000001, name: Harbor Chat, owner: team-harbor, tier: pro, site: cn}\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return s
}

// memory is a store in memory, which can refuse.
type memory struct {
	begin func() error              // nil: begins
	save  func(store.Changes) error // nil: saves

	mu       sync.Mutex
	alarms   map[string]store.Alarm
	periods  map[int64]quota.Period
	notices  map[string]quota.Notice // by what makes one unique
	letters  map[string]schema.DeadLetter
	progress map[int32]store.Progress
	begun    int
	open     int // transactions that are neither saved nor rolled back
}

func (m *memory) Begin(ctx context.Context, topic string, partition int32, ids []string, appIDs []int64) (store.Tx, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun++
	if m.begin != nil {
		if err := m.begin(); err != nil {
			return nil, err
		}
	}
	if !slices.IsSorted(ids) || !slices.IsSorted(appIDs) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		return nil, fmt.Errorf("ids %v or apps %v are not sorted sets: two consumers could lock rows crosswise", ids, appIDs)
	}
	m.open++
	tx := &memoryTx{m: m, ctx: ctx, known: map[string]store.Saved{}, periods: map[int64]quota.Period{}}
	for _, id := range ids {
		if a, ok := m.alarms[id]; ok {
			tx.known[id] = store.Saved{Topic: a.Event.RawTopic, Partition: a.Event.RawPartition, Offset: a.Event.RawOffset, Event: a.EventBytes}
		}
	}
	for _, id := range appIDs {
		if p, ok := m.periods[id]; ok {
			tx.periods[id] = p
		}
	}
	tx.progress, tx.ok = m.progress[partition]
	return tx, nil
}

// MarkPublished does nothing: the replay's tests run over a real database.
func (m *memory) MarkPublished(context.Context, []int64) error { return nil }

type memoryTx struct {
	m        *memory
	ctx      context.Context
	known    map[string]store.Saved
	periods  map[int64]quota.Period
	progress store.Progress
	ok, over bool
}

func (tx *memoryTx) Known() map[string]store.Saved    { return tx.known }
func (tx *memoryTx) Periods() map[int64]quota.Period  { return tx.periods }
func (tx *memoryTx) Progress() (store.Progress, bool) { return tx.progress, tx.ok }

func (tx *memoryTx) Rollback() {
	tx.m.mu.Lock()
	defer tx.m.mu.Unlock()
	tx.end()
}

func (tx *memoryTx) end() {
	if !tx.over {
		tx.over = true
		tx.m.open--
	}
}

func (tx *memoryTx) Save(_ context.Context, c store.Changes) error {
	m := tx.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if tx.over {
		panic("BUG: saved twice")
	}
	tx.end()
	if err := tx.ctx.Err(); err != nil {
		return err
	}
	if m.save != nil {
		if err := m.save(c); err != nil {
			return err
		}
	}
	if m.alarms == nil {
		m.alarms, m.periods = map[string]store.Alarm{}, map[int64]quota.Period{}
		m.letters, m.progress = map[string]schema.DeadLetter{}, map[int32]store.Progress{}
		m.notices = map[string]quota.Notice{}
	}
	for _, a := range c.Alarms {
		m.alarms[a.Event.AlarmID] = a
	}
	for _, d := range c.Deliveries {
		a := m.alarms[d.AlarmID]
		a.Deliveries += d.Count
		m.alarms[d.AlarmID] = a
	}
	maps.Copy(m.periods, c.Periods)
	for _, n := range c.Notices {
		if _, there := m.notices[noticeID(&n)]; !there { // as the databases' ON CONFLICT DO NOTHING
			m.notices[noticeID(&n)] = n
		}
	}
	for _, l := range c.DeadLetters {
		m.letters[coordinates(&l.Record)] = l
	}
	old, ok := m.progress[c.Progress.Partition]
	if next := c.Progress; !ok || next.Offset > old.Offset || next.Newest.After(old.Newest) {
		m.progress[next.Partition] = next
	}
	return nil
}

// noticeID is what a notice is unique by.
func noticeID(n *quota.Notice) string {
	return fmt.Sprintf("%d %s %s %s", n.AppID, n.Period, n.Kind, n.Step)
}

func coordinates(r *schema.Record) string {
	return fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset)
}

// sink is a producer that keeps what it got.
type sink struct {
	refuse func(*schema.Record) error // nil: takes all
	stop   int                        // after so many records it fails, as a crash would; 0: never

	records []schema.Record
}

var errStopped = errors.New("crashed while producing")

func (s *sink) Produce(_ context.Context, records []schema.Record) (refused []error, err error) {
	if len(records) == 0 {
		panic("BUG: nothing to produce")
	}
	for i := range records {
		if s.stop > 0 && len(s.records) == s.stop {
			s.stop = -1
			return nil, errStopped
		}
		if s.refuse != nil {
			if err := s.refuse(&records[i]); err != nil {
				if refused == nil {
					refused = make([]error, len(records))
				}
				refused[i] = err
				continue
			}
		}
		r := records[i]
		r.Key, r.Value, r.Headers = slices.Clone(r.Key), slices.Clone(r.Value), slices.Clone(r.Headers)
		s.records = append(s.records, r)
	}
	return refused, nil
}

// to returns what was produced to a topic.
func (s *sink) to(topic string) (records []schema.Record) {
	for _, r := range s.records {
		if r.Topic == topic {
			records = append(records, r)
		}
	}
	return records
}

// rig is a pipeline over a store and a sink.
type rig struct {
	*Pipeline
	store *memory
	sink  *sink
	logs  *observer.ObservedLogs
}

func newRig(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	apps1 := snapshot(t)
	core, logs := observer.New(zap.DebugLevel)
	r := &rig{store: &memory{}, sink: &sink{}, logs: logs}
	o := Options{
		Store: r.store, Producer: r.sink, Apps: func() *apps.Snapshot { return apps1 }, Topics: topics, Group: testGroup,
		Now: now, Log: zap.New(core), Metrics: prometheus.NewRegistry(),
	}
	if change != nil {
		change(&o)
	}
	r.Pipeline = New(o)
	return r
}

// handle hands over records, and fails the test on an error.
func (r *rig) handle(t testing.TB, records ...schema.Record) {
	t.Helper()
	if err := r.Handle(t.Context(), records, records[len(records)-1].Offset+1); err != nil {
		t.Fatalf("Handle: %v", err)
	}
	if r.store.open != 0 {
		t.Fatalf("%d transactions were left open", r.store.open)
	}
}

// outcomes checks how many records have left with each outcome.
func (r *rig) outcomes(t testing.TB, want map[Outcome]int) {
	t.Helper()
	for o := outcomeNone + 1; o < numOutcomes; o++ {
		if got := int(testutil.ToFloat64(r.metrics.records[o])); got != want[o] {
			t.Errorf("%d records left as %s, want %d", got, o, want[o])
		}
	}
}

// batch gives records their coordinates: consecutive offsets of partition 3, and Kafka's
// times, from an offset on.
func batch(from int64, records ...schema.Record) []schema.Record {
	for i := range records {
		r := &records[i]
		r.Partition, r.Offset = 3, from+int64(i)
		r.Time = received.Add(time.Duration(r.Offset) * time.Millisecond)
	}
	return records
}

// alarmOf returns a raw record of an alarm that nobody else has sent.
func alarmOf(app int64, used int) schema.Record {
	return rawRecord(app, uint64(used), alarmBody(fmt.Sprint(used), "10000", fmt.Sprint(at+used)))
}
