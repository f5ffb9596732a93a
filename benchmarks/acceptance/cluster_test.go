package acceptance

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/schema"
)

// admin changes the scene's cluster.
type admin struct {
	*scene
	client *kgo.Client
	topic  string // that of the raw alarms
}

func (s *scene) admin() *admin {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.stack.Kafka().Brokers...), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	return &admin{s, client, s.stack.Topics().AlarmsRaw}
}

// demand sends a request and fails the test where the cluster refuses it.
func demand[R kmsg.Response](a *admin, what string, ask func(context.Context, kmsg.Requestor) (R, error), refused func(R) int16) R {
	a.t.Helper()
	answer, err := ask(a.t.Context(), a.client)
	if err == nil {
		err = kerr.ErrorForCode(refused(answer))
	}
	if err != nil {
		a.t.Fatalf("%s: %v", what, err)
	}
	return answer
}

// layout is what the cluster says of the topic.
func (a *admin) layout() *kmsg.MetadataResponse {
	a.t.Helper()
	request := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &a.topic
	request.Topics = append(request.Topics, topic)
	return demand(a, "ask for the layout", request.RequestWith, func(r *kmsg.MetadataResponse) int16 { return r.Topics[0].ErrorCode })
}

// leaders returns the leader of each partition.
func (a *admin) leaders() map[int32]int32 {
	leaders := map[int32]int32{}
	for _, p := range a.layout().Topics[0].Partitions {
		leaders[p.Partition] = p.Leader
	}
	return leaders
}

// moveLeaders makes another node the leader of each partition: the replicas change their places,
// and the first one is elected.
func (a *admin) moveLeaders() {
	a.t.Helper()
	before := a.leaders()
	request := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	request.TimeoutMillis = 20_000
	topic := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	topic.Topic = a.topic
	elect := kmsg.NewPtrElectLeadersRequest()
	elect.TimeoutMillis = 20_000
	elected := kmsg.NewElectLeadersRequestTopic()
	elected.Topic = a.topic
	for _, p := range a.layout().Topics[0].Partitions {
		one := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		one.Partition = p.Partition
		one.Replicas = append(slices.Clone(p.Replicas[1:]), p.Replicas[0])
		topic.Partitions = append(topic.Partitions, one)
		elected.Partitions = append(elected.Partitions, p.Partition)
	}
	request.Topics = append(request.Topics, topic)
	demand(a, "change the replicas' places", request.RequestWith, func(r *kmsg.AlterPartitionAssignmentsResponse) int16 { return r.ErrorCode })
	elect.Topics = append(elect.Topics, elected)
	a.eventually("all leaders have moved", func() error {
		demand(a, "elect leaders", elect.RequestWith, func(r *kmsg.ElectLeadersResponse) int16 { return r.ErrorCode })
		for partition, leader := range a.leaders() {
			if leader == before[partition] || leader < 0 {
				return fmt.Errorf("partition %d has the leader %d, before %d", partition, leader, before[partition])
			}
		}
		_, err := stack.Ends(a.t.Context(), a.stack.Kafka(), a.topic) // a leader does not know for a moment
		return err
	})
}

// addPartitions raises the number of partitions, and waits until the gateway has seen it.
func (a *admin) addPartitions(n int32) {
	a.t.Helper()
	request := kmsg.NewPtrCreatePartitionsRequest()
	request.TimeoutMillis = 20_000
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = a.topic, n
	request.Topics = append(request.Topics, topic)
	demand(a, "add partitions", request.RequestWith, func(r *kmsg.CreatePartitionsResponse) int16 { return r.Topics[0].ErrorCode })
	a.saysSoon(fmt.Sprintf("%s has %d partitions", a.topic, n))
}

// deleteTopic deletes the topic and waits until the gateway parks what comes for it.
func (a *admin) deleteTopic() {
	a.t.Helper()
	if err := stack.DeleteTopic(a.t.Context(), a.stack.Kafka(), a.topic); err != nil {
		a.t.Fatal(err)
	}
	a.saysSoon(refuses(a.topic))
}

// compare holds entries against what is in the topic. An app's records stand in one partition
// after another when there became more, the older ones first: each is where its first LSN says.
func (a *admin) compare(entries []ledger.Entry) ledger.Report {
	a.t.Helper()
	type place struct {
		app       string
		partition int32
	}
	raw := a.records(a.topic)
	first := map[place]string{} // ce_sequence is of equal length
	for i := range raw {
		sequence, found := raw[i].Header(schema.HeaderSequence)
		if !found {
			a.t.Fatal("a record has no ce_sequence")
		}
		at := place{string(raw[i].Key), raw[i].Partition}
		if lowest, known := first[at]; !known || string(sequence) < lowest {
			first[at] = string(sequence)
		}
	}
	slices.SortStableFunc(raw, func(x, y schema.Record) int {
		return cmp.Or(cmp.Compare(string(x.Key), string(y.Key)),
			cmp.Compare(first[place{string(x.Key), x.Partition}], first[place{string(y.Key), y.Partition}]), cmp.Compare(x.Offset, y.Offset))
	})
	found := make([]ledger.Found, len(raw))
	for i := range raw {
		found[i] = ledger.FoundOf(&raw[i])
	}
	return ledger.Compare(entries, found, notConfirmed, isAlarm)
}

