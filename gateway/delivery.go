package main

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/forward"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/internal/produce"
)

// delivery is the half of the graph that drain needs too: journals, Kafka, forwarder.
type delivery struct {
	journal   *journal.Journal
	parked    *journal.Journal
	producer  *produce.Producer
	forwarder *forward.Forwarder
	log       *zap.Logger
}

// deliveryOptions are what run and drain say differently.
type deliveryOptions struct {
	journal        journal.Options // without file system, log and metrics
	parkedDir      string
	parkedMaxBytes int64 // 0: what the directory remembers
	kafka          kafkaconn.Flags
	produce        produce.Flags
	topics         []string // asked about before their first callback comes
	seams          seams
	log            *zap.Logger
	metrics        prometheus.Registerer // nil: none
}

// openDelivery opens everything between the journal and Kafka and starts it. Kafka need
// not be there. Stop steps: forwarder, producer, connection, parked journal, journal; so
// each is closed when nobody uses it any more, and the journals' last checkpoints have all
// that Kafka answered.
func openDelivery(p *process.Process, o deliveryOptions) (*delivery, error) {
	d := &delivery{log: o.log}
	conn, err := kafkaconn.Open(o.kafka, clientID) // first: a mistake there is found before anything is made
	if err != nil {
		return nil, err
	}
	if err := d.openJournals(p, &o); err != nil {
		return nil, err
	}
	d.producer, err = openProducer(p, produce.Options{
		Conn: conn, Compression: o.produce.Compression, TopicGrace: o.seams.topicGrace, Log: o.log.Named("produce"), Metrics: o.metrics,
	})
	if err != nil {
		return nil, err
	}
	d.forwarder, err = forward.New(forward.Options{
		Journal: d.journal, Parked: d.parked, Producer: d.producer, Topics: o.topics,
		TopicRetryMin: o.seams.topicRetry, TopicRetryMax: o.seams.topicRetry,
		Log: o.log.Named("forward"), Metrics: o.metrics,
	})
	if err != nil {
		return nil, err
	}
	p.Go("forwarder", d.forwarder.Run)
	return d, nil
}

// openProducer starts a producer that uses o.Conn, whose closing it registers too.
func openProducer(p *process.Process, o produce.Options) (*produce.Producer, error) {
	p.OnStop("kafka connection", func(context.Context) error { o.Conn.Close(); return nil })
	o.MetricsPrefix = "tidegate_gateway"
	producer, err := produce.New(o)
	if err != nil {
		return nil, err
	}
	p.OnStop("producer lanes", func(context.Context) error { producer.Close(); return nil })
	p.Go("producer", producer.Run)
	return producer, nil
}

// openJournals opens and recovers the journal and the parked one. Only the first has
// metrics: those of both would have the same names, and forward counts what is parked.
func (d *delivery) openJournals(p *process.Process, o *deliveryOptions) (err error) {
	main := o.journal
	main.FS, main.Log, main.Metrics = o.seams.fs, o.log.Named("journal"), o.metrics
	if d.journal, err = openJournal(p, "journal", main); err != nil {
		return err
	}
	d.parked, err = openJournal(p, "parked journal", journal.Options{
		FS: o.seams.fs, Dir: o.parkedDir, MaxBytes: o.parkedMaxBytes, Retain: -1, // nothing replays what was parked
		MaxPayload: maxParkedPayload, Log: o.log.Named("parked"),
	})
	return err
}

// openJournal opens a journal and registers its closing, whose error is that of the final
// sync.
func openJournal(p *process.Process, name string, o journal.Options) (*journal.Journal, error) {
	j, err := journal.Open(o)
	if err != nil {
		return nil, err
	}
	p.OnStop(name, func(context.Context) error { return j.Close() })
	return j, nil
}

// drain delivers what the journals hold, for at most timeout. What is left is in the
// journal, so that this is no error.
func (d *delivery) drain(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := time.Now()
	err := d.forwarder.Drain(ctx)
	main, parked := d.journal.Stats(), d.parked.Stats()
	log := d.log.With(zap.Int64("left", main.Entries), zap.Int64("left_parked", parked.Entries), zap.Duration("took", time.Since(began)))
	switch {
	case err == nil:
		log.Info("everything was delivered")
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		log.Warn("not everything was delivered; the rest stays in the journal")
	default:
		log.Error("delivery ended; the rest stays in the journal", zap.Error(err))
	}
}
