package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidegate/tidegate/internal/process"
)

// addChecks makes the consumer ready: it is, while the store takes batches, Kafka answers
// and the group has assigned it its partitions, be it none.
func (c *consumer) addChecks() {
	c.ready.Add("store", true, func() (bool, string) {
		if c.pipeline.StoreUp() {
			return true, "takes batches: " + c.set.Store
		}
		return false, "does not take batches, which wait: " + c.set.Store
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
	c.ready.Add("build", false, func() (bool, string) { return true, process.Version() })
}

// topicsCheck says whether Kafka takes what the consumer publishes. A topic is asked about
// only once something was produced to it.
func (c *consumer) topicsCheck() (bool, string) {
	ok := true
	var all []string
	for _, name := range []string{c.set.topics().Alarms, c.set.topics().AlarmsDLQ} {
		switch t := c.producer.Topic(name); {
		case t.Refused:
			ok = false
			all = append(all, fmt.Sprintf("%s refused (Kafka error %d), batches wait for it", name, t.Code))
		case t.Partitions == 0:
			ok = false
			all = append(all, name+" not seen yet")
		default:
			all = append(all, fmt.Sprintf("%s has %d partitions", name, t.Partitions))
		}
	}
	return ok, strings.Join(all, "; ")
}

func (c *consumer) appsCheck() (bool, string) {
	s := c.apps.Status()
	detail := fmt.Sprintf("%s, %d apps, sha256 %.12s, read %s", absolute(s.Path), c.apps.Get().Len(), s.SHA256, s.LoadedAt.UTC().Format(time.RFC3339))
	if len(s.Warnings) > 0 {
		detail += "; warnings: " + oneLine(s.Warnings)
	}
	if s.Err != nil {
		return false, detail + "; the file as it is cannot be used: " + oneLine(s.Err)
	}
	return true, detail
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
