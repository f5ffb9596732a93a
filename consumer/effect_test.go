package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidegate/tidegate/consumer/internal/pipeline"
	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/consumer/internal/store/storetest"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

// rise is a bench with apps whose use rises, so that an alarm's event, its app's period and
// its notices depend on all that came before.
type rise struct {
	*bench
	client *kgo.Client // sends a step at once
	fed    int         // steps
	sent   int         // raw records
}

// riseApps are the apps: one that is listed, and others.
const riseApps = 3

// newRise returns a bench with an empty store, which notes what is moved back in it where it
// is PostgreSQL's.
func newRise(t *testing.T, b *bench) *rise {
	t.Helper()
	s, err := store.Open(t.Context(), b.store, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Single() {
		storetest.Exec(t, b.store, noteWhatIsMovedBack)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addrs), kgo.ManualFlushing())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &rise{bench: b, client: client}
}

// noteWhatIsMovedBack has the database itself write down each update that moves the state of
// an app or the progress of a partition back, be it for a moment only.
const noteWhatIsMovedBack = `CREATE TABLE moved_back (what text);
	CREATE FUNCTION note_period() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF ((NEW.state::json->>'last_at')::bigint, NEW.state::json->>'last_id' COLLATE "C") < ((OLD.state::json->>'last_at')::bigint, OLD.state::json->>'last_id' COLLATE "C") THEN
			INSERT INTO moved_back VALUES (format('app %s from %s to %s', OLD.app_id, OLD.state, NEW.state));
		END IF; RETURN NULL; END $$;
	CREATE TRIGGER note_period AFTER UPDATE ON period FOR EACH ROW WHEN (OLD.state IS NOT NULL) EXECUTE FUNCTION note_period();
	CREATE FUNCTION note_progress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO moved_back VALUES (format('partition %s from %s to %s', OLD.partition, OLD."offset", NEW."offset")); RETURN NULL; END $$;
	CREATE TRIGGER note_progress AFTER UPDATE ON progress FOR EACH ROW WHEN (NEW."offset" < OLD."offset") EXECUTE FUNCTION note_progress();`

// feed produces n more steps, each as one batch of a partition, which so is one of the consumer
// too: of each app an alarm, which one of them sends twice, and a record that cannot be used.
func (r *rise) feed(n int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for range n {
		r.fed++
		put := func(app int64, body string) {
			r.sent++
			r.client.Produce(ctx, r.raw("im.alarms.raw", app, body), func(_ *kgo.Record, err error) {
				if err != nil {
					r.t.Errorf("feed: %v", err)
				}
			})
		}
		for app := range int64(riseApps) {
			body := fmt.Sprintf(`{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":%d,"Quota":10000,"EventTime":"%d"}`,
				7000+20*r.fed, received.UnixMilli()+int64(r.fed)*1000)
			put(1400000001+app, body)
			if int(app) == r.fed%riseApps {
				put(1400000001+app, body)
			}
		}
		put(1400000001, fmt.Sprintf("no JSON %d", r.fed))
		if err := r.client.Flush(ctx); err != nil {
			r.t.Fatal(err)
		}
	}
}

// handled waits until everything that was fed is handled, and committed.
func (r *rise) handled() {
	r.t.Helper()
	eventually(r.t, "all of it", r.isHandled)
}

func (r *rise) isHandled() bool { return r.committed() == r.sent }

// effect is what came of the raw records, as text.
type effect struct {
	rows    map[string]string // by alarm
	events  map[string]string // by alarm
	letters map[string]string // by the record's place
	dead    map[string]string // the same, of the topic
	periods map[string]string // without what depends on where batches end
	told    map[string]string // by app: the highest step that was announced
}

// note adds what must be there once.
func note(t *testing.T, to map[string]string, what, id, text string) {
	t.Helper()
	if _, twice := to[id]; twice {
		t.Errorf("%s %s is there twice", what, id)
	}
	to[id] = text
}

// saved reads what is in a database.
func saved(t *testing.T, s store.Store, e *effect) {
	t.Helper()
	e.rows, e.letters, e.periods, e.told = map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}
	each := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for a, err := range s.Alarms(t.Context(), store.AlarmFilter{}) {
		each(err)
		note(t, e.rows, "alarm", a.Event.AlarmID, fmt.Sprintf("%s, %d deliveries", a.EventBytes, a.Deliveries))
	}
	for l, err := range s.DeadLetters(t.Context(), store.DeadLetterFilter{}) {
		each(err)
		note(t, e.letters, "dead letter", place(&l.Record), string(l.Reason))
	}
	notices, highest := map[string]string{}, map[string]int{}
	for n, err := range s.Notices(t.Context(), store.NoticeFilter{}) {
		each(err)
		note(t, notices, "notice", fmt.Sprint(n.AppID, n.Period, n.Kind, n.Step), "")
		app, level := fmt.Sprint(n.AppID), slices.Index(schema.Severities(), n.Step)
		if n.Kind == quota.KindStep && level > highest[app] {
			highest[app], e.told[app] = level, fmt.Sprintf("%s %s of %s", n.Period, n.Step, n.Alarm.AlarmID)
		}
	}
	var all []int64
	for app := range int64(riseApps) {
		all = append(all, 1400000001+app)
	}
	tx, err := s.Begin(t.Context(), "nobody's", 0, nil, all)
	each(err)
	defer tx.Rollback()
	for app, p := range tx.Periods() {
		p.Told, p.Steps, p.Digested, p.ForecastTold, p.Forecasts, p.Ended = "", nil, "", false, nil, nil
		e.periods[fmt.Sprint(app)] = fmt.Sprintf("%+v", p)
	}
}

