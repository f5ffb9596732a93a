package main

import (
	"context"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/receive"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/internal/process"
)

const (
	// envelopeRoom is what a record may be longer than its body: headers, key and batch.
	envelopeRoom = 8 << 10

	// wantRetention is what a topic should keep at least: a journal may hold a day of
	// callbacks when Kafka is back, they all come at once, and their readers need time.
	wantRetention = 24 * time.Hour
)

// cluster is what check asks; *kafkaconn.Conn is one.
type cluster interface {
	Topics(ctx context.Context, names ...string) ([]kafkaconn.TopicInfo, error)
	InitProducerID(ctx context.Context) (id int64, epoch int16, err error)
}

// checkKafka asks the cluster for the topics of the routes and for a producer id.
func (c *checkCommand) checkKafka(ctx context.Context, f *process.Findings, routes *receive.Routes) {
	if c.Kafka.Check() != nil {
		return // said already
	}
	conn, err := kafkaconn.Open(c.Kafka, clientID)
	if err != nil {
		f.Fail("%v", err)
		return
	}
	defer conn.Close()
	topics := []string{c.topics().AlarmsRaw}
	if routes != nil {
		topics = routes.Topics()
	}
	askCluster(ctx, f, conn, topics, int64(c.MaxBodyBytes))
}

// askCluster prints what the cluster says. Topics first: a cluster that does not answer is
// one error, not one for each question.
func askCluster(ctx context.Context, f *process.Findings, conn cluster, topics []string, maxBody int64) {
	infos, err := conn.Topics(ctx, topics...)
	if err != nil {
		f.Fail("kafka: %v", err)
		return
	}
	for i := range infos {
		checkTopic(f, &infos[i], maxBody)
	}
	if err := kafkaconn.AskProducerID(ctx, conn); err != nil {
		f.Fail("kafka: %v: the gateway writes as an idempotent producer; does its user have that right?", err)
		return
	}
	f.OK("kafka: the cluster answers and gives out producer ids")
}

// checkTopic compares a topic with what the contract recommends. Only a topic that cannot be
// used is an error: the rest is the operator's choice, made knowingly.
func checkTopic(f *process.Findings, t *kafkaconn.TopicInfo, maxBody int64) {
	if t.Err != nil {
		f.Fail("topic %s: %v; make it with deploy/kafka/topics.sh, or give this user the right to it. Until then its callbacks are parked", t.Name, t.Err)
		return
	}
	if t.Replication < kafkaconn.SafeReplication {
		f.Warn("topic %s: replication is %d: with less than %d, losing brokers can lose callbacks", t.Name, t.Replication, kafkaconn.SafeReplication)
	}
	if t.ConfigErr != nil {
		f.Warn("topic %s: its settings cannot be read, so they were not checked: %v", t.Name, t.ConfigErr)
		return
	}
	if t.MinISR < kafkaconn.SafeMinISR {
		f.Warn("topic %s: min.insync.replicas is %d: with less than %d, one broker's disk is all that an acknowledged callback is on", t.Name, t.MinISR, kafkaconn.SafeMinISR)
	}
	if need := maxBody + envelopeRoom; int64(t.MaxMessageBytes) < need {
		f.Warn("topic %s: max.message.bytes is %d: a body of --max-body-bytes needs %d; larger callbacks would be parked", t.Name, t.MaxMessageBytes, need)
	}
	if t.Retention >= 0 && t.Retention < wantRetention {
		f.Warn("topic %s: retention.ms is %v: shorter than the %v of callbacks that the journal may hold and deliver at once", t.Name, t.Retention, wantRetention)
	}
	f.OK("topic %s: %d partitions, replication %d", t.Name, t.Partitions, t.Replication)
}