// changing starts a scene with topics of its own, which may be changed.
func changing(t *testing.T, partitions int) *admin {
	t.Helper()
	own := ownTopics(t)
	return newScene(t, 64, func(o *stack.Options) {
		own(o)
		o.Partitions = partitions
	}).admin()
}

// Promise: leaders move and partitions are added under load, each app sending its next callback
// after the last answer: still 200, everything is there, in order per app, and nothing twice.
func TestLeadersMoveAndPartitionsAreAdded(t *testing.T) {
	a := changing(t, 6)
	perSecond := rate(t)
	load := a.load("--rate="+fmt.Sprint(perSecond), "--duration=0s", "--sequential", "--connections=64", withoutAnswer)
	move := a.moveLeaders
	if n := len(a.layout().Brokers); n < 3 {
		t.Logf("%d nodes: no leader moves", n)
		move = func() {}
	}
	for _, partitions := range []int32{6, 12} {
		if partitions > 6 {
			a.addPartitions(partitions)
			load.progress(perSecond)
		}
		for range 3 {
			load.progress(perSecond)
			move()
		}
	}
	load.progress(perSecond)
	entries := load.end()
	if n := count(entries, func(e *ledger.Entry) bool { return !e.Accepted() }); n > 0 {
		t.Errorf("%d requests were not answered 200", n)
	}
	var report ledger.Report
	a.eventually("every 200 is in Kafka", func() error {
		if report = a.compare(entries); len(report.Lost) > 0 {
			return report.Err()
		}
		return nil
	})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	t.Log(report.String())
	if report.Duplicates > 0 {
		t.Errorf("%d duplicates", report.Duplicates)
	}
	late := slices.ContainsFunc(a.records(a.topic), func(r schema.Record) bool { return r.Partition >= 6 })
	if !late {
		t.Error("nothing went to the new partitions")
	}
	a.consumed(entries)
}

// Promise: the topic is deleted under load and made again with more partitions after a while: still
// 200; what the old topic did not have is in the new one, in order per app, and nothing twice.
func TestTopicDeletedAndMadeAgain(t *testing.T) {
	a := changing(t, 3)
	perSecond := rate(t)
	load := a.load("--rate="+fmt.Sprint(perSecond), "--duration=0s", "--sequential", "--connections=64", withoutAnswer)
	load.progress(perSecond)
	deleted := time.Now().UnixMicro()
	a.deleteTopic()
	gone := time.Now().UnixMicro()
	load.progress(perSecond)
	if err := stack.CreateTopics(t.Context(), a.stack.Kafka(), 8); err != nil {
		t.Fatal(err)
	}
	load.progress(2 * perSecond)
	entries := load.end()
	if n := count(entries, func(e *ledger.Entry) bool { return !e.Accepted() }); n > 0 {
		t.Errorf("%d requests were not answered 200", n)
	}
	var report ledger.Report
	a.eventually("what came after the topic had gone is in Kafka", func() error {
		report = a.compare(entries)
		for i := range report.Lost {
			if report.Lost[i].Sent > gone {
				return fmt.Errorf("not there: %s", report.Lost[i].String())
			}
		}
		return nil
	})
	t.Log(report.String())
	a.continues(entries, &report)
	lost := report.Lost
	report.Lost = nil
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if report.Duplicates > 0 {
		t.Errorf("%d duplicates", report.Duplicates)
	}
	if n := count(entries, func(e *ledger.Entry) bool { return e.Done < deleted }); len(lost) == 0 || len(lost) > n+2*perSecond {
		t.Errorf("%d callbacks went with the old topic, %d were answered before it was deleted", len(lost), n)
	}
}

// continues fails unless those of an app that went with the old topic came before all others.
func (a *admin) continues(entries []ledger.Entry, report *ledger.Report) {
	a.t.Helper()
	last := map[int64]int64{} // the app's last one in the old topic
	for i := range report.Lost {
		last[report.Lost[i].App] = max(last[report.Lost[i].App], report.Lost[i].N)
	}
	lost := map[[2]int64]bool{}
	for i := range report.Lost {
		lost[[2]int64{report.Lost[i].App, report.Lost[i].N}] = true
	}
	for i := range entries {
		e := &entries[i]
		if isAlarm(e) && e.Accepted() && e.N < last[e.App] && !lost[[2]int64{e.App, e.N}] {
			a.t.Errorf("in the new topic, although a later one went with the old one (number %d): %s", last[e.App], e.String())
		}
	}
}
