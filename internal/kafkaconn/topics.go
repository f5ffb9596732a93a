package kafkaconn

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
)

// What lets a cluster lose a broker without losing records that it has acknowledged.
const (
	SafeMinISR      = 2
	SafeReplication = 3
)

// TopicInfo is what a cluster says about one topic.
type TopicInfo struct {
	Name        string
	Partitions  int
	Replication int // of the partition that has the fewest replicas

	MinISR          int           // min.insync.replicas
	MaxMessageBytes int           // max.message.bytes: the largest record batch
	Retention       time.Duration // retention.ms; negative: for ever

	Err       error // the topic itself: missing, not authorised; the rest is zero then
	ConfigErr error // its settings could not be read: MinISR, MaxMessageBytes and Retention are zero
}

// Topics asks the cluster about each of names and returns the answers in that order. The
// error is about the cluster as a whole (unreachable, not authenticated); what is wrong
// with one topic stands in its TopicInfo. For `check`: two requests, nothing is cached but
// the layout.
func (c *Conn) Topics(ctx context.Context, names ...string) ([]TopicInfo, error) {
	meta, err := c.client.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
	if err != nil {
		return nil, fmt.Errorf("ask for topics: %w", err)
	}
	infos := make([]TopicInfo, len(meta.Topics))
	var exist []kafka.DescribeConfigRequestResource
	for i := range meta.Topics {
		infos[i] = layoutOf(&meta.Topics[i])
		if infos[i].Err == nil {
			exist = append(exist, kafka.DescribeConfigRequestResource{
				ResourceType: kafka.ResourceTypeTopic, ResourceName: infos[i].Name, ConfigNames: configNames,
			})
		}
	}
	if len(exist) > 0 {
		c.describe(ctx, infos, exist)
	}
	return infos, nil
}

// layoutOf reads what metadata says of a topic.
func layoutOf(t *kafka.Topic) TopicInfo {
	info := TopicInfo{Name: t.Name, Err: t.Error, Partitions: len(t.Partitions)}
	for i, p := range t.Partitions {
		if n := len(p.Replicas); i == 0 || n < info.Replication {
			info.Replication = n
		}
	}
	return info
}

var configNames = []string{"min.insync.replicas", "max.message.bytes", "retention.ms"}

// describe fills in the settings of the topics in resources.
func (c *Conn) describe(ctx context.Context, infos []TopicInfo, resources []kafka.DescribeConfigRequestResource) {
	res, err := c.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: resources})
	for i := range infos {
		info := &infos[i]
		if info.Err != nil {
			continue
		}
		if info.ConfigErr = err; err == nil {
			info.ConfigErr = info.read(res.Resources)
		}
	}
}

// read takes over the settings of the topic from a cluster's answer.
func (i *TopicInfo) read(resources []kafka.DescribeConfigResponseResource) error {
	for _, r := range resources {
		if r.ResourceName != i.Name {
			continue
		}
		if r.Error != nil {
			return r.Error
		}
		for _, entry := range r.ConfigEntries {
			if err := i.set(entry.ConfigName, entry.ConfigValue); err != nil {
				return err
			}
		}
		return nil
	}
	return errors.New("the cluster's answer leaves the topic out")
}

// set takes over one setting; those that are not asked for are passed over.
func (i *TopicInfo) set(name, value string) error {
	var into *int
	switch name {
	case "min.insync.replicas":
		into = &i.MinISR
	case "max.message.bytes":
		into = &i.MaxMessageBytes
	case "retention.ms":
		ms, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		// A retention beyond what a Duration holds (292 years) is "for ever".
		if i.Retention = time.Duration(ms) * time.Millisecond; i.Retention/time.Millisecond != time.Duration(ms) {
			i.Retention = -1
		}
		return nil
	default:
		return nil
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	*into = n
	return nil
}
