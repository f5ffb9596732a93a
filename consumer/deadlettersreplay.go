package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/consumer/internal/pipeline"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/internal/produce"
	"github.com/tidegate/tidegate/internal/reload"
	"github.com/tidegate/tidegate/schema"
)

// replayLetters is how many dead letters are replayed at once: a transaction of a few
// milliseconds, so that a live consumer hardly waits for SQLite's one writer.
const replayLetters = 200

// deadlettersReplayCommand takes dead letters through the consumer's steps again.
type deadlettersReplayCommand struct {
	storeFlags   `embed:""`
	letterFilter `embed:""`
	ID           int64  `name:"id" env:"-" placeholder:"ID" help:"Only this one."`
	Apps         string `name:"apps" required:"" placeholder:"FILE" help:"YAML file with the apps that are ours: the consumer's."`
	Rate         int    `name:"rate" env:"-" placeholder:"N" default:"500" help:"Dead letters per second, so that the consumer has room in the store and at Kafka. 0: as fast as it goes."`
	Yes          bool   `name:"yes" env:"-" help:"Do it. Without it, only say how many of them could be read now; that needs no Kafka."`

	kafkaconn.Flags  `embed:"" group:"Kafka"`
	Produce          produce.Flags `embed:"" group:"Kafka"`
	process.LogFlags `embed:"" group:"Logs"`
}

var (
	// errStayDead ends a replay after which some letters are what they were: the lines before
	// say why.
	errStayDead = errors.New("some dead letters stay what they are")

	// errReplayStopped ends a replay that a signal ended.
	errReplayStopped = errors.New("interrupted; run it again for the rest: nothing is replayed twice")
)

// Run replays what the filter selects, oldest first, and before that finishes what an
// interrupted replay left. Alarms are saved and enriched alarms published as the consumer does
// it; nothing goes back to the raw topic. It may run beside a live consumer: on SQLite the two
// write in turn.
func (c *deadlettersReplayCommand) Run(con *process.Console) error {
	f, err := c.wrong()
	if err != nil {
		return err
	}
	file, err := reload.Open("apps", c.Apps, apps.Parser(apps.Options{}), reload.Options{})
	if err != nil {
		return err
	}
	s, there, err := openToRead(con, c.Store)
	if err != nil || !there {
		return err
	}
	r := &letterReplay{
		filter: f, rate: c.Rate, out: con.Stdout, store: s,
		options: pipeline.Options{Store: s, Apps: file.Get, Topics: schema.NewTopics(c.TopicPrefix)},
	}
	if !c.Yes {
		defer func() { _ = s.Close() }()
		return r.inspect(con.Context)
	}
	if err := s.Close(); err != nil {
		return err
	}
	return c.replay(con, r)
}

// wrong returns the filter, or what is wrong with the flags.
func (c *deadlettersReplayCommand) wrong() (store.DeadLetterFilter, error) {
	f, err := c.filter()
	f.ID = c.ID
	errs := []error{err, c.CheckPrefix()}
	if c.ID < 0 {
		errs = append(errs, fmt.Errorf("--id: want one that list has, have %d", c.ID))
	}
	if c.Rate < 0 {
		errs = append(errs, fmt.Errorf("--rate: want 0 or more, have %d", c.Rate))
	}
	if c.Yes {
		errs = append(errs, c.Check())
	}
	return f, errors.Join(errs...)
}

// replay opens store and Kafka for r, runs it until the end or a signal, and closes both.
func (c *deadlettersReplayCommand) replay(con *process.Console, r *letterReplay) error {
	ctx, stop := signal.NotifyContext(con.Context, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	log, err := c.New(con.Stderr)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }()
	p := process.New(log)
	err = c.open(ctx, p, r, log)
	if err == nil {
		err = r.run(ctx)
		r.report()
	}
	if err != nil && ctx.Err() != nil {
		err = errReplayStopped
	}
	return errors.Join(err, p.Stop(stopBudget))
}

// open opens what a replay writes to. On an error, p's stop steps undo what was done.
func (c *deadlettersReplayCommand) open(ctx context.Context, p *process.Process, r *letterReplay, log *zap.Logger) error {
	s, err := store.Open(ctx, c.Store, store.Options{Log: log.Named("store")})
	if err != nil {
		return fmt.Errorf("--store: %w", err)
	}
	p.OnStop("store", func(context.Context) error { return s.Close() })
	conn, err := kafkaconn.Open(c.Flags, clientID)
	if err != nil {
		return err
	}
	p.OnStop("kafka connection", func(context.Context) error { conn.Close(); return nil })
	producer, err := produce.New(produce.Options{
		Conn: conn, Log: log.Named("produce"), MetricsPrefix: "tidegate_consumer", Compression: c.Produce.Compression,
	})
	if err != nil {
		return err
	}
	p.OnStop("producer lanes", func(context.Context) error { producer.Close(); return nil })
	p.Go("producer", producer.Run)
	r.store, r.options.Store, r.options.Producer, r.options.Log = s, s, producer, log.Named("pipeline")
	return nil
}

// letterReplay is one replay, or what one would do.
type letterReplay struct {
	store   store.Store
	options pipeline.Options // of the pipeline that the letters go through
	filter  store.DeadLetterFilter
	rate    int // letters per second; 0: unlimited
	out     io.Writer

	began     time.Time
	handled   int // letters
	finished  int // of them, that an interrupted replay left
	elsewhere int // of them, that another replay took
	outcomes  map[pipeline.Outcome]int
	dead      map[schema.Reason]int // why letters stay dead
}

