package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/schema"
)

// Position is an offset for each partition of each topic.
type Position map[string]map[int32]int64

// Ends returns where the topics end now: the offset that the next record of each partition
// will get. A missing topic is an error.
func Ends(ctx context.Context, f kafkaconn.Flags, topics ...string) (Position, error) {
	client, err := newClient(f)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return ends(ctx, client, topics)
}

func ends(ctx context.Context, client *kgo.Client, topics []string) (Position, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	layout := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		layout.Topics = append(layout.Topics, topic)
	}
	known, err := layout.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("ask for the partitions of %v: %w", topics, err)
	}
	for _, t := range known.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return nil, fmt.Errorf("ask for the partitions of %s: %w", *t.Topic, err)
		}
		asked := kmsg.NewListOffsetsRequestTopic()
		asked.Topic = *t.Topic
		for _, p := range t.Partitions {
			partition := kmsg.NewListOffsetsRequestTopicPartition()
			partition.Partition, partition.Timestamp = p.Partition, -1 // the end
			asked.Partitions = append(asked.Partitions, partition)
		}
		request.Topics = append(request.Topics, asked)
	}
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("ask for the ends of %v: %w", topics, err)
	}
	position := Position{}
	for _, t := range answer.Topics {
		position[t.Topic] = map[int32]int64{}
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("ask for the end of %s/%d: %w", t.Topic, p.Partition, err)
			}
			position[t.Topic][p.Partition] = p.Offset
		}
	}
	return position, nil
}

// errEnough ends Follow from inside.
var errEnough = errors.New("enough")

// Follow calls each with every record from position on, in the order of each partition,
// until each returns false (nil is returned), ctx ends (its error), or the cluster refuses
// for good. A cluster that is away is waited for. The record is each's to keep.
func Follow(ctx context.Context, f kafkaconn.Flags, from Position, each func(*schema.Record) bool) error {
	err := follow(ctx, f, from, func(r *schema.Record) error {
		if each(r) {
			return nil
		}
		return errEnough
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func follow(ctx context.Context, f kafkaconn.Flags, from Position, each func(*schema.Record) error) error {
	starts := map[string]map[int32]kgo.Offset{}
	for topic, partitions := range from {
		starts[topic] = map[int32]kgo.Offset{}
		for partition, offset := range partitions {
			starts[topic][partition] = kgo.NewOffset().At(offset)
		}
	}
	client, err := newClient(f, kgo.ConsumePartitions(starts), kgo.FetchMaxWait(fetchWait))
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, e := range fetches.Errors() {
			if !kerr.IsRetriable(e.Err) && isKafkaError(e.Err) {
				return fmt.Errorf("read %s/%d: %w", e.Topic, e.Partition, e.Err)
			}
		}
		var ended error
		fetches.EachRecord(func(r *kgo.Record) {
			if ended == nil {
				ended = each(toRecord(r))
			}
		})
		if ended != nil {
			return ended
		}
	}
}

// isKafkaError tells an answer of the cluster from a fault of the connection, which is
// waited out.
func isKafkaError(err error) bool {
	var answer *kerr.Error
	return errors.As(err, &answer)
}

// ReadAll returns all records of topic from position up to where the topic ends when it is
// called, ordered by partition and offset.
func ReadAll(ctx context.Context, f kafkaconn.Flags, topic string, from Position) ([]schema.Record, error) {
	end, err := Ends(ctx, f, topic)
	if err != nil {
		return nil, err
	}
	start, missing := Position{topic: {}}, map[int32]int64{}
	for partition, offset := range end[topic] {
		if begin := from[topic][partition]; begin < offset {
			start[topic][partition], missing[partition] = begin, offset
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	byPartition := map[int32][]schema.Record{}
	err = Follow(ctx, f, start, func(r *schema.Record) bool {
		if r.Offset < end[topic][r.Partition] {
			byPartition[r.Partition] = append(byPartition[r.Partition], *r)
		}
		if r.Offset+1 >= end[topic][r.Partition] {
			delete(missing, r.Partition)
		}
		return len(missing) > 0
	})
	if err != nil {
		return nil, fmt.Errorf("read all of %s: %w", topic, err)
	}
	var all []schema.Record
	for _, partition := range slices.Sorted(maps.Keys(byPartition)) {
		all = append(all, byPartition[partition]...)
	}
	return all, nil
}

func toRecord(r *kgo.Record) *schema.Record {
	record := &schema.Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp, Key: r.Key, Value: r.Value,
	}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, schema.Header{Key: h.Key, Value: h.Value})
	}
	return record
}
