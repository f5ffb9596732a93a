package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
	"github.com/tidegate/tidegate/gateway/internal/torture"
	"github.com/tidegate/tidegate/internal/process"
)

const (
	tortureTopic      = "im.callbacks.raw"
	torturePartitions = 4
	tortureApps       = 6
	sendersPerApp     = 2
	mostRecords       = 1000 // of a batch: produce.Options.MaxBatchRecords

	// One topic at three levels.
	tortureRoutes = `routes:
  - {command: Memory.*, topic: im.callbacks.raw, ack: memory}
  - {command: Disk.*, topic: im.callbacks.raw, ack: disk}
  - {command: Broker.*, topic: im.callbacks.raw, ack: broker}
`
)

// TestTortureWholeGateway lets a gateway live many lives on a disk in memory, under load, and
// ends them by power losses and kills in the midst of all of it, start and recovery included;
// the disk fails now and then, and so does Kafka. Everything in between is the real thing,
// from the listener to the broker's answer. A real kill -9 could not see a sync that is
// missing: the page cache would survive it. In the end a ledger that knows only what the
// senders were told, and what is in Kafka, is compared: J1 to J4, J8, J10, J15, J16.
func TestTortureWholeGateway(t *testing.T) {
	loop := torture.New(t, 2, 1)
	for seed := range loop.Seeds() {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := newWorld(t, loop, seed)
			for range 12 {
				w.live(w.plan())
			}
			w.live(plan{end: untilEmpty})
			w.compare()
		})
	}
}

// end is how a life ends.
type end string

const (
	powerLoss  end = "power loss"
	killed     end = "kill"
	stopped    end = "stop"
	untilEmpty end = "stop when all is delivered" // and everything works
)

// plan is what a life is to be like.
type plan struct {
	end     end
	start   int64         // the n-th change of the disk from its start ends it; 0: load comes first
	load    time.Duration // then the n-th change after so much load ends it
	after   int64
	faultAt int64 // the n-th change and those that follow fail; 0: none
	faults  int64
	err     error
	kafka   error // what Kafka answers; nil: as it should
	closed  bool  // Kafka goes on answering that, also in the next lives
}

// plan makes a life by chance.
func (w *world) plan() plan {
	r := w.random
	p := plan{end: []end{powerLoss, powerLoss, powerLoss, killed, killed, stopped}[r.IntN(6)]}
	p.load, p.after = time.Duration(50+r.IntN(500))*time.Millisecond, 1+r.Int64N(12)
	if p.end != stopped && r.IntN(5) == 0 {
		p.start = 1 + r.Int64N(60)
	}
	if r.IntN(3) == 0 {
		p.faultAt, p.faults = 1+r.Int64N(300), 1+r.Int64N(6)
		p.err = []error{syscall.EIO, syscall.ENOSPC, syscall.EROFS}[r.IntN(3)]
	}
	switch r.IntN(4) {
	case 0:
		p.kafka = []error{kerr.NotEnoughReplicas, kerr.RequestTimedOut, kerr.NotLeaderForPartition}[r.IntN(3)]
	case 1: // the topic is parked
		p.kafka, p.closed = kerr.TopicAuthorizationFailed, r.IntN(2) == 0
	}
	return p
}

// callback is what a sender knows of one that it sent.
type callback struct {
	app    int64
	sender int
	n      int    // of this sender
	level  string // Memory, Disk, Broker
	life   int
	answer string // ErrorInfo; "" is 200; "?" no answer
}

// world is what outlives a gateway: disk, broker, senders and their ledger.
type world struct {
	t       *testing.T
	loop    *torture.Loop
	random  *rand.Rand
	cluster *kfake.Cluster
	disk    *vfs.Mem
	set     func() *settings
	client  *kgo.Client // of the topic, from its start
	log     *buffer     // of the gateway
	refusal *kfake.FaultHandle

	lives   int
	journal uint64 // its id, from the first life on
	bound   int    // duplicates that there may be

	mu   sync.Mutex
	sent map[string]*callback // by body; guarded by mu
	next map[[2]int64]int     // by app and sender: how many were sent; guarded by mu

	// What Kafka has.
	bodies     map[string][]string // the ids of each body
	ids        map[string]string   // the body of each id
	records    []*kgo.Record       // the first of each id, in the order of each partition
	duplicates int
}

