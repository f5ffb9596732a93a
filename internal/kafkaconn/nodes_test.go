package kafkaconn

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tidegate/tidegate/internal/doors"
)

// Each broker that was given is replaced by one with another address: the layout stays current
// for as long as one is left of those that the cluster has named.
func TestBrokersAreReplaced(t *testing.T) {
	d := new(doors.Doors)
	c := cluster(t, kfake.NumBrokers(2), kfake.ListenFn(d.Listen), kfake.SeedTopics(2, "a"))
	conn := connect(t, c, Flags{})
	if got, err := conn.Topics(soon(t), "a"); err != nil || got[0].Partitions != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	nodes := c.ListenAddrs() // by number
	// Three times, so that at last even the first that came is gone.
	for node := range int32(3) {
		_, port, err := c.AddNode(-1, 0)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, fmt.Sprint("127.0.0.1:", port))
		knows := func() bool {
			_, err := conn.Topics(soon(t), "a")
			return err == nil && !slices.ContainsFunc(c.ListenAddrs(), func(a string) bool { return !slices.Contains(conn.Brokers(), a) })
		}
		for ctx := soon(t); !knows(); {
			if ctx.Err() != nil {
				t.Fatalf("replacement %d: the cluster is at %v, known are %v", node, c.ListenAddrs(), conn.Brokers())
			}
		}
		if err := c.RemoveNode(node); err != nil {
			t.Fatal(err)
		}
		d.Shut(nodes[node])
	}
	if err := c.CreateTopic("later", 5, nil); err != nil {
		t.Fatal(err)
	}
	for ctx := soon(t); ; {
		if got, err := conn.Topics(ctx, "a", "later"); err == nil && got[1].Partitions == 5 {
			return
		} else if ctx.Err() != nil {
			t.Fatalf("the layout is as old as the brokers that were given: %+v, %v", got, err)
		}
	}
}

// A topic is asked about for the first time while the cluster is away, so that the layout of all
// is to be learnt anew: that is not known yet, which says nothing about whether a topic exists.
func TestUnknownLayoutIsNoMissingTopic(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "a"))
	conn := connect(t, c, Flags{})
	if got, err := conn.Topics(soon(t), "a"); err != nil || got[0].Partitions != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	c.Close()
	conn.Watch("later")
	_, err := conn.Client().RawProduce(soon(t), &kafka.RawProduceRequest{
		Topic: "a", RequiredAcks: kafka.RequireAll, RawRecords: protocol.RawRecordSet{Reader: strings.NewReader("\x00\x00\x00\x00")},
	})
	if err == nil || errors.Is(err, protocol.ErrNoTopic) {
		t.Errorf("while the cluster is away: %v", err)
	}
}
