package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/schema"
)

// bench is a real store, places that answer as they are told, and a clock that jumps: all
// runs in a bubble of testing/synctest, where a day takes no time.
type bench struct {
	*testing.T
	store  store.Store
	outbox store.Outbox
	config atomic.Pointer[Config]
	places *places
	start  time.Time
	offset int64
	look   time.Duration // of workers that begin from now on; 0: as in life
	shared bool          // of workers that begin from now on
	log    *zap.Logger   // of workers that begin from now on; nil: silent
}

// run runs a test in a bubble. yaml is its notify.yaml.
func run(t *testing.T, yaml string, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "tidegate.db"), store.Options{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		b := &bench{T: t, store: s, outbox: s, places: &places{answers: map[string]place{}}, start: time.Now()}
		b.write(yaml)
		test(b)
	})
}

// write makes yaml the file in use.
func (b *bench) write(yaml string) {
	b.Helper()
	c, problems := Parser(ParseOptions{ResolveSecrets: true, Transport: b.places})([]byte(yaml))
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	b.config.Store(c)
}

// shanghai is the apps' zone.
var shanghai = func() *time.Location {
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		panic(err)
	}
	return zone
}()

// work runs a worker until the returned function is called, or the test ends.
func (b *bench) work(outbox store.Outbox, owner string, reg prometheus.Registerer) (w *Worker, stop func()) {
	w = New(Options{Outbox: outbox, Config: b.config.Load, Zone: func(int64) *time.Location { return shanghai }, Owner: owner, Shared: b.shared, Log: b.log, Metrics: reg})
	w.look = cmp.Or(b.look, w.look)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.Run(ctx); err != nil {
			b.Errorf("Run: %v", err)
		}
	}()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	b.Cleanup(stop)
	return w, stop
}

