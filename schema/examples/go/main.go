// Command alarms prints the enriched alarms of a topic, from its beginning, a line each:
//
//	go run ./schema/examples/go BROKERS TOPIC GROUP
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidegate/tidegate/schema"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: alarms BROKERS TOPIC GROUP")
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(os.Args[1], ",")...), kgo.ConsumeTopics(os.Args[2]), kgo.ConsumerGroup(os.Args[3]))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for { // what was printed is committed with the next poll
		client.PollFetches(context.Background()).EachRecord(func(r *kgo.Record) {
			record := schema.Record{Key: r.Key, Value: r.Value}
			for _, h := range r.Headers {
				record.Headers = append(record.Headers, schema.Header{Key: h.Key, Value: h.Value})
			}
			switch a, err := schema.ParseEnriched(&record); {
			case errors.Is(err, schema.ErrOtherType): // of a later release
			case err != nil:
				log.Printf("partition %d offset %d: %v", r.Partition, r.Offset, err)
			default: // it may come twice, with the same AlarmID
				fmt.Println(a.AlarmID, a.EventTime, a.SdkAppID, a.Severity, fmt.Sprintf("%d/%d %.2f%%", a.QuotaUsed, a.Quota, a.UsedPercent), text(a.Owner), text(a.ExhaustionAt))
			}
		})
	}
}

func text(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}
