//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/benchmarks/drive"
	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/schema"
)

// Variants of the part live.
const (
	variantReadable = "readable"     // from the answer to the event
	variantAnswer   = "answer"       // of the gateway
	variantKafka    = "Kafka alone"  // the baseline: a record, written and read
	variantCrossing = "crossing"     // from the callback to the Alertmanager
	variantDirect   = "Alertmanager" // the baseline: a post
)

// afterwards bounds how long what is still under way may take when nothing is sent any more.
const afterwards = 15 * time.Second

// scene is a gateway and a consumer over one database, with a reader of the enriched topic.
type scene struct {
	*bench
	dir, apps string
	store     string // its name in variants
	warmup    time.Duration
	kafka     kafkaconn.Flags
	listen    string // of the gateway
	alerts    *alerts
	seen      *seen
	busy      float64 // percent of the machine's processors, in the time that counts
}

// live measures over SQLite, and over PostgreSQL where there is one.
func (b *bench) live(ctx context.Context) error {
	dir, err := b.folder("live")
	if err != nil {
		return err
	}
	if err := b.liveOver(ctx, "SQLite", "sqlite:"+filepath.Join(dir, "tidegate.db"), b.Settle); err != nil {
		return err
	}
	if b.Postgres != "" {
		t, err := newPostgresTable(ctx, b.Postgres)
		if err != nil {
			return err
		}
		if err := errors.Join(b.liveOver(ctx, "PostgreSQL", t.store(), b.Warmup), t.close(ctx)); err != nil {
			return err
		}
	}
	return b.kafkaAlone(ctx) // last, of the same Kafka: one that has just begun takes ten times as long
}

// liveOver measures over one database.
func (b *bench) liveOver(ctx context.Context, name, store string, warmup time.Duration) (err error) {
	s := &scene{bench: b, store: name, warmup: warmup}
	if s.dir, err = b.folder("live-" + name); err != nil {
		return err
	}
	if s.apps, err = b.appsFile(ctx, s.dir); err != nil {
		return err
	}
	if s.kafka, err = b.topics(ctx, "live"); err != nil {
		return err
	}
	if s.alerts, err = newAlerts(b.Alertmanager); err != nil {
		return err
	}
	defer s.alerts.close()
	if err := s.direct(ctx); err != nil {
		return err
	}
	gateway, err := s.startGateway(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gateway.Kill()) }()
	notify := filepath.Join(s.dir, "notify.yaml")
	if err := os.WriteFile(notify, []byte("channels: [{name: oncall, type: alertmanager, url: \""+s.alerts.url+"\"}]\ndefault: [oncall]\n"), 0o600); err != nil {
		return err
	}
	m, err := b.startMember(ctx, s.dir, "consumer", s.apps, s.kafka, store, "--group", name, "--notify", notify, "--log-level", "warn")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.child.Kill()) }()
	if s.seen, err = follow(ctx, s.kafka); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.seen.stop()) }()
	entries, err := s.load(ctx)
	if err != nil {
		return errors.Join(err, drive.Explain(errors.New("its output"), m.output))
	}
	return s.evaluate(ctx, entries)
}

// direct is the baseline of arrivals at the Alertmanager.
func (s *scene) direct(ctx context.Context) error {
	l, err := s.alerts.direct(ctx, 200)
	if err != nil {
		return err
	}
	one := l.sample(variantDirect, 0)
	one.Facts = map[string]string{factAlertmanager: "a local receiver that answers at once, in place of an Alertmanager", factKafka: s.kafkaName()}
	if s.Alertmanager != "" {
		one.Facts[factAlertmanager] = "a real Alertmanager"
	}
	s.add(one)
	return nil
}

// startGateway starts one that makes everything durable before it answers.
func (s *scene) startGateway(ctx context.Context) (*stack.Child, error) {
	addresses, err := stack.FreeAddresses(2)
	if err != nil {
		return nil, err
	}
	s.listen = addresses[0]
	routes := filepath.Join(s.dir, "routes.yaml")
	if err := os.WriteFile(routes, []byte("routes:\n  - {command: "+schema.CommandQuotaAlarm+", topic: im.alarms.raw, ack: disk}\n"), 0o600); err != nil {
		return nil, err
	}
	return drive.Launch(ctx, stack.ChildOptions{
		Name: "gateway", Path: s.binaries["gateway"], Ready: "http://" + addresses[1] + "/readyz",
		Args: append([]string{
			"--listen", addresses[0], "--admin-listen", addresses[1], "--apps", s.apps, "--routes", routes, "--gateway-name", "bench",
			"--journal-dir", filepath.Join(s.dir, "journal"), "--log-level", "warn",
		}, stack.KafkaFlags(s.kafka)...),
	}, filepath.Join(s.dir, "gateway.log"))
}

