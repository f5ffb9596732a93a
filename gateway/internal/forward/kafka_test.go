package forward

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strconv"

	"github.com/segmentio/kafka-go"

	"github.com/tidegate/tidegate/internal/produce"
)

type producerOptions = produce.Options

// watermark returns how many records a partition has.
func watermark(r *rig, topic string, partition int32) int64 {
	return r.cluster.PartitionInfo(topic, partition).HighWatermark
}

// watermarks returns how many records a topic has.
func watermarks(r *rig, topic string) (n int64) {
	for _, p := range r.cluster.PartitionInfos(topic) {
		n += p.HighWatermark
	}
	return n
}

// inPartition returns how many of the apps are in a partition.
func inPartition(apps []int64, partition, count int32) (n int) {
	for _, app := range apps {
		if produce.PartitionOf(strconv.AppendInt(nil, app, 10), count) == partition {
			n++
		}
	}
	return n
}

// addPartitions raises a topic's number of partitions.
func addPartitions(r *rig, topic string, n int32) {
	r.t.Helper()
	client := &kafka.Client{Addr: kafka.TCP(r.cluster.ListenAddrs()...)}
	res, err := client.CreatePartitions(context.Background(), &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: n}},
	})
	if err != nil || res.Errors[topic] != nil {
		r.t.Fatalf("add partitions: %v, %v", err, res)
	}
}

// fetchByTime returns all records of a topic, each app's in the order of the partitions that it
// went through, the older ones first.
func (r *rig) fetchByTime(topic string) []delivered {
	got := r.fetch(topic)
	first := map[string]map[int32]int{} // app, partition: its lowest number there
	for _, d := range got {
		if first[d.app] == nil {
			first[d.app] = map[int32]int{}
		}
		if n, ok := first[d.app][d.partition]; !ok || d.n < n {
			first[d.app][d.partition] = d.n
		}
	}
	slices.SortStableFunc(got, func(a, b delivered) int {
		if c := cmp.Compare(a.app, b.app); c != 0 {
			return c
		}
		return cmp.Compare(first[a.app][a.partition], first[b.app][b.partition])
	})
	return got
}

// raiseLimit sets a topic's max.message.bytes.
func raiseLimit(r *rig, topic, limit string) {
	r.t.Helper()
	client := &kafka.Client{Addr: kafka.TCP(r.cluster.ListenAddrs()...)}
	res, err := client.IncrementalAlterConfigs(context.Background(), &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "max.message.bytes", Value: limit, ConfigOperation: kafka.ConfigOperationSet}},
		}},
	})
	if err != nil || res.Resources[0].Error != nil {
		r.t.Fatalf("set max.message.bytes: %v, %v", err, res)
	}
}

// port returns the broker's port.
func (r *rig) port() int {
	r.t.Helper()
	_, text, err := net.SplitHostPort(r.cluster.ListenAddrs()[0])
	if err != nil {
		r.t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		r.t.Fatal(err)
	}
	return port
}
