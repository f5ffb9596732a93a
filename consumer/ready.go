package main

import (
	"fmt"

	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/internal/process"
)

// addChecks makes the consumer ready: it is, while the store takes batches, Kafka answers
// and the group has assigned it its partitions, be it none.
func (c *consumer) addChecks() {
	c.ready.Add("store", true, func() (bool, string) {
		if c.pipeline.StoreUp() {
			return true, "takes batches: " + store.Name(c.set.Store)
		}
		return false, "does not take batches, which wait: " + store.Name(c.set.Store)
	})
	c.ready.Add("kafka", true, func() (bool, string) {
		if c.kafkaUp() {
			return true, "answers"
		}
		return false, "does not answer"
	})
	c.ready.Add("group", true, func() (bool, string) {
		if n := c.group.Assigned(); n >= 0 {
			return true, fmt.Sprintf("%d partitions of %s assigned in group %s", n, c.set.topics().AlarmsRaw, c.set.Group)
		}
		return false, fmt.Sprintf("no assignment in group %s yet: joining it, or waiting for topic %s", c.set.Group, c.set.topics().AlarmsRaw)
	})
	c.ready.Add("topics", false, c.topicsCheck)
	c.ready.Add("file apps", false, c.appsCheck)
	c.addNotifyChecks()
	c.ready.Add("build", false, func() (bool, string) { return true, process.Version() })
}

// topicsCheck says whether Kafka takes what the consumer publishes. A topic is asked about
// only once something was produced to it.
func (c *consumer) topicsCheck() (bool, string) {
	return c.producer.TopicsDetail([]string{c.set.topics().Alarms, c.set.topics().AlarmsDLQ}, "batches wait for it")
}

func (c *consumer) appsCheck() (bool, string) {
	return process.FileDetail(c.apps.Status(), fmt.Sprintf("%d apps", c.apps.Get().Len()))
}
