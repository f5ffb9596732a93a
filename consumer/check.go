package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/group"
	"github.com/tidegate/tidegate/consumer/internal/pipeline"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/internal/reload"
)

// checkTimeout bounds everything that check asks the store and the cluster.
const checkTimeout = 15 * time.Second

// checkCommand looks at everything that a start would trip over, or that an operator would
// regret later.
type checkCommand struct {
	settings `embed:""`
	Offline  bool `name:"offline" env:"-" help:"Check settings and files only: no Kafka, no store. For CI."`
}

// Run prints one line per finding: ok, note, warning or error. It changes nothing, does not
// join the group, and may run beside a live consumer. ErrFound: there was an error.
func (c *checkCommand) Run(con *process.Console) error {
	f := process.NewFindings(con.Stdout)
	ctx, cancel := context.WithTimeout(con.Context, checkTimeout)
	defer cancel()
	c.checkSettings(f)
	c.checkApps(f)
	c.checkNotify(f)
	if !c.Offline {
		c.checkStore(ctx, f)
		c.checkKafka(ctx, f)
	}
	if f.Errors() > 0 {
		fmt.Fprintf(con.Stdout, "%d errors\n", f.Errors())
		return process.ErrFound
	}
	fmt.Fprintln(con.Stdout, "no errors")
	return nil
}

func (c *checkCommand) checkSettings(f *process.Findings) {
	before := f.Errors()
	for _, err := range c.wrong(!c.Offline) {
		f.Fail("%v", err)
	}
	if c.Offline && errors.Is(c.Check(), kafkaconn.ErrNoBrokers) {
		f.Note("--brokers: not given, which the consumer needs")
	}
	if c.RetentionDays == 0 {
		f.Note("--retention-days: 0, so rows are kept for ever")
	}
	if f.Errors() == before {
		f.OK("settings")
	}
}

// checkApps reads the apps file as a start does, where an unknown key is an error too.
func (c *checkCommand) checkApps(f *process.Findings) {
	file, err := reload.Open("apps", c.Apps, apps.Parser(apps.Options{}), reload.Options{})
	if err != nil {
		f.FailEach(err)
		return
	}
	if file.Get().Len() == 0 {
		f.Warn("%s: no app is listed, so every alarm is of an app that is not registered", c.Apps)
	}
	f.OK("%s: %d apps", c.Apps, file.Get().Len())
}

// checkStore opens the store for reading, which changes nothing in it.
func (c *checkCommand) checkStore(ctx context.Context, f *process.Findings) {
	s, err := store.Open(ctx, c.Store, store.Options{ReadOnly: true})
	switch {
	case errors.Is(err, store.ErrRights):
		f.Fail("--store: the next start would make tables: %v", err)
		return
	case errors.Is(err, store.ErrMissing):
		f.Note("--store: does not exist yet: the first start makes it: %v", err)
		return
	case errors.Is(err, store.ErrOlder):
		f.Note("--store: the next start brings it up to date: %v", err)
		return
	case err != nil:
		f.Fail("--store: %v", err)
		return
	}
	defer func() { _ = s.Close() }()
	if err := s.Ping(ctx); err != nil {
		f.Fail("--store: %s does not answer: %v", store.Name(c.Store), err)
		return
	}
	if s.Single() {
		f.Note("--store: %s is for one consumer, which has all partitions", store.Name(c.Store))
	}
	c.checkDatabase(ctx, f, s)
}

// cluster is what check asks; *kafkaconn.Conn is one.
type cluster interface {
	Topics(ctx context.Context, names ...string) ([]kafkaconn.TopicInfo, error)
	InitProducerID(ctx context.Context) (id int64, epoch int16, err error)
}

// checkKafka asks the cluster for the topics, for a producer id, and where the group stands.
func (c *checkCommand) checkKafka(ctx context.Context, f *process.Findings) {
	if c.Check() != nil {
		return // said already
	}
	conn, err := kafkaconn.Open(c.Flags, clientID)
	if err != nil {
		f.Fail("%v", err)
		return
	}
	defer conn.Close()
	if !c.checkTopics(ctx, f, conn) {
		return
	}
	if err := kafkaconn.AskProducerID(ctx, conn); err != nil {
		f.Fail("kafka: %v: the consumer writes as an idempotent producer; does its user have that right?", err)
	} else {
		f.OK("kafka: the cluster answers and gives out producer ids")
	}
	standing, err := group.Look(ctx, group.Options{Conn: conn, Group: c.Group, Topic: c.topics().AlarmsRaw})
	switch {
	case err != nil:
		f.Fail("group %s: %v", c.Group, err)
	case standing.Committed == 0:
		f.OK("group %s: reachable and new: it begins at the %s of %d records", c.Group, c.Start, standing.Behind)
	default:
		f.OK("group %s: reachable, offsets in %d of %d partitions, %d records behind", c.Group, standing.Committed, standing.Partitions, standing.Behind)
	}
}

// Settings of topics that check warns about.
const (
	wantRecordBytes  = pipeline.DefaultMaxRecordBytes // of a dead letter
	makeTopicsAdvice = "make it with deploy/kafka/topics.sh, or give this user the right to it"
)

// checkTopics looks at the topics that the consumer reads and writes. False: the group's
// topic is not there, or nothing answers.
func (c *checkCommand) checkTopics(ctx context.Context, f *process.Findings, conn cluster) bool {
	t := c.topics()
	infos, err := conn.Topics(ctx, t.AlarmsRaw, t.Alarms, t.AlarmsDLQ)
	if err != nil {
		f.Fail("kafka: %v", err)
		return false
	}
	there := true
	for i := range infos {
		info := &infos[i]
		if info.Err != nil {
			f.Fail("topic %s: %v; %s. Until then the consumer waits", info.Name, info.Err, makeTopicsAdvice)
			there = there && info.Name != t.AlarmsRaw
			continue
		}
		checkTopic(f, info, info.Name == t.AlarmsDLQ)
	}
	return there
}

func checkTopic(f *process.Findings, t *kafkaconn.TopicInfo, deadLetters bool) {
	if t.Replication < kafkaconn.SafeReplication {
		f.Warn("topic %s: replication is %d: with less than %d, losing brokers can lose records", t.Name, t.Replication, kafkaconn.SafeReplication)
	}
	switch {
	case t.ConfigErr != nil:
		f.Warn("topic %s: its settings cannot be read, so they were not checked: %v", t.Name, t.ConfigErr)
	case t.MinISR < kafkaconn.SafeMinISR:
		f.Warn("topic %s: min.insync.replicas is %d: with less than %d, one broker's disk is all that an acknowledged record is on", t.Name, t.MinISR, kafkaconn.SafeMinISR)
	case deadLetters && t.MaxMessageBytes < wantRecordBytes:
		f.Warn("topic %s: max.message.bytes is %d: dead letters above it keep their bytes in the store only", t.Name, t.MaxMessageBytes)
	}
	f.OK("topic %s: %d partitions, replication %d", t.Name, t.Partitions, t.Replication)
}