func newWorld(t *testing.T, loop *torture.Loop, seed uint64) *world {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(torturePartitions, tortureTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	w := &world{
		t: t, loop: loop, random: rand.New(rand.NewPCG(seed, 11)), cluster: c, disk: vfs.NewMem(), log: new(buffer),
		sent: map[string]*callback{}, next: map[[2]int64]int{}, bodies: map[string][]string{}, ids: map[string]string{},
	}
	if w.client, err = kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(tortureTopic), kgo.FetchMaxWait(50*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	dir := t.TempDir()
	var apps strings.Builder
	apps.WriteString("apps:\n")
	for i := range tortureApps {
		fmt.Fprintf(&apps, "  - {sdk_app_id: %d, name: app %d, rate_limit: {per_second: 100000, burst: 100000}}\n", appOf(i), i)
	}
	files := []string{"--apps=" + write(t, dir, "apps.yaml", apps.String()), "--routes=" + write(t, dir, "routes.yaml", tortureRoutes)}
	w.set = func() *settings {
		return settingsOf(t, append(files, "--brokers="+strings.Join(c.ListenAddrs(), ","), "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0",
			"--journal-dir=/journal", "--journal-max-bytes=1MiB", "--parked-max-bytes=16MiB", "--max-body-bytes=8KiB", "--journal-retain=0s",
			"--gateway-name=g1", "--ack-deadline=400ms", "--drain-timeout=0s")...)
	}
	t.Cleanup(func() {
		if t.Failed() {
			log := w.log.String()
			t.Logf("the end of the gateway's log:\n%s", log[max(0, len(log)-8000):])
		}
	})
	return w
}

func appOf(i int) int64 { return 1400000001 + int64(i) }

// disaster is the file system of one life, and how that ends.
type disaster struct {
	disk    *vfs.Mem
	plan    plan
	changes atomic.Int64
	armed   atomic.Int64 // changes until the end; 0: not yet
	faults  atomic.Int64
	once    sync.Once
	dead    chan struct{}
}

func (d *disaster) decide(op vfs.Op) vfs.Fault {
	if !op.Kind.Changes() {
		return vfs.Fault{}
	}
	n := d.changes.Add(1)
	if n == d.plan.start || d.armed.Load() > 0 && d.armed.Add(-1) == 0 {
		d.once.Do(func() { close(d.dead) })
		return vfs.Fault{Cut: d.disk}
	}
	if d.plan.faultAt > 0 && n >= d.plan.faultAt && n < d.plan.faultAt+d.plan.faults {
		d.faults.Add(1)
		return vfs.Fault{Err: d.plan.err, Short: n%2 == 0}
	}
	return vfs.Fault{}
}

// live is one life: a start, load, and its end.
func (w *world) live(p plan) {
	w.lives++
	w.loop.Lived()
	w.kafkaBecomes(p)
	w.collect()
	d := &disaster{disk: w.disk, plan: p, dead: make(chan struct{})}
	set := w.set()
	if p.end == untilEmpty || p.end == stopped {
		set.DrainTimeout = 2 * time.Second
	}
	log := newLog(w.log).WithOptions(zap.IncreaseLevel(zap.InfoLevel))
	log.Info("the next life", zap.Int("life", w.lives), zap.String("plan", fmt.Sprintf("%+v", p)))
	proc := process.New(log)
	g, err := openWith(proc, set, seams{fs: vfs.NewFaulty(w.disk, d.decide), topicGrace: 50 * time.Millisecond, topicRetry: 100 * time.Millisecond}, log)
	if err != nil {
		if d.faults.Load() == 0 && !d.isDead() {
			w.t.Fatalf("life %d, %+v: start: %v", w.lives, p, err)
		}
		err = proc.Stop(set.stopBudget())
	} else {
		err = w.run(proc, g, d)
	}
	if errors.Is(err, process.ErrStopTimeout) {
		w.t.Fatalf("life %d: a part of the gateway did not stop: %v", w.lives, err)
	}
	if err != nil && d.faults.Load() == 0 && !d.isDead() {
		w.t.Errorf("J14: life %d, %+v: stop: %v", w.lives, p, err)
	}
	w.loop.Faulted(int(d.faults.Load()))
	w.after(p, d)
}

func (d *disaster) isDead() bool {
	select {
	case <-d.dead:
		return true
	default:
		return false
	}
}

// after does to the disk what the end of a life does.
func (w *world) after(p plan, d *disaster) {
	if p.end == powerLoss || p.end == killed {
		w.loop.Crashed()
	}
	w.disk.Cut()
	if p.end == powerLoss {
		w.disk.Restart(w.random)
	} else {
		w.disk.Revive()
	}
}

// run puts load on a gateway until the end that the plan has.
func (w *world) run(proc *process.Process, g *gateway, d *disaster) error {
	w.opened(g)
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(ctx, g.set.stopBudget()) }()
	sending, enough := context.WithCancel(ctx)
	var senders sync.WaitGroup
	transport := &http.Transport{MaxIdleConnsPerHost: tortureApps * sendersPerApp}
	for app := range tortureApps {
		for s := range sendersPerApp {
			r := rand.New(rand.NewPCG(w.random.Uint64(), 1))
			senders.Go(func() { w.send(sending, transport, r, g.listener.Addr().String(), appOf(app), s) })
		}
	}
	w.wait(g, d, ended)
	if d.plan.end == untilEmpty {
		enough()
		senders.Wait()
		eventually(w.t, "everything is delivered", func() bool {
			return g.delivery.journal.Stats().Entries+g.delivery.parked.Stats().Entries == 0
		})
	}
	cancel()
	err := <-ended
	enough()
	senders.Wait()
	transport.CloseIdleConnections()
	return err
}

// wait returns when a life is to end. ended gets what it took back.
func (w *world) wait(g *gateway, d *disaster, ended chan error) {
	over := time.NewTimer(d.plan.load)
	defer over.Stop()
	select {
	case <-d.dead:
		return
	case err := <-ended: // by itself: the disk failed
		ended <- err
		return
	case <-over.C:
	}
	if d.plan.end != powerLoss && d.plan.end != killed {
		return
	}
	d.armed.Store(d.plan.after)
	select {
	case <-d.dead:
	case <-time.After(time.Second): // nothing changes any more: the end may come anywhere
		d.once.Do(func() { close(d.dead) })
		w.disk.Cut()
	}
}

// kafkaBecomes lets Kafka answer what the plan says.
func (w *world) kafkaBecomes(p plan) {
	if w.refusal != nil && (p.end == untilEmpty || !p.closed) {
		w.refusal.Remove()
		w.refusal = nil
	}
	if p.kafka == nil || w.refusal != nil {
		return
	}
	w.loop.Faulted(1)
	var code *kerr.Error
	if !errors.As(p.kafka, &code) {
		w.t.Fatal(p.kafka)
	}
	f := kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: tortureTopic, Err: code, Count: 1 + w.random.IntN(40)}
	if p.closed {
		f.Count = -1
	}
	handle := w.cluster.Fault(f)
	if p.closed {
		w.refusal = handle
	}
}

