package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/group"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/kafkaconn"
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

// findings are the lines that check prints, in the order in which it looks.
type findings struct {
	out    io.Writer
	errors int
}

func (f *findings) ok(format string, args ...any)   { f.line("ok", format, args...) }
func (f *findings) note(format string, args ...any) { f.line("note", format, args...) }
func (f *findings) warn(format string, args ...any) { f.line("warning", format, args...) }

func (f *findings) fail(format string, args ...any) {
	f.errors++
	f.line("error", format, args...)
}

// line prints one finding as one line, whatever is in it.
func (f *findings) line(level, format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ")
	fmt.Fprintf(f.out, "%-8s %s\n", level+":", text)
}

// Run prints one line per finding: ok, note, warning or error. It changes nothing, does not
// join the group, and may run beside a live consumer. errFound: there was an error.
func (c *checkCommand) Run(con *console) error {
	f := &findings{out: con.stdout}
	ctx, cancel := context.WithTimeout(con.ctx, checkTimeout)
	defer cancel()
	c.checkSettings(f)
	c.checkApps(f)
	if !c.Offline {
		c.checkStore(ctx, f)
		c.checkKafka(ctx, f)
	}
	if f.errors > 0 {
		fmt.Fprintf(con.stdout, "%d errors\n", f.errors)
		return errFound
	}
	fmt.Fprintln(con.stdout, "no errors")
	return nil
}

func (c *checkCommand) checkSettings(f *findings) {
	before := f.errors
	for _, err := range c.wrong(!c.Offline) {
		f.fail("%v", err)
	}
	if c.Offline && errors.Is(c.Check(), kafkaconn.ErrNoBrokers) {
		f.note("--brokers: not given, which the consumer needs")
	}
	if c.RetentionDays == 0 {
		f.note("--retention-days: 0, so rows are kept for ever")
	}
	if f.errors == before {
		f.ok("settings")
	}
}

// checkApps reads the apps file as a start does, where an unknown key is an error too.
func (c *checkCommand) checkApps(f *findings) {
	file, err := reload.Open("apps", c.Apps, apps.Parser(apps.Options{}), reload.Options{})
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			f.fail("%s", strings.TrimRight(line, "\n"))
		}
		return
	}
	if file.Get().Len() == 0 {
		f.warn("%s: no app is listed, so every alarm is of an app that is not registered", c.Apps)
	}
	f.ok("%s: %d apps", c.Apps, file.Get().Len())
}

// checkStore opens the store for reading, which changes nothing in it.
func (c *checkCommand) checkStore(ctx context.Context, f *findings) {
	s, err := store.Open(ctx, c.Store, store.Options{ReadOnly: true})
	switch {
	case errors.Is(err, store.ErrMissing):
		f.note("--store: %s does not exist yet: the first start makes it", c.Store)
		return
	case err != nil:
		f.fail("--store: %v", err)
		return
	}
	defer func() { _ = s.Close() }()
	if err := s.Ping(ctx); err != nil {
		f.fail("--store: %s does not answer: %v", c.Store, err)
		return
	}
	if s.Single() {
		f.note("--store: %s is for one consumer, which has all partitions", c.Store)
	}
	f.ok("--store: %s", c.Store)
}

// cluster is what check asks; *kafkaconn.Conn is one.
type cluster interface {
	Topics(ctx context.Context, names ...string) ([]kafkaconn.TopicInfo, error)
	InitProducerID(ctx context.Context) (id int64, epoch int16, err error)
}

// checkKafka asks the cluster for the topics, for a producer id, and where the group stands.
func (c *checkCommand) checkKafka(ctx context.Context, f *findings) {
	if c.Check() != nil {
		return // said already
	}
	conn, err := kafkaconn.Open(c.Flags, clientID)
	if err != nil {
		f.fail("%v", err)
		return
	}
	defer conn.Close()
	if !c.checkTopics(ctx, f, conn) {
		return
	}
	if err := askProducerID(ctx, conn); err != nil {
		f.fail("kafka: %v: the consumer writes as an idempotent producer; does its user have that right?", err)
	} else {
		f.ok("kafka: the cluster answers and gives out producer ids")
	}
	standing, err := group.Look(ctx, group.Options{Conn: conn, Group: c.Group, Topic: c.topics().AlarmsRaw})
	switch {
	case err != nil:
		f.fail("group %s: %v", c.Group, err)
	case standing.Committed == 0:
		f.ok("group %s: reachable and new: it begins at the %s of %d records", c.Group, c.Start, standing.Behind)
	default:
		f.ok("group %s: reachable, offsets in %d of %d partitions, %d records behind", c.Group, standing.Committed, standing.Partitions, standing.Behind)
	}
}

// Settings of topics that check warns about.
const (
	wantMinISR       = 2
	wantReplication  = 3
	wantRecordBytes  = 1_000_000 // of a dead letter; see pipeline.Options.MaxRecordBytes
	retryPause       = 200 * time.Millisecond
	makeTopicsAdvice = "make it with deploy/kafka/topics.sh, or give this user the right to it"
)

// checkTopics looks at the topics that the consumer reads and writes. False: the group's
// topic is not there, or nothing answers.
func (c *checkCommand) checkTopics(ctx context.Context, f *findings, conn cluster) bool {
	t := c.topics()
	infos, err := conn.Topics(ctx, t.AlarmsRaw, t.Alarms, t.AlarmsDLQ)
	if err != nil {
		f.fail("kafka: %v", err)
		return false
	}
	there := true
	for i := range infos {
		info := &infos[i]
		if info.Err != nil {
			f.fail("topic %s: %v; %s. Until then the consumer waits", info.Name, info.Err, makeTopicsAdvice)
			there = there && info.Name != t.AlarmsRaw
			continue
		}
		checkTopic(f, info, info.Name == t.AlarmsDLQ)
	}
	return there
}

func checkTopic(f *findings, t *kafkaconn.TopicInfo, deadLetters bool) {
	if t.Replication < wantReplication {
		f.warn("topic %s: replication is %d: with less than %d, losing brokers can lose records", t.Name, t.Replication, wantReplication)
	}
	switch {
	case t.ConfigErr != nil:
		f.warn("topic %s: its settings cannot be read, so they were not checked: %v", t.Name, t.ConfigErr)
	case t.MinISR < wantMinISR:
		f.warn("topic %s: min.insync.replicas is %d: with less than %d, one broker's disk is all that an acknowledged record is on", t.Name, t.MinISR, wantMinISR)
	case deadLetters && t.MaxMessageBytes < wantRecordBytes:
		f.warn("topic %s: max.message.bytes is %d: dead letters above it keep their bytes in the store only", t.Name, t.MaxMessageBytes)
	}
	f.ok("topic %s: %d partitions, replication %d", t.Name, t.Partitions, t.Replication)
}

// askProducerID asks until the answer is one that stays: a young cluster refuses for
// seconds.
func askProducerID(ctx context.Context, conn cluster) error {
	for {
		_, _, err := conn.InitProducerID(ctx)
		var passing interface{ Temporary() bool }
		if err == nil || !errors.As(err, &passing) || !passing.Temporary() {
			return err
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return err
		}
	}
}
