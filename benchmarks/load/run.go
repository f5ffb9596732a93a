package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
)

// runCommand sends callbacks.
type runCommand struct {
	URL         string        `default:"http://127.0.0.1:8080/" placeholder:"URL" help:"The gateway; loopback only (default ${default})."`
	Rate        float64       `default:"0" placeholder:"N" help:"Callbacks a second on schedule, whatever the answers do; 0: as fast as answers come (default ${default})."`
	Connections int           `default:"64" placeholder:"N" help:"Kept-alive connections, and so the most callbacks in flight (default ${default})."`
	Duration    time.Duration `default:"10s" help:"How long to send; 0: until interrupted (default ${default})."`
	Requests    int64         `default:"0" placeholder:"N" help:"Stop after so many callbacks; 0: no limit (default ${default})."`
	Warmup      time.Duration `default:"0s" help:"Leave callbacks due in this first part out of the summary, not out of the ledger (default ${default})."`
	AppCount    int           `default:"0" placeholder:"N" help:"Apps to send for: of --apps-file its first N (0: all), else sample apps 1400000001... (0: 16)."`
	AppsFile    string        `placeholder:"FILE" help:"Apps and their tokens (file:, env: and plain: are resolved as the gateway does)."`
	Ledger      string        `placeholder:"FILE" help:"Write every request and its answer there, one JSON line each."`
	Sequential  bool          `help:"Each app sends its next callback only after its last one was answered."`
	Mix         string        `default:"alarm=1" placeholder:"COMMAND=WEIGHT,..." help:"Commands and their weights; alarm is the quota alarm (default ${default})."`
	Signed      float64       `default:"1" placeholder:"SHARE" help:"Share of callbacks with Sign, of apps that have a token (default ${default})."`
	Malformed   float64       `default:"0" placeholder:"SHARE" help:"Share of alarms with a body that the consumer must refuse (default ${default})."`
	BodyBytes   string        `default:"0" placeholder:"MIN[-MAX]" help:"Pad bodies to a size from this range in bytes (default ${default}: none)."`
	EventTime   string        `default:"string" enum:"integer,string,mixed,absent" help:"Form of EventTime: ${enum} (default ${default})."`
	Climb       float64       `default:"0" placeholder:"PERCENT" help:"How far each alarm's QuotaUsed is above the app's last, in percent of the cap; 0: by one group (default ${default})."`
	History     time.Duration `default:"0s" help:"Date each app's first four alarms back over this long, so that a rate is known at once (default ${default})."`
	Timeout     time.Duration `default:"5s" help:"Give an answer up after this long; the vendor waits 2s (default ${default})."`
	Seed        uint64        `default:"1" help:"Seed of all choices (default ${default})."`
	Format      string        `default:"text" enum:"text,json" help:"Form of the summary: ${enum} (default ${default})."`
	Histogram   string        `placeholder:"FILE" help:"Write the latencies as HdrHistogram percentiles, in milliseconds."`
}

// Run sends until the duration, the number of requests or ctx ends, waits for the answers
// that are outstanding, and prints the summary to out.
func (c *runCommand) Run(ctx context.Context, out io.Writer) error {
	recipe, err := c.recipe()
	if err != nil {
		return err
	}
	fleet, err := newFleet(c.AppsFile, c.apps(), c.Seed)
	if err != nil {
		return err
	}
	fleet.climb, fleet.history = c.Climb, c.History
	r := newRun(c, recipe, fleet)
	if c.Ledger != "" {
		if r.ledger, err = ledger.Create(c.Ledger); err != nil {
			return err
		}
	}
	r.drive(ctx)
	if r.ledger != nil {
		err = r.ledger.Close()
	}
	summary := r.summary()
	return errors.Join(err, summary.write(out, c.Format), c.writeHistogram(r), summary.err())
}

func (c *runCommand) apps() int {
	if c.AppsFile == "" && c.AppCount == 0 {
		return 16
	}
	return c.AppCount
}

func (c *runCommand) writeHistogram(r *run) error {
	if c.Histogram == "" {
		return nil
	}
	file, err := os.Create(c.Histogram)
	if err != nil {
		return fmt.Errorf("--histogram: %w", err)
	}
	_, err = r.latency.merged().PercentilesPrint(file, 5, 1000)
	return errors.Join(err, file.Close())
}

// recipe checks the flags and returns what is sent.
func (c *runCommand) recipe() (*recipe, error) {
	if c.Rate < 0 || math.IsNaN(c.Rate) || c.Connections < 1 || c.Duration < 0 || c.Requests < 0 || c.AppCount < 0 || c.Timeout <= 0 || c.Climb < 0 {
		return nil, errors.New("--rate, --duration, --requests, --app-count and --climb cannot be negative; --connections and --timeout must be positive")
	}
	if c.Warmup < 0 || c.Duration > 0 && c.Warmup >= c.Duration {
		return nil, errors.New("--warmup must be shorter than --duration")
	}
	if !(c.Signed >= 0 && c.Signed <= 1 && c.Malformed >= 0 && c.Malformed <= 1) {
		return nil, errors.New("--signed and --malformed are shares from 0 to 1")
	}
	target, err := parseTarget(c.URL)
	if err != nil {
		return nil, err
	}
	mix, err := parseMix(c.Mix)
	if err != nil {
		return nil, err
	}
	low, high, err := parseRange(c.BodyBytes)
	if err != nil {
		return nil, fmt.Errorf("--body-bytes: %w", err)
	}
	return &recipe{
		target: target, mix: mix, signed: c.Signed, malformed: c.Malformed,
		bodyMin: low, bodyMax: high, eventForm: c.EventTime, seed: c.Seed,
	}, nil
}

