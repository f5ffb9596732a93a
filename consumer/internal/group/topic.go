package group

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"
)

// logRange is what Kafka holds of one partition: offsets first up to, not including, end.
type logRange struct{ first, end int64 }

// partitions asks for the numbers of the topic's partitions.
// kafka.UnknownTopicOrPartition: the topic does not exist.
func (g *Group) partitions(ctx context.Context) ([]int, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := g.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{g.o.Topic}})
	if err != nil {
		return nil, fmt.Errorf("ask for the metadata of %s: %w", g.o.Topic, err)
	}
	for _, t := range answer.Topics {
		if t.Name != g.o.Topic {
			continue
		}
		if t.Error != nil {
			return nil, fmt.Errorf("ask for the metadata of %s: %w", g.o.Topic, t.Error)
		}
		numbers := make([]int, 0, len(t.Partitions))
		for _, p := range t.Partitions {
			numbers = append(numbers, p.ID)
		}
		return numbers, nil
	}
	return nil, fmt.Errorf("ask for the metadata of %s: %w", g.o.Topic, kafka.UnknownTopicOrPartition)
}

// requestTimeout bounds one request.
const requestTimeout = 10 * time.Second

// ranges asks for the first offset and the end of partitions.
func (g *Group) ranges(ctx context.Context, partitions []int) (map[int]logRange, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	asked := make([]kafka.OffsetRequest, 0, 2*len(partitions))
	for _, p := range partitions {
		asked = append(asked, kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p))
	}
	answer, err := g.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{g.o.Topic: asked},
	})
	if err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", g.o.Topic, err)
	}
	ranges := make(map[int]logRange, len(partitions))
	for _, p := range answer.Topics[g.o.Topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("list offsets of %s partition %d: %w", g.o.Topic, p.Partition, p.Error)
		}
		ranges[p.Partition] = logRange{first: p.FirstOffset, end: p.LastOffset}
	}
	for _, p := range partitions {
		if r, ok := ranges[p]; !ok || r.first < 0 || r.end < r.first {
			return nil, fmt.Errorf("list offsets of %s partition %d: answer is not usable: %d..%d", g.o.Topic, p, r.first, r.end)
		}
	}
	return ranges, nil
}

// committed asks which of partitions have a committed offset in the group.
func (g *Group) committed(ctx context.Context, partitions []int) (map[int]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := g.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{
		GroupID: g.o.Group,
		Topics:  map[string][]int{g.o.Topic: partitions},
	})
	if err == nil {
		err = answer.Error
	}
	if errors.Is(err, kafka.GroupIdNotFound) {
		return nil, nil // nobody has joined it yet
	}
	if err != nil {
		return nil, fmt.Errorf("fetch offsets of group %s: %w", g.o.Group, err)
	}
	offsets := make(map[int]int64)
	for _, p := range answer.Topics[g.o.Topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("fetch offset of group %s, %s partition %d: %w", g.o.Group, g.o.Topic, p.Partition, p.Error)
		}
		if p.CommittedOffset >= 0 {
			offsets[p.Partition] = p.CommittedOffset
		}
	}
	return offsets, nil
}

// retention asks for the topic's retention.ms; a negative one is no limit.
func (g *Group) retention(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := g.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{{
			ResourceType: kafka.ResourceTypeTopic,
			ResourceName: g.o.Topic,
			ConfigNames:  []string{"retention.ms"},
		}},
	})
	if err != nil {
		return 0, fmt.Errorf("describe %s: %w", g.o.Topic, err)
	}
	for _, r := range answer.Resources {
		if r.Error != nil {
			return 0, fmt.Errorf("describe %s: %w", g.o.Topic, r.Error)
		}
		for _, c := range r.ConfigEntries {
			if c.ConfigName != "retention.ms" {
				continue
			}
			ms, err := strconv.ParseInt(c.ConfigValue, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("describe %s: %w", g.o.Topic, err)
			}
			return time.Duration(min(ms, int64(maxRetention/time.Millisecond))) * time.Millisecond, nil
		}
	}
	return 0, fmt.Errorf("describe %s: no retention.ms in the answer", g.o.Topic)
}

// maxRetention keeps a huge retention.ms from overflowing a time.Duration.
const maxRetention = 100 * 365 * 24 * time.Hour

// awaitTopic returns nil once the topic exists, and ctx's error when that ends first. A
// missing topic is a waiting state: the operator creates topics, not the consumer.
func (g *Group) awaitTopic(ctx context.Context) error {
	said := false
	for ctx.Err() == nil {
		partitions, err := g.partitions(ctx)
		switch {
		case err == nil && len(partitions) > 0:
			g.setUp(true, nil)
			return nil
		case errors.Is(err, kafka.UnknownTopicOrPartition):
			g.setUp(true, nil)
			if !said {
				g.log.Warn("topic does not exist, waiting for it")
				said = true
			}
		case ctx.Err() == nil:
			g.setUp(false, err)
			g.log.Warn("could not look for the topic, trying again", zap.Error(err))
		}
		pause(ctx, g.o.Poll/2)
	}
	return ctx.Err()
}

// topicMissing reports whether Kafka says that the topic does not exist.
func (g *Group) topicMissing(ctx context.Context) bool {
	_, err := g.partitions(ctx)
	return errors.Is(err, kafka.UnknownTopicOrPartition)
}

// retry calls f until it succeeds or ctx ends, with growing pauses; what says what is
// tried. False: ctx ended.
func (g *Group) retry(ctx context.Context, what string, f func(context.Context) error) bool {
	for delay := 100 * time.Millisecond; ctx.Err() == nil; delay = min(2*delay, 2*time.Second) {
		err := f(ctx)
		if err == nil {
			g.setUp(true, nil)
			return true
		}
		if ctx.Err() != nil {
			break
		}
		g.setUp(false, err)
		g.log.Warn("kafka refused, trying again", zap.String("step", what), zap.Error(err))
		pause(ctx, delay)
	}
	return false
}

// pause waits for d, give or take a fifth so that members do not move in step, or until
// ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d - d/5 + rand.N(d*2/5+1))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