func place(r *schema.Record) string { return fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset) }

// published notes a record of the topics, of which every event may come again, as the same bytes.
func (e *effect) published(t *testing.T, r *schema.Record) {
	t.Helper()
	if r.Topic == "im.alarms.dlq" {
		text := func(name string) string { value, _ := r.Header(name); return string(value) }
		e.dead[text(schema.HeaderDeadTopic)+"/"+text(schema.HeaderDeadPartition)+"/"+text(schema.HeaderDeadOffset)] = text(schema.HeaderDeadReason)
		return
	}
	id, _ := r.Header(schema.HeaderID)
	text := fmt.Sprintf("%q %q %q", r.Key, r.Value, fmt.Sprint(r.Headers))
	if first, there := e.events[string(id)]; there && first != text {
		t.Errorf("two events of %s differ:\n%s\n%s", id, first, text)
	}
	e.events[string(id)] = text
}

// publishing makes an effect the producer of a pipeline.
type publishing struct {
	*effect
	t *testing.T
}

// Produce notes the records.
func (p publishing) Produce(_ context.Context, records []schema.Record) ([]error, error) {
	for i := range records {
		p.published(p.t, &records[i])
	}
	return nil, nil
}

// reference handles all raw records by one pipeline over an SQLite database, with nothing in
// its way.
func (r *rise) reference() *effect {
	t := r.t
	t.Helper()
	snapshot, problems := apps.Parser(apps.Options{})([]byte(appsYAML))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "reference.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	e := &effect{events: map[string]string{}, dead: map[string]string{}}
	p := pipeline.New(pipeline.Options{
		Store: s, Producer: publishing{e, t}, Apps: func() *apps.Snapshot { return snapshot }, Topics: schema.NewTopics(""), Group: "tidegate",
	})
	parts := map[int32][]schema.Record{}
	for _, k := range r.read("im.alarms.raw") {
		parts[k.Partition] = append(parts[k.Partition], recordOf(k))
	}
	for _, records := range parts {
		slices.SortFunc(records, func(a, b schema.Record) int { return cmp.Compare(a.Offset, b.Offset) })
		if err := p.Handle(t.Context(), records, records[len(records)-1].Offset+1); err != nil {
			t.Fatal(err)
		}
	}
	saved(t, s, e)
	return e
}

// recordOf returns a record that was read as the pipeline has it.
func recordOf(k *kgo.Record) schema.Record {
	r := schema.Record{Topic: k.Topic, Partition: k.Partition, Offset: k.Offset, Time: k.Timestamp.UTC(), Key: k.Key, Value: k.Value}
	for _, h := range k.Headers {
		r.Headers = append(r.Headers, schema.Header{Key: h.Key, Value: h.Value})
	}
	return r
}

// oneEffect holds what is saved and published against the reference: each alarm is one row, with
// the deliveries that came, each event is there and all its copies are the same bytes, each
// record that cannot be used is one dead letter, each notice is one row, and the apps' periods
// are where all alarms in their order take them. Nothing was moved back on the way.
func (r *rise) oneEffect() {
	t := r.t
	t.Helper()
	s, err := store.Open(t.Context(), r.store, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, want := &effect{events: map[string]string{}, dead: map[string]string{}}, r.reference()
	saved(t, s, got)
	for _, topic := range []string{"im.alarms", "im.alarms.dlq"} {
		for _, k := range r.read(topic) {
			record := recordOf(k)
			got.published(t, &record)
		}
	}
	for _, part := range []struct {
		what      string
		got, want map[string]string
	}{
		{"alarm", got.rows, want.rows}, {"event", got.events, want.events}, {"dead letter", got.letters, want.letters},
		{"record of a dead letter", got.dead, want.dead}, {"period", got.periods, want.periods}, {"highest notice", got.told, want.told},
	} {
		for _, id := range slices.Sorted(maps.Keys(part.want)) {
			if part.got[id] != part.want[id] {
				t.Errorf("%s %s is\n%s\nwant\n%s", part.what, id, part.got[id], part.want[id])
			}
		}
		if len(part.got) != len(part.want) {
			t.Errorf("%d of %s, want %d", len(part.got), part.what, len(part.want))
		}
	}
	if strings.HasPrefix(r.store, "sqlite:") {
		return
	}
	conn := storetest.Connect(t.Context(), t, r.store)
	defer func() { _ = conn.Close(t.Context()) }()
	var moves int
	var what string
	if err := conn.QueryRow(t.Context(), "SELECT count(*), coalesce(min(what), '') FROM moved_back").Scan(&moves, &what); err != nil {
		t.Fatal(err)
	}
	if moves > 0 {
		t.Errorf("%d times something was moved back, as %s", moves, what)
	}
}