// tell saves notices of apps, "app kind step" each, apart by commas, as of now.
func (b *bench) tell(notices string) {
	b.Helper()
	b.offset++
	c := store.Changes{Progress: store.Progress{Topic: "t", Offset: b.offset, Newest: time.Now()}}
	for text := range strings.SplitSeq(notices, ", ") {
		var app int64
		var kind, step string
		if _, err := fmt.Sscan(text, &app, &kind, &step); err != nil {
			b.Fatal(err)
		}
		c.Notices = append(c.Notices, b.notice(app, quota.Kind(kind), schema.Severity(step)))
	}
	tx, err := b.store.Begin(b.Context(), "t", 0, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := tx.Save(b.Context(), c); err != nil {
		b.Fatal(err)
	}
}

// notice returns a notice of now.
func (b *bench) notice(app int64, kind quota.Kind, step schema.Severity) quota.Notice {
	name, owner, tier := fmt.Sprintf("App-%d", app), "team-harbor", "pro"
	now := schema.FormatTime(time.Now())
	return quota.Notice{
		AppID: app, Period: "2000-01-01", Kind: kind, Step: step, Count: 1,
		Alarm: schema.EnrichedAlarm{
			AlarmID: fmt.Sprintf("alarm-%d-%s", app, step), SdkAppID: app, AppName: &name, Owner: &owner, Tier: &tier,
			QuotaUsed: 9340, Quota: 10000, UsedPercent: 93.4, Remaining: 660, Severity: step, EventTime: now, ReceivedAt: now,
		},
	}
}

// tellMany tells one step notice of each of n apps.
func (b *bench) tellMany(from, n int) {
	b.Helper()
	var texts []string
	for i := range n {
		texts = append(texts, fmt.Sprintf("%d step warning", from+i))
	}
	b.tell(strings.Join(texts, ", "))
}

// pass lets time pass, and everybody do what is to be done in it.
func (b *bench) pass(d time.Duration) {
	time.Sleep(d) // the bubble's clock: it jumps
	synctest.Wait()
}

// soon lets enough time pass for a notice to be found and sent.
func (b *bench) soon() {
	b.Helper()
	b.pass(cmp.Or(b.look, lookEvery) + time.Second)
}

// states returns what became of each dispatch, "channel app step state", oldest first.
func (b *bench) states() string {
	b.Helper()
	var texts []string
	for d, err := range b.outbox.Dispatches(b.Context(), store.DispatchFilter{}) {
		if err != nil {
			b.Fatal(err)
		}
		texts = append([]string{fmt.Sprintf("%s %d %s %s", d.Channel, d.AppID, d.Step, d.State)}, texts...)
	}
	return strings.Join(texts, ", ")
}

// ids returns the ids of all dispatches.
func (b *bench) ids() (ids []int64) {
	b.Helper()
	for d, err := range b.outbox.Dispatches(b.Context(), store.DispatchFilter{}) {
		if err != nil {
			b.Fatal(err)
		}
		ids = append(ids, d.ID)
	}
	return ids
}

func (b *bench) want(what, got, want string) {
	b.Helper()
	if got != want {
		b.Errorf("%s:\n%s\nwant\n%s", what, got, want)
	}
}

// series returns a counter's value.
func series(reg prometheus.Gatherer, channel string, r result) int {
	families, err := reg.Gather()
	if err != nil {
		panic(err)
	}
	for _, f := range families {
		if f.GetName() != "tidegate_consumer_notices_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["channel"] == channel && labels["result"] == string(r) {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	return -1
}

// place answers the requests to one host.
type place func(r *sent) (*http.Response, error)

// places is a transport to places by their host.
type places struct {
	mu      sync.Mutex
	answers map[string]place // by host; none: 200
	all     []*sent
}

// sent is one request that came to a place.
type sent struct {
	host   string
	at     time.Time
	header http.Header
	body   string
	ctx    context.Context
}

// RoundTrip hands the request to its place.
func (p *places) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r := &sent{host: req.URL.Host, at: time.Now(), header: req.Header, body: string(body), ctx: req.Context()}
	p.mu.Lock()
	p.all = append(p.all, r)
	answer := p.answers[r.host]
	p.mu.Unlock()
	if answer == nil {
		return respond(200, "")
	}
	return answer(r)
}

func (p *places) set(host string, answer place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[host] = answer
}

// to returns what came to a host so far.
func (p *places) to(host string) (all []*sent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.all {
		if r.host == host {
			all = append(all, r)
		}
	}
	return all
}

func respond(status int, body string, header ...string) (*http.Response, error) {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// always answers with a status.
func always(status int, header ...string) place {
	return func(*sent) (*http.Response, error) { return respond(status, "", header...) }
}

// hangs answers never.
func hangs(r *sent) (*http.Response, error) {
	<-r.ctx.Done()
	return nil, r.ctx.Err()
}

// titles returns the first words of what came, each up to its colon.
func titles(all []*sent) string {
	var texts []string
	for _, r := range all {
		_, rest, _ := strings.Cut(r.body, `"title":"`)
		title, _, _ := strings.Cut(rest, ":")
		title, _, _ = strings.Cut(title, `"`)
		texts = append(texts, title)
	}
	return strings.Join(texts, ", ")
}

// faulty is an outbox that fails when it is told to.
type faulty struct {
	store.Outbox
	settle, all atomic.Bool
}

var errAway = errors.New("the database is away")

func (f *faulty) Settle(ctx context.Context, settled []store.Settlement, now time.Time) error {
	if f.settle.Load() || f.all.Load() {
		return errAway
	}
	return f.Outbox.Settle(ctx, settled, now)
}

func (f *faulty) Claim(ctx context.Context, c store.Claim) ([]store.Dispatch, bool, error) {
	if f.all.Load() {
		return nil, false, errAway
	}
	return f.Outbox.Claim(ctx, c)
}

func (f *faulty) Unrouted(ctx context.Context, limit int) ([]store.Unrouted, error) {
	if f.all.Load() {
		return nil, errAway
	}
	return f.Outbox.Unrouted(ctx, limit)
}
