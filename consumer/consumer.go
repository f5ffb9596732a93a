package main

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/consumer/internal/group"
	"github.com/tidegate/tidegate/consumer/internal/notify"
	"github.com/tidegate/tidegate/consumer/internal/pipeline"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/internal/produce"
	"github.com/tidegate/tidegate/internal/reload"
)

// clientID is how the consumer presents itself to Kafka.
const clientID = "tidegate-consumer"

// consumer is the graph of one running consumer. The process owns what is in it: each
// part has its stop step there, in the order of the methods of open.
type consumer struct {
	set   *settings
	log   *zap.Logger
	p     *process.Process
	reg   *prometheus.Registry
	ready *process.Readiness

	admin    *process.Admin
	apps     *reload.File[*apps.Snapshot]
	store    store.Store
	notify   *reload.File[*notify.Config] // nil: nobody is told
	notices  *notify.Worker               // nil: nobody is told
	conn     *kafkaconn.Conn
	producer *produce.Producer
	pipeline *pipeline.Pipeline
	group    *group.Group
}

// open builds and starts the consumer: files, store, Kafka, group. Kafka and the topics
// need not be there. On an error, p's stop steps undo what was done. Stop steps run in
// reverse: the group is left first, the store is closed when nothing writes any more.
func open(ctx context.Context, p *process.Process, set *settings, log *zap.Logger) error {
	c := &consumer{set: set, log: log, p: p, reg: prometheus.NewRegistry(), ready: new(process.Readiness)}
	log.Info("consumer starting", zap.String("version", process.Version()), zap.String("apps", process.Absolute(set.Apps)),
		zap.String("store", store.Name(set.Store)), zap.String("group", set.Group), zap.Strings("brokers", set.Brokers))
	for _, step := range []func(context.Context) error{c.openAdmin, c.openApps, c.openStore, c.openNotify, c.openKafka, c.openGroup} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	c.addChecks()
	p.Go("group", c.group.Run)
	p.OnStop("readiness", func(context.Context) error { c.ready.Draining(true); return nil })
	log.Info("consumer started", zap.String("admin", c.admin.Addr()), zap.Int("apps", c.apps.Get().Len()),
		zap.Strings("topics", set.topics().All()), zap.Int("retention_days", set.RetentionDays))
	return nil
}

// openAdmin comes first, so that a start can be watched, and is closed last.
func (c *consumer) openAdmin(context.Context) error {
	admin, err := process.NewAdmin(c.set.AdminListen, c.reg, c.ready, c.log)
	if err != nil {
		return fmt.Errorf("--admin-listen: %w", err)
	}
	c.admin = admin
	c.p.Go("admin", admin.Run)
	return nil
}

// openApps reads the apps file and keeps it fresh. Tokens, and who sent, are the gateway's business.
func (c *consumer) openApps(context.Context) (err error) {
	c.apps, err = reload.Open("apps", c.set.Apps, apps.Parser(apps.Options{}), reload.Options{Log: c.log, Metrics: c.reg})
	if err != nil {
		return err
	}
	c.apps.SetGuard(apps.Guard(nil))
	c.p.Go("apps file", c.apps.Run)
	c.p.OnHangup(func() { _, _ = c.apps.Reload() }) // says itself what is wrong
	return nil
}

// openStore opens the database, brings it up to date, and keeps it from growing for ever.
func (c *consumer) openStore(ctx context.Context) (err error) {
	c.store, err = openWhenThere(ctx, c.set.Store, store.Options{Log: c.log.Named("store")})
	if err != nil {
		return fmt.Errorf("--store: %w", err)
	}
	c.p.OnStop("store", func(context.Context) error { return c.store.Close() })
	if c.store.Single() {
		boundMemory(heapBytesSQLite)
	} else {
		boundMemory(heapBytes)
	}
	r := retention{store: c.store, days: c.set.RetentionDays, log: c.log.Named("retention"), now: time.Now}
	c.p.Go("retention", r.run) // also where rows are kept for ever: it makes room for the days to come
	return nil
}

// openKafka opens the connection and the producer. Nothing need answer yet.
func (c *consumer) openKafka(context.Context) (err error) {
	if c.conn, err = kafkaconn.Open(c.set.Flags, clientID); err != nil {
		return err
	}
	c.p.OnStop("kafka connection", func(context.Context) error { c.conn.Close(); return nil })
	c.producer, err = produce.New(produce.Options{
		Conn: c.conn, Log: c.log.Named("produce"), Metrics: c.reg, MetricsPrefix: "tidegate_consumer",
		Compression: c.set.Produce.Compression,
	})
	if err != nil {
		return err
	}
	c.p.OnStop("producer lanes", func(context.Context) error { c.producer.Close(); return nil })
	c.p.Go("producer", c.producer.Run)
	return nil
}

// openGroup puts the pipeline behind the group. The caller runs the group.
func (c *consumer) openGroup(ctx context.Context) (err error) {
	c.pipeline = pipeline.New(pipeline.Options{
		Store: c.store, Producer: c.producer, Apps: c.apps.Get, Topics: c.set.topics(), Group: c.set.Group,
		Log: c.log.Named("pipeline"), Metrics: c.reg,
	})
	// Kafka forgets commits with a topic that is made anew, and after a week's absence: the new
	// group's beginning must not be looked for again then, or --start latest would skip records.
	begun, err := c.store.Begun(ctx, c.set.topics().AlarmsRaw)
	if err != nil {
		return err
	}
	c.group, err = group.New(group.Options{
		Conn: c.conn, Group: c.set.Group, Topic: c.set.topics().AlarmsRaw, Start: c.set.Start, Begun: begun,
		SessionTimeout: c.set.SessionTimeout, Handler: c.pipeline, OnAssigned: c.assigned, Log: c.log.Named("group"), Metrics: c.reg,
	})
	if err != nil {
		return err
	}
	return registerKafkaUp(c.reg, c.kafkaUp)
}

// assigned refuses a share of the partitions where the store is for one consumer only: two
// would each have half of the apps in a database of their own.
func (c *consumer) assigned(assigned, total int) error {
	if assigned >= total || !c.store.Single() {
		return nil
	}
	return fmt.Errorf("store %s is for one consumer that has all partitions, and another one is in group %q: stop that one, or give both a PostgreSQL store",
		store.Name(c.set.Store), c.set.Group)
}

// kafkaUp says whether Kafka answers both who reads and who writes.
func (c *consumer) kafkaUp() bool { return c.group.Up() && c.producer.Up() }
