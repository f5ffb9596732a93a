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
	"testing"

	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/consumer/internal/store/storetest"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

// replayWorld is a database with dead letters and what outlives a replay that is interrupted.
type replayWorld struct {
	store string // its --store value
	sink  *sink
	apps  *apps.Snapshot
}

// before is what the consumer handled, and script what it could not at the time, because of a
// fault that is gone: of script's records some are good now, others never will be.
func before() []schema.Record {
	return batch(90,
		alarmOf(1400000003, 7050), // script has a copy of it
		alarmOf(1400000001, 8200), // later than what script has of the app's watch step
	)
}

// replayStore returns the --store value of an empty database: PostgreSQL's, where there is a
// server for tests.
func replayStore(t testing.TB) string {
	t.Helper()
	if os.Getenv(storetest.Variable) != "" {
		return storetest.Postgres(t)
	}
	path := filepath.Join(quickDir(t), "tidegate.db")
	if err := os.WriteFile(path, emptySQLite(), 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

// newReplayWorld returns a world in which all of script's records are dead letters.
func newReplayWorld(t testing.TB) *replayWorld {
	t.Helper()
	w := &replayWorld{store: replayStore(t), sink: &sink{}, apps: snapshot(t)}
	s := w.open(t)
	defer s.Close()
	if err := w.pipeline(s, nil).Handle(t.Context(), before(), 92); err != nil {
		t.Fatal(err)
	}
	var letters []schema.DeadLetter
	for i, r := range script() {
		if i%5 == 4 {
			r.Partition = 4 // replays go over partitions
		}
		letters = append(letters, schema.NewDeadLetter(r, testGroup, schema.ReasonPanic, "a fault of that release", now()))
	}
	tx, err := s.Begin(t.Context(), topics.AlarmsRaw, 3, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	progress := store.Progress{Topic: topics.AlarmsRaw, Partition: 3, Offset: 110, LogEnd: 111, Newest: now()}
	if err := tx.Save(t.Context(), store.Changes{DeadLetters: letters, Progress: progress}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *replayWorld) open(t testing.TB) store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), w.store, store.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *replayWorld) pipeline(s storage, after func(Stage) error) *Pipeline {
	return New(Options{
		Store: s, Producer: w.sink, Apps: func() *apps.Snapshot { return w.apps }, Topics: topics, Group: testGroup, Now: now, After: after,
	})
}

// letters returns the dead letters in a state, oldest first.
func letters(t testing.TB, s store.Store, state store.DeadLetterState) (all []store.DeadLetter) {
	t.Helper()
	for l, err := range s.DeadLetters(t.Context(), store.DeadLetterFilter{State: state, Order: store.OldestFirst}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// replay is one life of the replay: what an interrupted one left first, then the open letters, so
// many at once, until all were tried or it is killed after so many stages. It reports whether it
// came to the end, and what became of the letters.
func (w *replayWorld) replay(t testing.TB, size, kill int) (bool, []Replayed) {
	t.Helper()
	s := w.open(t)
	defer s.Close()
	p := w.pipeline(s, func(Stage) error {
		if kill--; kill == 0 {
			return errKilled
		}
		return nil
	})
	var results []Replayed
	for _, state := range []store.DeadLetterState{store.DeadLettersUnpublished, store.DeadLettersOpen} {
		for some := range slices.Chunk(letters(t, s, state), size) {
			got, err := p.Replay(t.Context(), some)
			results = append(results, got...)
			if errors.Is(err, errKilled) || errors.Is(err, errStopped) {
				return false, results
			}
			if err != nil {
				t.Fatalf("Replay: %v", err)
			}
		}
	}
	return true, results
}

// state is all that must not depend on interruptions, as text.
func (w *replayWorld) state(t testing.TB) map[string]string {
	t.Helper()
	s := w.open(t)
	defer s.Close()
	all := map[string]string{}
	for a, err := range s.Alarms(t.Context(), store.AlarmFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		all["alarm "+a.Event.AlarmID] = fmt.Sprintf("%s, %d deliveries", a.EventBytes, a.Deliveries)
	}
	for n, err := range s.Notices(t.Context(), store.NoticeFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		all[fmt.Sprintf("notice %d %s %s %s", n.AppID, n.Period, n.Kind, n.Step)] = fmt.Sprint(n.Count)
	}
	for _, l := range letters(t, s, store.DeadLettersAll) {
		all["letter "+coordinates(&l.Record)] = fmt.Sprint(l.Reason, l.Message, l.ReplayedAt, l.PublishedAt)
	}
	for _, partition := range []int32{3, 4} { // of 4 the consumer handled nothing
		tx, err := s.Begin(t.Context(), topics.AlarmsRaw, partition, nil, []int64{1400000001, 1400000002, 1400000003})
		if err != nil {
			t.Fatal(err)
		}
		for app, p := range tx.Periods() {
			all[fmt.Sprint("period ", app)] = fmt.Sprintf("%+v", p)
		}
		progress, begun := tx.Progress()
		all["progress"] += fmt.Sprintf("%d: %v %+v; ", partition, begun, progress)
		tx.Rollback()
	}
	for id, text := range copiesOf(t, w.sink.to(topics.Alarms), eventID) {
		all["event "+id] = text
	}
	if n := len(w.sink.records) - len(w.sink.to(topics.Alarms)); n != 0 {
		t.Errorf("a replay produced %d records to other topics than %s", n, topics.Alarms)
	}
	return all
}

// same holds two states against each other.
func same(t testing.TB, got, want map[string]string) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			t.Errorf("%s is\n%q, want\n%q", key, got[key], want[key])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d facts, want %d", len(got), len(want))
	}
}

// What a replay does, by numbers: seven of the eleven letters are alarms, the rest stays dead.
func TestReplay(t *testing.T) {
	for _, size := range []int{1, 3, 100} {
		t.Run(fmt.Sprintf("%d at once", size), func(t *testing.T) {
			w := newReplayWorld(t)
			events, progress := len(w.sink.records), w.state(t)["progress"]
			done, results := w.replay(t, size, 0)
			if !done || len(results) != len(script()) {
				t.Fatalf("%d results of %d letters", len(results), len(script()))
			}
			counts := map[Outcome]int{}
			for _, r := range results {
				counts[r.Outcome]++
				if r.Outcome == OutcomeDeadLetter && (r.Reason == schema.ReasonPanic || r.Message == "") {
					t.Errorf("letter %d stays one for %s: %q, want today's reason", r.ID, r.Reason, r.Message)
				}
				if r.Outcome != OutcomeDeadLetter && (r.AlarmID == "" || r.Message != "") {
					t.Errorf("letter %d: %+v", r.ID, r)
				}
			}
			if want := map[Outcome]int{OutcomeSaved: 5, OutcomeRepeated: 4, OutcomeDeadLetter: 2}; !maps.Equal(counts, want) {
				t.Errorf("outcomes %v, want %v", counts, want)
			}
			if got := len(w.sink.records) - events; got != 5 {
				t.Errorf("%d events were published, want 5", got)
			}
			state := w.state(t)
			if state["progress"] != progress {
				t.Errorf("progress is %s, was %s", state["progress"], progress)
			}
			if done, again := w.replay(t, size, 0); !done || len(again) != 2 || again[0].Outcome != OutcomeDeadLetter {
				t.Errorf("a second replay: %+v", again)
			}
			same(t, w.state(t), state)
		})
	}
}

// The replay is killed after every stage of every batch in turn, and done again: nothing tells
// that it was, but that some events were published twice, byte for byte the same.
func TestReplayKilledAfterEveryStage(t *testing.T) {
	for _, size := range []int{1, 4, 100} {
		t.Run(fmt.Sprintf("%d at once", size), func(t *testing.T) {
			undisturbed := newReplayWorld(t)
			undisturbed.replay(t, size, 0)
			want := undisturbed.state(t)
			kills := 0
			for kill := 1; ; kill++ {
				w := newReplayWorld(t)
				if done, _ := w.replay(t, size, kill); done {
					break
				}
				kills++
				if done, _ := w.replay(t, size, 0); !done {
					t.Fatal("the second replay did not end")
				}
				if size == 4 { // what is left is cut elsewhere
					sameButPeriods(t, w.state(t), want)
				} else {
					same(t, w.state(t), want)
				}
				if t.Failed() {
					t.Fatalf("killed after stage %d", kill)
				}
			}
			if kills < int(numStages)*2 {
				t.Errorf("killed %d times only", kills)
			}
		})
	}
}

// The producer dies in the middle, and after that once more.
func TestReplayKilledWhilePublishing(t *testing.T) {
	undisturbed := newReplayWorld(t)
	events := len(undisturbed.sink.records)
	undisturbed.replay(t, 100, 0)
	want := undisturbed.state(t)
	for n := events; n < len(undisturbed.sink.records); n++ {
		w := newReplayWorld(t)
		for range 2 {
			w.sink.stop = max(n, len(w.sink.records))
			if done, _ := w.replay(t, 100, 0); done {
				t.Fatalf("not killed after %d records", n)
			}
		}
		w.sink.stop = 0
		if done, _ := w.replay(t, 100, 0); !done {
			t.Fatal("did not end")
		}
		same(t, w.state(t), want)
	}
}

// Two replays at once: what one has closed, the other leaves alone.
func TestTwoReplaysShareTheLetters(t *testing.T) {
	undisturbed := newReplayWorld(t)
	undisturbed.replay(t, 100, 0)

	w := newReplayWorld(t)
	s := w.open(t)
	defer s.Close()
	all := letters(t, s, store.DeadLettersOpen) // as the second saw them
	if _, err := w.pipeline(s, nil).Replay(t.Context(), all[:6]); err != nil {
		t.Fatal(err)
	}
	results, err := w.pipeline(s, nil).Replay(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	var elsewhere []string
	for i, r := range results {
		if r.ID != all[i].ID {
			t.Errorf("result %d is of letter %d", i, r.ID)
		}
		if r.Elsewhere {
			elsewhere = append(elsewhere, fmt.Sprint(i))
		}
	}
	if got := strings.Join(elsewhere, " "); got != "0 2 3 4" { // 1 and 5 stay dead
		t.Errorf("elsewhere: %s", got)
	}
	sameButPeriods(t, w.state(t), undisturbed.state(t))
}

// sameButPeriods is same where the batches had other bounds: of a batch only the highest step is
// told, and what the alarms' events say of the period is what had come by then.
func sameButPeriods(t testing.TB, got, want map[string]string) {
	t.Helper()
	told := func(m map[string]string) map[string]string {
		m = maps.Clone(m)
		maps.DeleteFunc(m, func(key, _ string) bool {
			return strings.HasPrefix(key, "period ") || strings.HasPrefix(key, "notice ")
		})
		return m
	}
	same(t, told(got), told(want))
}

// Kafka refuses an event for good: its alarm is saved, and every replay tries again.
func TestReplayOfAnEventThatKafkaRefuses(t *testing.T) {
	w := newReplayWorld(t)
	w.sink.refuse = func(r *schema.Record) error {
		if string(r.Key) == "1400000002" {
			return errors.New("too large")
		}
		return nil
	}
	_, results := w.replay(t, 100, 0)
	i := slices.IndexFunc(results, func(r Replayed) bool { return strings.Contains(r.Message, "too large") })
	if i < 0 || results[i].Outcome != OutcomeDeadLetter {
		t.Fatalf("results %+v", results)
	}
	s := w.open(t)
	left := letters(t, s, store.DeadLettersUnpublished)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 || left[0].ID != results[i].ID {
		t.Errorf("unpublished: %+v", left)
	}
	w.sink.refuse = nil
	if _, again := w.replay(t, 100, 0); again[0].Outcome != OutcomeRedelivered || again[0].ID != results[i].ID {
		t.Errorf("the next replay: %+v", again)
	}
}

// A row that was dropped for its age between save and publish has nothing to publish; to save it
// again would tell people of it again.
func TestReplayOfWhatWasDropped(t *testing.T) {
	w := newReplayWorld(t)
	if done, _ := w.replay(t, 100, int(StageSave)+1); done {
		t.Fatal("not killed")
	}
	s := w.open(t)
	defer s.Close()
	if _, err := s.Retain(t.Context(), 1, now().AddDate(0, 0, 2)); err != nil {
		t.Fatal(err)
	}
	letter := letters(t, newReplayWorld(t).open(t), store.DeadLettersOpen)[0]
	letter.ReplayedAt = now()
	results, err := w.pipeline(s, nil).Replay(t.Context(), []store.DeadLetter{letter})
	if err != nil || results[0].Outcome != OutcomeRedelivered {
		t.Errorf("%+v, %v", results, err)
	}
	for range s.Alarms(t.Context(), store.AlarmFilter{}) {
		t.Fatal("an alarm that was dropped is back")
	}
}

// The database refuses one letter's data: that one stays dead, the others go through.
func TestReplayIsolatesWhatTheDatabaseRefuses(t *testing.T) {
	w := newReplayWorld(t)
	s := w.open(t)
	defer s.Close()
	results, err := w.pipeline(refusing{s}, nil).Replay(t.Context(), letters(t, s, store.DeadLettersOpen))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if stays := r.Reason == schema.ReasonStoreRefused; stays != (r.ID == 3 || r.ID == 8) {
			t.Errorf("letter %d: %+v", r.ID, r)
		}
	}
	if open := letters(t, s, store.DeadLettersOpen); len(open) != 4 {
		t.Errorf("%d letters are open, want 4", len(open))
	}
}

// refusing refuses alarms of the second app.
type refusing struct{ store.Store }

func (r refusing) Begin(ctx context.Context, topic string, partition int32, ids []string, appIDs []int64) (store.Tx, error) {
	tx, err := r.Store.Begin(ctx, topic, partition, ids, appIDs)
	return refusingTx{tx}, err
}

type refusingTx struct{ store.Tx }

func (tx refusingTx) Save(ctx context.Context, c store.Changes) error {
	for _, a := range c.Alarms {
		if a.Event.SdkAppID == 1400000002 {
			tx.Rollback()
			return store.ErrData
		}
	}
	return tx.Tx.Save(ctx, c)
}

// Inspect needs nothing and changes nothing.
func TestInspect(t *testing.T) {
	w := newReplayWorld(t)
	s := w.open(t)
	defer s.Close()
	state := w.state(t)
	dead := 0
	for _, r := range w.pipeline(nil, nil).Inspect(letters(t, s, store.DeadLettersOpen)) {
		if r.Outcome == OutcomeDeadLetter {
			dead++
		}
	}
	if dead != 2 {
		t.Errorf("%d letters cannot be read, want 2", dead)
	}
	same(t, w.state(t), state)
}
