package stack

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/schema"
)

// DefaultPartitions is how many partitions a topic gets: the contract's recommendation.
const DefaultPartitions = 12

// CreateTopics makes the four topics of f's prefix, as far as they are missing, and waits
// until the cluster knows them. Where there are three nodes or more: replication 3 and
// min.insync.replicas 2. What exists is left as it is.
func CreateTopics(ctx context.Context, f kafkaconn.Flags, partitions int) error {
	client, err := newClient(f)
	if err != nil {
		return err
	}
	defer client.Close()
	nodes, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("create topics: ask for the cluster's nodes: %w", err)
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = 10_000
	for _, name := range schema.NewTopics(f.TopicPrefix).All() {
		request.Topics = append(request.Topics, topicRequest(name, partitions, len(nodes.Brokers)))
	}
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for _, topic := range answer.Topics {
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", topic.Topic, err)
		}
	}
	return nil
}

// DeleteTopic takes a topic away with all that is in it. One that is not there is an error.
// CreateTopics makes it again.
func DeleteTopic(ctx context.Context, f kafkaconn.Flags, name string) error {
	client, err := newClient(f)
	if err != nil {
		return err
	}
	defer client.Close()
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = &name
	request := kmsg.NewPtrDeleteTopicsRequest()
	request.TimeoutMillis = 10_000
	request.Topics, request.TopicNames = []kmsg.DeleteTopicsRequestTopic{topic}, []string{name} // by version
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	for i := range answer.Topics {
		if err := kerr.ErrorForCode(answer.Topics[i].ErrorCode); err != nil {
			return fmt.Errorf("delete topic %s: %w", name, err)
		}
	}
	return nil
}

func topicRequest(name string, partitions, nodes int) kmsg.CreateTopicsRequestTopic {
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic = name
	topic.NumPartitions = int32(partitions) //nolint:gosec // checked by Start
	topic.ReplicationFactor = 1
	configs := map[string]string{
		"retention.ms":      strconv.FormatInt(retention.Milliseconds(), 10),
		"max.message.bytes": strconv.Itoa(1 << 20),
	}
	if nodes >= 3 {
		topic.ReplicationFactor = 3
		configs["min.insync.replicas"] = "2"
	}
	for name, value := range configs {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = name, kmsg.StringPtr(value)
		topic.Configs = append(topic.Configs, config)
	}
	return topic
}
