package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/schema"
)

func startBroker(t *testing.T) (*Broker, kafkaconn.Flags) {
	t.Helper()
	b, err := StartBroker(BrokerOptions{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	f := kafkaconn.Flags{Brokers: b.Addrs()}
	if err := CreateTopics(t.Context(), f, 4); err != nil {
		t.Fatal(err)
	}
	return b, f
}

func produce(t *testing.T, f kafkaconn.Flags, topic string, from, to int) {
	t.Helper()
	client, err := newClient(f)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for n := from; n < to; n++ {
		r := &kgo.Record{
			Topic: topic, Key: []byte(strconv.Itoa(n % 8)), Value: []byte(strconv.Itoa(n)),
			Headers: []kgo.RecordHeader{{Key: schema.HeaderID, Value: []byte("id-" + strconv.Itoa(n))}},
		}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// values checks that records hold each number from..to once, in order of each key, with
// its header.
func values(t *testing.T, records []schema.Record, from, to int) {
	t.Helper()
	last, seen := map[string]int{}, map[int]bool{}
	for i := range records {
		n, err := strconv.Atoi(string(records[i].Value))
		if err != nil {
			t.Fatal(err)
		}
		if before, found := last[string(records[i].Key)]; found && before >= n {
			t.Errorf("key %s: %d after %d", records[i].Key, n, before)
		}
		if id, _ := records[i].Header(schema.HeaderID); string(id) != fmt.Sprint("id-", n) {
			t.Errorf("record %d has header %q", n, id)
		}
		last[string(records[i].Key)], seen[n] = n, true
	}
	if len(records) != to-from || len(seen) != to-from {
		t.Errorf("%d records, %d different, want %d", len(records), len(seen), to-from)
	}
}

func TestBrokerGoesAwayAndComesBackWithItsData(t *testing.T) {
	b, f := startBroker(t)
	topic := schema.NewTopics("").AlarmsRaw
	produce(t, f, topic, 0, 40)
	before := b.Addrs()
	b.Stop()
	if conn, err := net.Dial("tcp", before[0]); err == nil {
		conn.Close()
		t.Fatal("a stopped broker takes connections")
	}
	b.Stop() // a second time does nothing
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); !errors.Is(err, ErrState) {
		t.Errorf("second start: %v", err)
	}
	if after := b.Addrs(); after[0] != before[0] {
		t.Errorf("address %v, was %v", after, before)
	}
	produce(t, f, topic, 40, 60)
	records, err := ReadAll(t.Context(), f, topic, nil)
	if err != nil {
		t.Fatal(err)
	}
	values(t, records, 0, 60)
}

func TestCreateTopicsLeavesWhatExists(t *testing.T) {
	_, f := startBroker(t)
	if err := CreateTopics(t.Context(), f, 9); err != nil {
		t.Fatal(err)
	}
	ends, err := Ends(t.Context(), f, schema.NewTopics("").All()...)
	if err != nil {
		t.Fatal(err)
	}
	for topic, partitions := range ends {
		if len(partitions) != 4 {
			t.Errorf("%s has %d partitions, want the 4 it was made with", topic, len(partitions))
		}
	}
}

func TestDeletedTopicIsMadeAgainEmpty(t *testing.T) {
	_, f := startBroker(t)
	topic := schema.NewTopics("").AlarmsRaw
	produce(t, f, topic, 0, 10)
	if err := DeleteTopic(t.Context(), f, topic); err != nil {
		t.Fatal(err)
	}
	if _, err := Ends(t.Context(), f, topic); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("a deleted topic's ends: %v", err)
	}
	if err := DeleteTopic(t.Context(), f, topic); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("a second time: %v", err)
	}
	if err := CreateTopics(t.Context(), f, 4); err != nil {
		t.Fatal(err)
	}
	if records, err := ReadAll(t.Context(), f, topic, nil); err != nil || len(records) != 0 {
		t.Errorf("%d records in a topic that was made again, %v", len(records), err)
	}
}

func TestCreateTopicsReplicatesOnThreeNodes(t *testing.T) {
	b, err := StartBroker(BrokerOptions{DataDir: t.TempDir(), Ports: []int{0, 0, 0}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	f := kafkaconn.Flags{Brokers: b.Addrs()}
	if err := CreateTopics(t.Context(), f, 2); err != nil {
		t.Fatal(err)
	}
	client, err := newClient(f)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	request := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, schema.NewTopics("").AlarmsRaw
	request.Resources = append(request.Resources, resource)
	answer, err := request.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, config := range answer.Resources[0].Configs {
		if config.Value != nil {
			got[config.Name] = *config.Value
		}
	}
	if got["min.insync.replicas"] != "2" || got["retention.ms"] != "604800000" {
		t.Errorf("min.insync.replicas %q, retention.ms %q", got["min.insync.replicas"], got["retention.ms"])
	}
}

func TestReadAllFromAPosition(t *testing.T) {
	_, f := startBroker(t)
	topic := schema.NewTopics("").Alarms
	if records, err := ReadAll(t.Context(), f, topic, nil); err != nil || len(records) != 0 {
		t.Fatalf("empty topic: %d records, %v", len(records), err)
	}
	produce(t, f, topic, 0, 20)
	middle, err := Ends(t.Context(), f, topic)
	if err != nil {
		t.Fatal(err)
	}
	produce(t, f, topic, 20, 50)
	records, err := ReadAll(t.Context(), f, topic, middle)
	if err != nil {
		t.Fatal(err)
	}
	values(t, records, 20, 50)
}

func TestMissingTopicIsAnError(t *testing.T) {
	_, f := startBroker(t)
	if _, err := ReadAll(t.Context(), f, "nothing", nil); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("read a missing topic: %v", err)
	}
}

func TestFollowSeesWhatComesWhileTheBrokerWasAway(t *testing.T) {
	b, f := startBroker(t)
	topic := schema.NewTopics("").AlarmsDLQ
	from, err := Ends(t.Context(), f, topic)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	seen, done := make(chan string, 16), make(chan error, 1)
	go func() {
		done <- Follow(ctx, f, from, func(r *schema.Record) bool {
			seen <- string(r.Value)
			return string(r.Value) != "1"
		})
	}()
	produce(t, f, topic, 0, 1)
	if got := <-seen; got != "0" {
		t.Fatalf("first %q", got)
	}
	b.Stop()
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	produce(t, f, topic, 1, 2)
	if got := <-seen; got != "1" {
		t.Fatalf("second %q", got)
	}
	if err := <-done; err != nil {
		t.Errorf("follow ended with %v, want nil after false", err)
	}
}

func TestFaultsAreInstalled(t *testing.T) {
	b, f := startBroker(t)
	handle, err := b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition, Count: 1})
	if err != nil {
		t.Fatal(err)
	}
	produce(t, f, schema.NewTopics("").AlarmsRaw, 0, 1) // the client retries
	if handle.Hits() != 1 {
		t.Errorf("%d faults, want 1", handle.Hits())
	}
}

func TestTwoBrokersDoNotShareAFolder(t *testing.T) {
	folder := t.TempDir()
	first, err := StartBroker(BrokerOptions{DataDir: folder})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Stop()
	if _, err := StartBroker(BrokerOptions{DataDir: folder}); !errors.Is(err, ErrState) {
		t.Fatalf("a second broker on the folder: %v", err)
	}
	first.Stop()
	second, err := StartBroker(BrokerOptions{DataDir: folder})
	if err != nil {
		t.Fatal(err)
	}
	second.Stop()
}

func TestBrokerOptionsAreChecked(t *testing.T) {
	if _, err := StartBroker(BrokerOptions{}); err == nil {
		t.Error("a broker without a data folder")
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := StartBroker(BrokerOptions{DataDir: t.TempDir(), Ports: []int{taken.Addr().(*net.TCPAddr).Port}}); err == nil {
		t.Error("a broker on a port that is taken")
	}
}
