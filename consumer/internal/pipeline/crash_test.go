package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/consumer/internal/store/storetest"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

// script is what comes out of one partition in the crash tests: new alarms of several
// apps, repeats near and far, and records that cannot be used.
func script() []schema.Record {
	repeat := func(app int64, used int, lsn uint64) schema.Record {
		return rawRecord(app, lsn, alarmBody(fmt.Sprint(used), "10000", fmt.Sprint(at+used)))
	}
	return batch(100,
		alarmOf(1400000001, 7100),
		rawRecord(1400000001, 2, "not JSON"),
		alarmOf(1400000002, 9900),
		repeat(1400000001, 7100, 501),
		alarmOf(1400000001, 8100),
		rawRecord(1400000002, 6, with(`"Quota":1`)),
		rawRecord(1400000001, 7, `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":8200,"Quota":10000}`),
		repeat(1400000002, 9900, 502),
		alarmOf(1400000001, 10001),
		repeat(1400000001, 8100, 503),
		alarmOf(1400000003, 7050),
	)
}

// world is everything that outlives a crash: the store, Kafka's topics, the group's offset.
type world struct {
	open    func() (store storage, done func()) // opens the store anew, as a new process does
	sink    *sink
	offset  int // records[offset:] were not committed
	crashes int // that took place
	batch   int // records of one batch
	logEnd  int64
	apps    func() *apps.Snapshot
	records []schema.Record
	known   *state // of a world in which nothing happens any more; nil: not read yet
}

var errKilled = errors.New("killed")

// process runs one life of the consumer: from the committed offset until the end, or until
// it is killed after the given number of stages. It reports whether it came to the end.
func (w *world) process(t testing.TB, kill int) bool {
	t.Helper()
	s, closeStore := w.open()
	defer closeStore()
	p := New(Options{
		Store: s, Producer: w.sink, Apps: w.apps, Topics: topics, Group: testGroup, Now: now,
		After: func(Stage) error {
			if kill--; kill == 0 {
				return errKilled
			}
			return nil
		},
	})
	for w.offset < len(w.records) {
		next := w.records[w.offset:min(w.offset+w.batch, len(w.records))]
		err := p.Handle(t.Context(), next, w.logEnd)
		if errors.Is(err, errKilled) || errors.Is(err, errStopped) {
			w.crashes++
			return false
		}
		if err != nil {
			t.Fatalf("Handle: %v", err)
		}
		w.offset += len(next)
	}
	return true
}

// state is what must not depend on crashes, as text: rows, periods, notices, dead letters.
type state struct {
	rows    map[string]string
	periods map[int64]string
	notices map[string]string
	letters map[string]string
}

// stateOf reads the store of the crash tests.
func stateOf(t testing.TB, w *world) state {
	t.Helper()
	s, closeStore := w.open()
	defer closeStore()
	st := state{rows: map[string]string{}, periods: map[int64]string{}, notices: map[string]string{}, letters: map[string]string{}}
	row := func(a store.Alarm) {
		st.rows[a.Event.AlarmID] = fmt.Sprintf("%s %d deliveries, sent %v", a.EventBytes, a.Deliveries, a.VendorTime)
	}
	notice := func(n *quota.Notice) {
		if _, twice := st.notices[noticeID(n)]; twice {
			t.Fatalf("notice %s has two rows", noticeID(n))
		}
		st.notices[noticeID(n)] = fmt.Sprintf("%d, of %s", n.Count, n.Alarm.AlarmID)
	}
	letter := func(l schema.DeadLetter) {
		st.letters[coordinates(&l.Record)] = fmt.Sprintf("%s %s %q", l.Reason, l.Message, l.Record.Value)
	}
	if m, ok := s.(*memory); ok {
		for _, a := range m.alarms {
			row(a)
		}
		for _, l := range m.letters {
			letter(l)
		}
		for _, n := range m.notices {
			notice(&n)
		}
		for app, p := range m.periods {
			st.periods[app] = fmt.Sprintf("%+v", p)
		}
		if m.open != 0 {
			t.Fatalf("%d transactions were left open", m.open)
		}
		return st
	}
	database := s.(store.Store)
	for a, err := range database.Alarms(t.Context(), store.AlarmFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := st.rows[a.Event.AlarmID]; twice {
			t.Fatalf("alarm %s has two rows", a.Event.AlarmID)
		}
		row(a)
	}
	for l, err := range database.DeadLetters(t.Context(), store.DeadLetterFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := st.letters[coordinates(&l.Record)]; twice {
			t.Fatalf("dead letter of %s has two rows", coordinates(&l.Record))
		}
		letter(l.DeadLetter)
	}
	for n, err := range database.Notices(t.Context(), store.NoticeFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		notice(&n.Notice)
	}
	tx, err := database.Begin(t.Context(), "im.alarms.raw", 3, nil, []int64{1400000001, 1400000002, 1400000003})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for app, p := range tx.Periods() {
		st.periods[app] = fmt.Sprintf("%+v", p)
	}
	return st
}

