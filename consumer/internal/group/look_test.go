package group

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/internal/kafkaconn"
)

func TestLook(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(c *cluster)
		want    Standing
		err     error
	}{
		{"group that does not exist yet", func(c *cluster) { c.create(2); c.produce(0, 7) }, Standing{Partitions: 2, Behind: 7}, nil},
		{"group that is behind", func(c *cluster) {
			c.create(2)
			c.produce(0, 5)
			m := c.start(&recorder{}, nil)
			c.awaitCommit(0, 5)
			_ = m.end()
			c.produce(0, 3)
			c.produce(1, 2)
		}, Standing{Partitions: 2, Committed: 1, Behind: 5}, nil},
		{"topic that does not exist", func(*cluster) {}, Standing{}, kafka.UnknownTopicOrPartition},
		{"coordinator that is loading at first", func(c *cluster) {
			c.create(1)
			c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: testGroup, Err: kerr.CoordinatorLoadInProgress, Count: 2})
		}, Standing{Partitions: 1}, nil},
		{"group that is not ours to read", func(c *cluster) {
			c.create(1)
			c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: testGroup, Err: kerr.GroupAuthorizationFailed, Count: -1})
		}, Standing{}, kafka.GroupAuthorizationFailed},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCluster(t, 0)
			test.prepare(c)
			conn, err := kafkaconn.Open(kafkaconn.Flags{Brokers: c.ListenAddrs()}, "test")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got, err := Look(ctx, Options{Conn: conn, Group: testGroup, Topic: testTopic, Poll: 100 * time.Millisecond})
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, test.want, test.err)
			}
		})
	}
}