// load sends callbacks on schedule, first those that do not count, and returns what came of
// them. In the course of it every app climbs through all steps once.
func (s *scene) load(ctx context.Context) ([]ledger.Entry, error) {
	length := s.warmup + time.Duration(s.Rounds)*s.Turn
	path := filepath.Join(s.dir, "ledger")
	alarmsOfAnApp := s.Rate * length.Seconds() / float64(s.Apps)
	climb := min(10, 32/alarmsOfAnApp) // from 70.5-75.5 % up to 107.5 % at the most; by more than 10 % at once a step would be passed over
	child, err := drive.Launch(ctx, stack.ChildOptions{Name: "load", Path: s.binaries["load"], Args: []string{
		"run", "--url", "http://" + s.listen + "/", "--rate", fmt.Sprint(s.Rate), "--duration", length.String(), "--apps-file", s.apps,
		"--ledger", path, "--climb", strconv.FormatFloat(climb, 'f', 4, 64), "--connections", "64",
	}}, filepath.Join(s.dir, "load.log"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, length+afterwards)
	defer cancel()
	if err := s.watch(ctx, child); err != nil {
		return nil, errors.Join(drive.Explain(err, filepath.Join(s.dir, "load.log")), child.Kill())
	}
	return ledger.Read(path)
}

// watch waits for the end of the load, and notes how busy the machine is from the warm-up on.
func (s *scene) watch(ctx context.Context, load *stack.Child) error {
	select {
	case <-time.After(s.warmup):
	case err := <-load.Unasked(): // it has not even begun to count
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	busyBefore, timeBefore, err := drive.MachineCPU()
	if err != nil {
		return err
	}
	if err := load.Wait(ctx); err != nil {
		return err
	}
	busy, all, err := drive.MachineCPU()
	s.busy = 100 * float64(busy-busyBefore) / float64(all-timeBefore)
	return err
}

// alarmID is the identity that the consumer gives to what was sent.
func alarmID(e *ledger.Entry) string {
	return schema.AlarmID(&schema.Callback{AppID: e.App, Command: []byte(e.Command)},
		&schema.QuotaAlarm{QuotaUsed: e.Used, Quota: e.Quota, EventTime: time.UnixMilli(e.EventTime).UTC()})
}

// evaluate waits for what is under way, and adds the samples. All that was answered 200 has to
// be readable, and every step that an event says was entered has to have arrived.
func (s *scene) evaluate(ctx context.Context, entries []ledger.Entry) error {
	accepted := map[string]*ledger.Entry{}
	begun := entries[0].Due
	for i := range entries {
		e := &entries[i]
		begun = min(begun, e.Due)
		if e.Accepted() {
			accepted[alarmID(e)] = e
		}
	}
	if n := len(entries) - len(accepted); n > 0 {
		s.refuse("live over %s: %d of %d callbacks were not answered 200", s.store, n, len(entries))
	}
	if err := until(ctx, "all events readable", afterwards, func() (bool, error) { return s.seen.count() >= len(accepted), nil }); err != nil {
		s.refuse("live over %s: of %d callbacks that were answered 200 %d events were readable: %w", s.store, len(accepted), s.seen.count(), err)
	}
	if err := s.readable(accepted, time.UnixMicro(begun).Add(s.warmup)); err != nil {
		return err
	}
	return s.crossings(ctx, accepted)
}

// readable adds a sample of each turn: from the answer to the event, and how long the answer
// took from when it was due.
func (s *scene) readable(accepted map[string]*ledger.Entry, from time.Time) error {
	events, answers := make([]*latencies, s.Rounds), make([]*latencies, s.Rounds)
	for i := range events {
		events[i], answers[i] = newLatencies(), newLatencies()
	}
	for id, e := range accepted {
		at, there := s.seen.event(id)
		due := time.UnixMicro(e.Due)
		if !there || due.Before(from) {
			continue
		}
		round := min(int(due.Sub(from)/s.Turn), s.Rounds-1)
		events[round].note(at.Sub(time.UnixMicro(e.Done)))
		answers[round].note(e.Latency())
	}
	for round := range events {
		if events[round].h.TotalCount() == 0 {
			return fmt.Errorf("round %d: no event", round+1)
		}
		event := events[round].sample(variantReadable+" "+s.store, round)
		event.Figures[machineBusy] = s.busy // of all rounds
		s.add(event)
		s.add(answers[round].sample(variantAnswer+" "+s.store, round))
	}
	return nil
}

// crossings adds a sample of each step: from the sending of the callback whose event entered
// it to the Alertmanager's answer.
func (s *scene) crossings(ctx context.Context, accepted map[string]*ledger.Entry) error {
	entered := s.seen.entered()
	missing := func() (n int) {
		for c := range entered {
			if _, there := s.alerts.arrived(c); !there {
				n++
			}
		}
		return n
	}
	if err := until(ctx, "all alerts arrived", afterwards, func() (bool, error) { return missing() == 0, nil }); err != nil {
		s.refuse("live over %s: %d of %d steps did not arrive: %w", s.store, missing(), len(entered), err)
	}
	for i, step := range schema.Severities()[1:] {
		l := newLatencies()
		for c, id := range entered {
			at, there := s.alerts.arrived(c)
			if e := accepted[id]; c.step == step && there && e != nil {
				l.note(at.Sub(time.UnixMicro(e.Sent)))
			}
		}
		if l.h.TotalCount() > 0 {
			s.add(l.sample(variantCrossing+" "+s.store, i))
		}
	}
	return nil
}