// copiesOf returns what was produced to a topic by identity, and fails when two copies
// of one differ in any byte.
func copiesOf(t testing.TB, records []schema.Record, identity func(*schema.Record) string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for i := range records {
		r := &records[i]
		id, text := identity(r), fmt.Sprintf("%q %q %q", r.Key, r.Value, fmt.Sprint(r.Headers))
		if first, ok := all[id]; ok && first != text {
			t.Fatalf("two copies of %s differ:\n%s\n%s", id, first, text)
		}
		all[id] = text
	}
	return all
}

func eventID(r *schema.Record) string {
	id, _ := r.Header(schema.HeaderID)
	return string(id)
}

func deadID(r *schema.Record) string {
	topic, _ := r.Header(schema.HeaderDeadTopic)
	partition, _ := r.Header(schema.HeaderDeadPartition)
	offset, _ := r.Header(schema.HeaderDeadOffset)
	return fmt.Sprintf("%s/%s/%s", topic, partition, offset)
}

// sameAs holds a world that crashed against one that did not. Where their batches had
// other bounds, so have the notices, and what the periods say of them: of a batch only the
// highest step is told.
func (w *world) sameAs(t testing.TB, undisturbed *world) {
	t.Helper()
	if undisturbed.known == nil {
		known := stateOf(t, undisturbed)
		undisturbed.known = &known
	}
	got, want := stateOf(t, w), *undisturbed.known
	if w.batch != undisturbed.batch {
		got.periods, want.periods = nil, nil
		got.notices, want.notices = highest(got.notices), highest(want.notices)
	}
	if !maps.Equal(got.rows, want.rows) {
		t.Errorf("rows differ:\n%v\nwant\n%v", got.rows, want.rows)
	}
	if !maps.Equal(got.periods, want.periods) {
		t.Errorf("periods differ:\n%v\nwant\n%v", got.periods, want.periods)
	}
	if !maps.Equal(got.notices, want.notices) {
		t.Errorf("notices differ:\n%v\nwant\n%v", got.notices, want.notices)
	}
	if !maps.Equal(got.letters, want.letters) {
		t.Errorf("dead letters differ:\n%v\nwant\n%v", got.letters, want.letters)
	}
	for _, topic := range []struct {
		name     string
		identity func(*schema.Record) string
	}{{topics.Alarms, eventID}, {topics.AlarmsDLQ, deadID}} {
		got, want := copiesOf(t, w.sink.to(topic.name), topic.identity), copiesOf(t, undisturbed.sink.to(topic.name), topic.identity)
		if !maps.Equal(got, want) {
			t.Errorf("%s differs: has %v, want %v", topic.name, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	}
	if len(got.rows) != len(copiesOf(t, w.sink.to(topics.Alarms), eventID)) {
		t.Errorf("%d rows, but other events", len(got.rows))
	}
}

// highest leaves of notices those that a person gets wherever batches end: the app's last.
func highest(notices map[string]string) map[string]string {
	last := map[string]string{}
	for id, text := range notices {
		app, _, _ := strings.Cut(id, " ")
		if last[app] == "" || levels[stepOf(id)] > levels[stepOf(last[app])] {
			last[app] = id + ": " + text
		}
	}
	return last
}

// levels are the steps by height.
var levels = func() map[schema.Severity]int {
	all := map[schema.Severity]int{}
	for level, severity := range schema.Severities() {
		all[severity] = level
	}
	return all
}()

// stepOf returns the step in a notice's id.
func stepOf(id string) schema.Severity {
	id, _, _ = strings.Cut(id, ":")
	return schema.Severity(id[strings.LastIndex(id, " ")+1:])
}

// stores are the databases that the crash tests run over.
var stores = []struct {
	name string
	make func(t testing.TB) func() (storage, func())
}{
	{"memory", func(testing.TB) func() (storage, func()) {
		m := &memory{}
		return func() (storage, func()) { return m, func() {} }
	}},
	{"sqlite", func(t testing.TB) func() (storage, func()) {
		path := filepath.Join(quickDir(t), "tidegate.db")
		if err := os.WriteFile(path, emptySQLite(), 0o600); err != nil {
			t.Fatal(err)
		}
		return func() (storage, func()) {
			s, err := store.Open(context.Background(), "sqlite:"+path, store.Options{Now: now})
			if err != nil {
				t.Fatal(err)
			}
			return s, func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}},
	{"postgres", func(t testing.TB) func() (storage, func()) {
		url := storetest.Postgres(t)
		return func() (storage, func()) {
			s, err := store.Open(context.Background(), url, store.Options{Now: now})
			if err != nil {
				t.Fatal(err)
			}
			return s, func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}},
}

// quickDir is a temporary directory, in memory where the system has such a place: a sync
// costs milliseconds elsewhere, and proves nothing to a test that kills no machine.
func quickDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "pipeline") //nolint:usetesting // t.TempDir is on the disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// emptySQLite is a database with all tables and no rows: making one for each of a hundred
// worlds would be most of the tests' time.
var emptySQLite = sync.OnceValue(func() []byte {
	dir, err := os.MkdirTemp("", "pipeline")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "empty.db")
	s, err := store.Open(context.Background(), "sqlite:"+path, store.Options{Now: now})
	if err != nil {
		panic(err)
	}
	if err := s.Close(); err != nil {
		panic(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return data
})

// newWorld returns a world with nothing in it.
func newWorld(t testing.TB, open func() (storage, func()), batch int) *world {
	t.Helper()
	s := snapshot(t)
	records := script()
	return &world{
		open: open, sink: &sink{}, batch: batch, records: records, logEnd: records[len(records)-1].Offset + 1,
		apps: func() *apps.Snapshot { return s },
	}
}

// The consumer is killed after every stage of every batch in turn, for batches of one
// record, of some, and of all: between save and publish, between publish and commit, and
// everywhere else. Afterwards nothing tells that it was.
func TestKilledAfterEveryStageOfEveryBatch(t *testing.T) {
	for _, database := range stores {
		for _, size := range []int{1, 4, 100} {
			if size == 4 && database.name == "sqlite" || size == 1 && database.name == "postgres" {
				continue // each kill costs half a second there, or a whole one
			}
			t.Run(fmt.Sprintf("%s, batches of %d", database.name, size), func(t *testing.T) {
				undisturbed := newWorld(t, database.make(t), size)
				undisturbed.process(t, 0)
				if len(stateOf(t, undisturbed).rows) != 6 || len(stateOf(t, undisturbed).letters) != 2 {
					t.Fatalf("undisturbed: %+v", stateOf(t, undisturbed))
				}
				kills := 0
				for kill := 1; ; kill++ {
					w := newWorld(t, database.make(t), size)
					if w.process(t, kill) {
						break // there are no more stages
					}
					kills++
					w.process(t, 0)
					w.sameAs(t, undisturbed)
				}
				batches := (len(undisturbed.records) + size - 1) / size
				if want := batches * int(numStages); kills != want {
					t.Errorf("killed %d times, want after each of %d stages", kills, want)
				}
			})
		}
	}
}

// The producer dies in the middle: some of the batch's events are out, others are not.
func TestKilledWhilePublishing(t *testing.T) {
	for _, database := range stores {
		t.Run(database.name, func(t *testing.T) {
			undisturbed := newWorld(t, database.make(t), 100)
			undisturbed.process(t, 0)
			for after := 1; after < len(undisturbed.sink.records); after++ {
				w := newWorld(t, database.make(t), 100)
				w.sink.stop = after
				if w.process(t, 0) {
					t.Fatalf("not killed after %d records", after)
				}
				w.process(t, 0)
				w.sameAs(t, undisturbed)
			}
		})
	}
}

// Any number of kills at any stages, with batches of any size each time, as the bounds of
// batches are others after a restart.
func TestKilledAgainAndAgain(t *testing.T) {
	undisturbed := newWorld(t, stores[0].make(t), 100)
	undisturbed.process(t, 0)
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, stores[0].make(t), 0)
		for _, kill := range rapid.SliceOfN(rapid.IntRange(1, 20), 0, 12).Draw(rt, "kills") {
			w.batch = rapid.IntRange(1, 12).Draw(rt, "batch")
			if w.process(t, kill) {
				break
			}
		}
		w.batch = 12 // all that is left
		w.process(t, 0)
		w.sameAs(t, undisturbed)
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// A commit whose answer was lost is a crash between save and publish, without the crash.
func TestLostAnswerOfACommit(t *testing.T) {
	undisturbed := newWorld(t, stores[0].make(t), 100)
	undisturbed.process(t, 0)
	w := newWorld(t, nil, 100)
	m := &answerless{memory: &memory{}}
	w.open = func() (storage, func()) { return m, func() {} }
	w.process(t, 0)
	if m.lost != 1 {
		t.Fatalf("%d answers lost", m.lost)
	}
	w.open = func() (storage, func()) { return m.memory, func() {} }
	w.sameAs(t, undisturbed)
}

// answerless commits, and says that it did not, once.
type answerless struct {
	*memory
	lost int
}

func (a *answerless) Begin(ctx context.Context, topic string, partition int32, ids []string, appIDs []int64) (store.Tx, error) {
	tx, err := a.memory.Begin(ctx, topic, partition, ids, appIDs)
	return &answerlessTx{tx, a}, err
}

type answerlessTx struct {
	store.Tx
	a *answerless
}

func (tx *answerlessTx) Save(ctx context.Context, c store.Changes) error {
	err := tx.Tx.Save(ctx, c)
	if err == nil && tx.a.lost == 0 {
		tx.a.lost++
		return errors.New("connection reset while committing")
	}
	return err
}

func TestScriptHasEveryOutcome(t *testing.T) {
	r := newRig(t, nil)
	r.handle(t, script()...)
	r.handle(t, script()...)
	for o := outcomeNone + 1; o < numOutcomes; o++ {
		families := fmt.Sprint(r.metrics.records[o].Desc())
		if !strings.Contains(families, "tidegate_consumer_records_total") {
			t.Errorf("metric of %s: %s", o, families)
		}
	}
	r.outcomes(t, map[Outcome]int{OutcomeSaved: 6, OutcomeRepeated: 3, OutcomeRedelivered: 9, OutcomeDeadLetter: 4})
}