// parseRange reads "MIN" or "MIN-MAX".
func parseRange(text string) (low, high int, err error) {
	first, second, both := strings.Cut(text, "-")
	if low, err = strconv.Atoi(first); err != nil || low < 0 {
		return 0, 0, fmt.Errorf("%q: want MIN or MIN-MAX", text)
	}
	if !both {
		return low, low, nil
	}
	if high, err = strconv.Atoi(second); err != nil || high < low {
		return 0, 0, fmt.Errorf("%q: want MIN-MAX with MIN at most MAX", text)
	}
	return low, high, nil
}

// run is one run: its schedule and what is counted. Its fields are constant while
// connections work, but for those that are safe for all.
type run struct {
	command *runCommand
	recipe  *recipe
	fleet   *fleet
	ledger  *ledger.Writer // nil: none

	start    time.Time    // of the schedule; all times are start plus a monotonic difference
	arrivals atomic.Int64 // handed out so far
	latency  *distribution
	lag      *distribution // how late requests left that a connection was free for
	counts   *counts
	ended    time.Duration // from start until the last answer
	cpu      time.Duration // processor time of this process during the run
}

func newRun(c *runCommand, r *recipe, f *fleet) *run {
	shards := max(1, runtime.GOMAXPROCS(0)*2)
	return &run{command: c, recipe: r, fleet: f, latency: newDistribution(shards), lag: newDistribution(shards), counts: &counts{}}
}

// drive runs all connections until the schedule ends and every answer is there or given
// up. When ctx ends no further request is sent.
func (r *run) drive(ctx context.Context) {
	connections := r.command.Connections
	if r.command.Sequential {
		connections = min(connections, len(r.fleet.senders))
	}
	before := cpuTime()
	r.start = time.Now()
	var group sync.WaitGroup
	for i := range connections {
		group.Go(func() { r.connection(ctx, i, connections) })
	}
	group.Wait()
	r.ended, r.cpu = time.Since(r.start), cpuTime()-before
}

// afterRefusedConnect keeps a closed loop from spinning while nobody listens.
const afterRefusedConnect = 5 * time.Millisecond

// connection sends arrivals, one after the other, over connection number i of n. With
// --sequential it alone sends for the senders i, i+n, ..., each in turn.
func (r *run) connection(ctx context.Context, i, n int) {
	composer := newComposer(r.recipe, r.fleet)
	conn := &connection{target: r.recipe.target, timeout: r.command.Timeout}
	defer conn.close()
	mine := i
	for {
		seq, due, free, more := r.arrival(ctx)
		if !more {
			return
		}
		var from *sender
		if r.command.Sequential {
			from = r.fleet.senders[mine]
			if mine += n; mine >= len(r.fleet.senders) {
				mine = i
			}
		}
		sent := time.Now()
		request, entry := composer.compose(seq, from, sent)
		// An exchange that has begun is not cut short by ctx: its answer belongs into the ledger.
		result := conn.exchange(context.WithoutCancel(ctx), request, sent)
		r.record(i, &entry, result, due, free, sent.Sub(r.start))
		if result.failure == ledger.FailureConnect {
			pause(ctx, afterRefusedConnect)
		}
	}
}

// arrival returns the next arrival when it is due: its number, when it was due and when
// this connection became free for it. False: the run is over.
func (r *run) arrival(ctx context.Context) (seq int64, due, free time.Duration, more bool) {
	c := r.command
	free = time.Since(r.start)
	seq = r.arrivals.Add(1)
	due = free
	if c.Rate > 0 {
		due = time.Duration(float64(seq-1) / c.Rate * float64(time.Second))
	}
	if c.Duration > 0 && due >= c.Duration || c.Requests > 0 && seq > c.Requests {
		return 0, 0, 0, false
	}
	if due > free {
		pause(ctx, due-free)
	}
	return seq, due, free, ctx.Err() == nil
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// record counts one exchange that has just ended and writes it down.
func (r *run) record(shard int, e *ledger.Entry, result result, due, free, sent time.Duration) {
	done := time.Since(r.start)
	e.Status, e.Code, e.Failure, e.Exchange, e.Close, e.Retry = result.status, result.code, result.failure, result.exchange, result.last, result.retryAfter
	if r.command.Rate == 0 {
		due = sent
	}
	if r.ledger != nil {
		zero := r.start.UnixMicro()
		e.Due, e.Sent, e.Done = zero+due.Microseconds(), zero+sent.Microseconds(), zero+done.Microseconds()
		r.ledger.Append(e)
	}
	if due < r.command.Warmup {
		return
	}
	r.counts.add(e)
	if e.Failure == "" {
		r.latency.record(shard, done-due)
	}
	r.lag.record(shard, sent-max(due, free))
}
