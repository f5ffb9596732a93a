package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/forward"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/internal/produce"
	"github.com/tidegate/tidegate/schema"
)

// errInterrupted is a drain that a signal ended. What is left is in the journal: running
// the command again goes on.
var errInterrupted = errors.New("interrupted")

// progressEvery is how often drain says how much is left.
const progressEvery = 5 * time.Second

// drainCommand delivers what a journal holds, for a dead machine's disk and for scale-in.
type drainCommand struct {
	journalFlags `embed:""`
	Timeout      time.Duration    `name:"timeout" env:"-" placeholder:"DURATION" default:"0s" help:"Give up after this time, with exit status 1. 0: never."`
	Kafka        kafkaconn.Flags  `embed:"" group:"Kafka"`
	Produce      produce.Flags    `embed:"" group:"Kafka"`
	Logs         process.LogFlags `embed:"" group:"Logs"`
}

// Run delivers everything in the journal and what is parked beside it, under the same ids
// as the gateway that took it would have. It opens no listener. Its error says how much is
// left, which stays in the journal: running it again goes on.
func (c *drainCommand) Run(con *process.Console) error {
	if c.Timeout < 0 {
		return fmt.Errorf("--timeout: want 0s or more, have %v", c.Timeout)
	}
	if err := c.Kafka.Check(); err != nil {
		return err
	}
	if err := c.exists(); err != nil {
		return err
	}
	log, err := c.Logs.New(con.Stderr)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }()
	p := process.New(log)
	d, err := openDelivery(p, c.options(log))
	if err != nil {
		return fmt.Errorf("start: %w", errors.Join(err, p.Stop(closeTime)))
	}
	before := d.journal.Stats().Entries + d.parked.Stats().Entries
	ctx, done := context.WithCancel(con.Context)
	var result error // both written by the goroutine, which Run waits for
	var left int64
	p.Go("drain", func(stop context.Context) error {
		defer done()
		result = c.drain(stop, d)
		left = d.journal.Stats().Entries + d.parked.Stats().Entries
		return nil
	})
	err = p.Run(ctx, closeTime)
	if err := errors.Join(result, err); err != nil {
		return fmt.Errorf("%d callbacks are left in %s: %w", left, process.Absolute(c.JournalDir), err)
	}
	fmt.Fprintf(con.Stdout, "%d callbacks delivered, %s is empty\n", before-left, process.Absolute(c.JournalDir))
	return nil
}

// skipLine is the command that skips the entry at which delivery halts.
func skipLine(h *forward.HaltError) string {
	line := fmt.Sprintf("gateway journal skip --lsn %d --to-file FILE", h.LSN)
	if h.Parked {
		line += " --parked"
	}
	return line
}

// exists refuses to make a journal where there is none: a mistyped directory would look
// as if it were empty.
func (f journalFlags) exists() error {
	if _, err := os.Stat(f.JournalDir); err != nil {
		return fmt.Errorf("--journal-dir: %w", err)
	}
	if _, err := os.Stat(filepath.Join(f.JournalDir, "journal-id")); err != nil {
		return fmt.Errorf("--journal-dir: %s holds no journal: %w", process.Absolute(f.JournalDir), err)
	}
	return nil
}

// options open the journal with the widest limits: a drain must read what any gateway has
// taken. What was delivered is freed at once, as nobody will replay it from here.
func (c *drainCommand) options(log *zap.Logger) deliveryOptions {
	return deliveryOptions{
		// The largest payload that any gateway can have taken.
		journal:   journal.Options{Dir: c.JournalDir, Retain: -1, MaxPayload: maxBody + payloadRoom},
		parkedDir: c.parkedDir(),
		kafka:     c.Kafka,
		produce:   c.Produce,
		topics:    []string{schema.NewTopics(c.Kafka.TopicPrefix).AlarmsRaw},
		log:       log,
	}
}

// drain waits until everything is delivered, and says now and then how much is left.
func (c *drainCommand) drain(ctx context.Context, d *delivery) error {
	if c.Timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, c.Timeout)
		defer cancel()
		ctx = limited
	}
	drained := make(chan error, 1)
	go func() { drained <- d.forwarder.Drain(ctx) }()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-drained:
			switch {
			case errors.Is(err, context.DeadlineExceeded):
				return fmt.Errorf("--timeout %v is over: %w", c.Timeout, err)
			case errors.Is(err, context.Canceled):
				return errInterrupted
			}
			if halt, ok := errors.AsType[*forward.HaltError](err); ok {
				return fmt.Errorf("%w; a newer release may be able to read it, journal skip keeps it in a file and lets the rest go on: %s", err, skipLine(halt))
			}
			return err
		case <-tick.C:
			d.log.Info("draining", zap.Int64("left", d.journal.Stats().Entries), zap.Int64("left_parked", d.parked.Stats().Entries),
				zap.Bool("kafka_up", d.producer.Up()))
		}
	}
}