// inspect says what a replay would find.
func (r *letterReplay) inspect(ctx context.Context) error {
	p := pipeline.New(r.options)
	readable, dead := 0, map[schema.Reason]int{}
	err := r.each(ctx, store.DeadLettersOpen, r.filter, func(letters []store.DeadLetter) error {
		for _, result := range p.Inspect(letters) {
			if result.Outcome == pipeline.OutcomeDeadLetter {
				dead[result.Reason]++
			} else {
				readable++
			}
		}
		return nil
	})
	unpublished := 0
	if err == nil {
		err = r.each(ctx, store.DeadLettersUnpublished, store.DeadLetterFilter{}, func(letters []store.DeadLetter) error {
			unpublished += len(letters)
			return nil
		})
	}
	if err != nil {
		return err
	}
	if unpublished > 0 {
		fmt.Fprintf(r.out, "%d were saved by a replay that was interrupted: their events are published first\n", unpublished)
	}
	fmt.Fprintf(r.out, "%d can be read now and would be replayed\n", readable)
	if len(dead) > 0 {
		fmt.Fprintf(r.out, "%d would stay dead letters: %s\n", deadCount(dead), reasonCounts(dead))
	}
	if readable+unpublished > 0 {
		fmt.Fprintln(r.out, "--yes does it")
	}
	return nil
}

// run finishes what an interrupted replay left, whatever the filter, and replays what it selects.
func (r *letterReplay) run(ctx context.Context) error {
	p := pipeline.New(r.options)
	r.began, r.outcomes, r.dead = time.Now(), map[pipeline.Outcome]int{}, map[schema.Reason]int{}
	handle := func(letters []store.DeadLetter) error {
		results, err := p.Replay(ctx, letters)
		for i := range results {
			r.count(&results[i])
		}
		if err != nil {
			return err
		}
		return r.pace(ctx)
	}
	err := r.each(ctx, store.DeadLettersUnpublished, store.DeadLetterFilter{}, handle)
	r.finished = r.handled
	if err == nil {
		err = r.each(ctx, store.DeadLettersOpen, r.filter, handle)
	}
	switch {
	case err != nil:
		return err
	case len(r.dead) > 0:
		return errStayDead
	}
	return nil
}

// each hands over the letters that are there when it begins, oldest first, some at a time, each
// once. Between two calls nothing is read, so that the database reclaims space.
func (r *letterReplay) each(ctx context.Context, state store.DeadLetterState, f store.DeadLetterFilter, handle func([]store.DeadLetter) error) error {
	left := f.Limit
	f.State, f.Limit = state, 1
	newest, err := lettersOf(ctx, r.store, f)
	if err != nil || len(newest) == 0 {
		return err
	}
	limited := left > 0
	for f.Order = store.OldestFirst; !limited || left > 0; {
		f.Limit = r.atOnce()
		if limited {
			f.Limit = min(f.Limit, left)
		}
		letters, err := lettersOf(ctx, r.store, f)
		if err != nil {
			return err
		}
		letters = slices.DeleteFunc(letters, func(l store.DeadLetter) bool { return l.ID > newest[0].ID })
		if len(letters) == 0 {
			return nil
		}
		if err := handle(letters); err != nil {
			return err
		}
		left -= len(letters)
		f.After = letters[len(letters)-1].ID
	}
	return nil
}

// atOnce is how many letters are replayed together: a tenth of a second's, so that the rate is
// kept from the beginning.
func (r *letterReplay) atOnce() int {
	if r.rate == 0 {
		return replayLetters
	}
	return min(max(1, r.rate/10), replayLetters)
}

// lettersOf reads all that a filter selects.
func lettersOf(ctx context.Context, s store.Store, f store.DeadLetterFilter) (all []store.DeadLetter, err error) {
	for l, err := range s.DeadLetters(ctx, f) {
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// pace waits until the rate permits more.
func (r *letterReplay) pace(ctx context.Context) error {
	if r.rate == 0 {
		return nil
	}
	timer := time.NewTimer(time.Until(r.began.Add(time.Duration(float64(r.handled) / float64(r.rate) * float64(time.Second)))))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

func (r *letterReplay) count(result *pipeline.Replayed) {
	r.handled++
	switch {
	case result.Elsewhere:
		r.elsewhere++
	case result.Outcome == pipeline.OutcomeDeadLetter:
		r.dead[result.Reason]++
	default:
		r.outcomes[result.Outcome]++
	}
}

// report says what was done.
func (r *letterReplay) report() {
	for _, line := range []struct {
		n    int
		text string
	}{
		{r.finished, "were left by an interrupted replay and are among these:"},
		{r.outcomes[pipeline.OutcomeSaved], "saved, their enriched alarms published"},
		{r.outcomes[pipeline.OutcomeRepeated], "were copies of saved alarms and are counted"},
		{r.outcomes[pipeline.OutcomeRedelivered], "had had their effect; what is saved of their alarms is published now"},
		{r.elsewhere, "were taken by another replay, or dropped"},
		{deadCount(r.dead), "stay dead letters: " + reasonCounts(r.dead)},
	} {
		if line.n > 0 {
			fmt.Fprintf(r.out, "%d %s\n", line.n, line.text)
		}
	}
	if r.handled == 0 {
		fmt.Fprintln(r.out, "nothing to replay")
	}
}

func deadCount(dead map[schema.Reason]int) (n int) {
	for _, count := range dead {
		n += count
	}
	return n
}

// reasonCounts lists reasons with their numbers: "bad_field 2, bad_json 1".
func reasonCounts(dead map[schema.Reason]int) string {
	var texts []string
	for _, reason := range slices.Sorted(maps.Keys(dead)) {
		texts = append(texts, fmt.Sprintf("%s %d", reason, dead[reason]))
	}
	return strings.Join(texts, ", ")
}
