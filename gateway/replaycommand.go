package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/signal"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/internal/produce"
)

// replayCommand delivers again what was delivered.
type replayCommand struct {
	journalFlags `embed:""`
	From         uint64           `name:"from" env:"-" placeholder:"LSN" help:"First log sequence number to deliver again."`
	To           uint64           `name:"to" env:"-" placeholder:"LSN" help:"Last one; without it, all up to now."`
	Since        time.Time        `name:"since" env:"-" placeholder:"TIME" help:"First time of receipt to deliver again, as 2006-01-02T15:04:05Z; it or --from is needed."`
	Until        time.Time        `name:"until" env:"-" placeholder:"TIME" help:"Last one; without it, all up to now."`
	Rate         int              `name:"rate" env:"-" placeholder:"N" default:"5000" help:"Callbacks per second, so that others have room at Kafka. 0: as fast as it goes."`
	Yes          bool             `name:"yes" env:"-" help:"Do it. Without it, only say how many callbacks would go, of which topics and times."`
	Kafka        kafkaconn.Flags  `embed:"" group:"Kafka, where no gateway runs on the journal"`
	Produce      produce.Flags    `embed:"" group:"Kafka, where no gateway runs on the journal"`
	Logs         process.LogFlags `embed:"" group:"Logs"`
}

// errLeftOut ends a replay that could not deliver everything: the lines before say what.
var errLeftOut = errors.New("some callbacks were left out")

// Run delivers callbacks again under the same ids, with the same bytes and headers: consumers
// drop the copies. The gateway that runs on the journal does it, or else this process, which
// frees nothing in the journal. An error says where to go on.
func (c *replayCommand) Run(con *process.Console) error {
	if err := c.wrong(); err != nil {
		return err
	}
	if err := c.exists(); err != nil {
		return err
	}
	order := replayOrder{
		Range: replayRange{From: journal.LSN(c.From), To: journal.LSN(c.To), Since: c.Since, Until: c.Until},
		Rate:  c.Rate, Do: c.Yes,
	}
	ctx, stop := signal.NotifyContext(con.Context, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	client, err := dialControl(ctx, c.JournalDir)
	report := new(replayReport)
	switch {
	case err == nil:
		defer client.close()
		err = c.live(ctx, con, client, &order, report)
	case errors.Is(err, errNoGateway):
		err = c.stopped(ctx, con, &order, report)
	}
	return c.finish(ctx, con, &order, report, err)
}

func (c *replayCommand) wrong() error {
	switch {
	case c.From == 0 && c.Since.IsZero():
		return errors.New("--from or --since: one of them is needed")
	case c.To != 0 && c.To < c.From:
		return fmt.Errorf("--to: want --from (%d) or more, have %d", c.From, c.To)
	case !c.Until.IsZero() && c.Until.Before(c.Since):
		return errors.New("--until: is before --since")
	case c.Rate < 0:
		return fmt.Errorf("--rate: want 0 or more, have %d", c.Rate)
	}
	return nil
}

// finish prints what was done, and where to go on when it was not all.
func (c *replayCommand) finish(ctx context.Context, con *process.Console, order *replayOrder, report *replayReport, err error) error {
	if report.Topics == nil {
		return err // it did not begin
	}
	for _, line := range report.lines(order) {
		fmt.Fprintln(con.Stdout, line)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%w: go on with --from %d", errInterrupted, report.Next)
	case err != nil:
		return fmt.Errorf("%w: go on with --from %d", err, report.Next)
	case len(report.Closed) > 0 || report.Refused > 0 || report.Unreadable > 0:
		return errLeftOut
	case !order.Do:
		fmt.Fprintln(con.Stdout, "--yes does it")
	}
	return nil
}

// progress says on stderr how far it is.
func (c *replayCommand) progress(con *process.Console, r *replayReport) {
	n := int64(0)
	for _, t := range r.Topics {
		n += t.Callbacks
	}
	fmt.Fprintf(con.Stderr, "%d callbacks, at LSN %d of %d\n", n, r.Next, r.Settled)
}

// live has the gateway do it and follows its reports.
func (c *replayCommand) live(ctx context.Context, con *process.Console, client *controlClient, order *replayOrder, report *replayReport) error {
	text, err := json.Marshal(order)
	if err != nil {
		return fmt.Errorf("ask the gateway: %w", err)
	}
	body, err := client.call(ctx, http.MethodPost, "/journal/replay", url.Values{"order": {string(text)}})
	if err != nil {
		return err
	}
	defer body.Close()
	return follow(body, report, func(r *replayReport) (bool, string) { return r.Done, r.Error }, func() { c.progress(con, report) })
}

// stopped does it in this process.
func (c *replayCommand) stopped(ctx context.Context, con *process.Console, order *replayOrder, report *replayReport) error {
	if order.Do {
		if err := c.Kafka.Check(); err != nil {
			return err
		}
	}
	log, err := c.Logs.New(con.Stderr)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }()
	p := process.New(log)
	r := &replay{order: *order, tell: func(r *replayReport) { c.progress(con, r) }}
	if err := r.open(p, c, log); err != nil {
		return errors.Join(err, p.Stop(closeTime))
	}
	err = r.run(ctx)
	*report = r.report
	return errors.Join(err, p.Stop(closeTime))
}

// open opens the journal, and a connection to Kafka when something is to be delivered.
func (r *replay) open(p *process.Process, c *replayCommand, log *zap.Logger) (err error) {
	if r.journal, err = openStopped(c.JournalDir, log); err != nil {
		return err
	}
	p.OnStop("journal", func(context.Context) error { return r.journal.Close() })
	if !r.order.Do {
		return nil
	}
	conn, err := kafkaconn.Open(c.Kafka, clientID)
	if err != nil {
		return err
	}
	r.producer, err = openProducer(p, produce.Options{Conn: conn, Compression: c.Produce.Compression, Log: log.Named("produce")})
	return err
}

// replay delivers again what the journal still keeps, one replay at a time, and answers with
// reports, one a line, the last of which says that it is done or why not. It ends with the
// request.
func (c *control) replay(w http.ResponseWriter, request *http.Request) {
	var order replayOrder
	if err := json.Unmarshal([]byte(request.URL.Query().Get("order")), &order); err != nil || order.Rate < 0 {
		http.Error(w, fmt.Sprintf("order: cannot be understood: %v", err), http.StatusBadRequest)
		return
	}
	if !c.replaying.TryLock() {
		http.Error(w, "a replay is running already", http.StatusConflict)
		return
	}
	tell := func(report *replayReport) {
		writeJSON(w, report)
		_ = http.NewResponseController(w).Flush() // whoever asked is gone
	}
	r := &replay{order: order, journal: c.delivery.journal, producer: c.delivery.producer, tell: tell}
	log := c.log.With(zap.Bool("do", order.Do), zap.Uint64("from", uint64(order.Range.From)), zap.Uint64("to", uint64(order.Range.To)),
		zap.Time("since", order.Range.Since), zap.Time("until", order.Range.Until), zap.Int("rate", order.Rate))
	log.Info("replay begins")
	err := func() error {
		defer c.replaying.Unlock() // before the last report: whoever has that may ask for the next one
		return r.run(request.Context())
	}()
	log.Info("replay ended", zap.Uint64("next", uint64(r.report.Next)), zap.Error(err))
	r.report.Done = err == nil
	switch {
	case request.Context().Err() != nil:
		r.report.Error = "the gateway is stopping"
	case err != nil:
		r.report.Error = err.Error()
	}
	tell(&r.report)
}