// opened looks at a gateway that has recovered, before it can have delivered much.
func (w *world) opened(g *gateway) {
	parked := int(g.delivery.parked.Stats().Entries) // first of all: they are being delivered
	j := g.delivery.journal
	for name, j := range map[string]*journal.Journal{"journal": j, "parked journal": g.delivery.parked} {
		if c := j.Stats().Corruptions; len(c) > 0 {
			w.t.Fatalf("J5: life %d: false alarm in the %s: %v", w.lives, name, c)
		}
	}
	if w.journal == 0 {
		w.journal = j.ID()
	}
	if j.ID() != w.journal {
		w.t.Fatalf("J16: life %d: the journal's id changed", w.lives)
	}
	// What was delivered and is not in the checkpoint may come twice, and so may a batch of each
	// lane that was on its way when we looked; and what is parked was perhaps not settled in
	// the main journal, or delivered and not settled in its own.
	settled, cursors := j.Restored()
	lanes := map[string]journal.LSN{}
	for _, c := range cursors {
		lanes[c.Lane] = c.LSN
	}
	again := 0
	for _, record := range w.records {
		lsn := journal.LSN(idOf(w.t, record).LSN)
		if lsn > settled && lsn > lanes[fmt.Sprintf("%s/%d/%d", tortureTopic, torturePartitions, record.Partition)] {
			again++
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	missing := 0
	for body, c := range w.sent {
		if w.bodies[body] == nil && c.mayCome() {
			missing++
		}
	}
	w.bound += again + min(missing, torturePartitions*mostRecords) + 2*parked
}

// send sends callbacks of one app at random levels, one after another.
func (w *world) send(ctx context.Context, transport *http.Transport, r *rand.Rand, address string, app int64, sender int) {
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	for ctx.Err() == nil {
		key := [2]int64{app, int64(sender)}
		w.mu.Lock()
		c := &callback{app: app, sender: sender, n: w.next[key], level: []string{"Memory", "Disk", "Disk", "Broker"}[r.IntN(4)], life: w.lives, answer: "?"}
		w.next[key]++
		body := fmt.Sprintf(`{"app":%d,"sender":%d,"n":%d,"pad":%q}`, app, sender, c.n, strings.Repeat("x", r.IntN(4000)))
		w.sent[body] = c
		w.mu.Unlock()
		answer := post(ctx, client, address, app, c.level+".X", body)
		w.mu.Lock()
		c.answer = answer
		w.mu.Unlock()
		if answer != "" {
			pause := time.NewTimer(time.Duration(r.IntN(10)) * time.Millisecond) // as a client that was refused
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
		}
	}
}

// post sends one and returns the answer's ErrorInfo, or "?".
func post(ctx context.Context, client *http.Client, address string, app int64, command, body string) string {
	query := url.Values{"SdkAppid": {strconv.FormatInt(app, 10)}, "CallbackCommand": {command}}
	// Without ctx: a request that has begun is answered, or its gateway dies.
	request, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, "http://"+address+"/?"+query.Encode(), strings.NewReader(body))
	if err != nil {
		return "?"
	}
	request.GetBody = nil // never sent twice
	res, err := client.Do(request)
	if err != nil {
		return "?"
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	var envelope struct{ ErrorInfo string }
	if err != nil || json.Unmarshal(data, &envelope) != nil || (res.StatusCode == http.StatusOK) != (envelope.ErrorInfo == "") {
		return "?"
	}
	return envelope.ErrorInfo
}
