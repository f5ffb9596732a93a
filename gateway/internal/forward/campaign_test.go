package forward

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/gateway/internal/torture"
)

// campaign does random things to a forwarder: faults of all classes on random partitions,
// topics that close and open, load meanwhile, and what change does.
type campaign struct {
	*rig
	loop   *torture.Loop
	random *rand.Rand
	faults []*kfake.FaultHandle
}

// answers are what brokers may say when something is wrong; none of them loses a record.
var answers = []*kerr.Error{
	kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut, kerr.NotLeaderForPartition,
	kerr.LeaderNotAvailable, kerr.KafkaStorageError, kerr.UnknownServerError, kerr.TopicAuthorizationFailed,
	kerr.UnknownTopicOrPartition, kerr.InvalidTimestamp, kerr.MessageTooLarge,
}

// fault begins a fault that lasts for some requests or until heal.
func (c *campaign) fault() {
	f := kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: answers[c.random.IntN(len(answers))], Count: 1 + c.random.IntN(20)}
	if f.Err == kerr.MessageTooLarge {
		f.When = manyRecords // a single one would be parked, and lose its place
	} else if c.random.IntN(3) == 0 {
		f.Count = -1
	}
	f.Topic = []string{testTopic, otherTopic}[c.random.IntN(2)]
	for range c.random.IntN(3) {
		f.Partitions = append(f.Partitions, int32(c.random.IntN(4)))
	}
	c.loop.Faulted(1)
	c.faults = append(c.faults, c.cluster.Fault(f))
}

// manyRecords reports whether all batches of a produce request have more than one record.
func manyRecords(r kmsg.Request) bool {
	for _, t := range r.(*kmsg.ProduceRequest).Topics {
		for _, p := range t.Partitions {
			var b kmsg.RecordBatch
			if err := b.ReadFrom(p.Records); err != nil || b.NumRecords < 2 {
				return false
			}
		}
	}
	return true
}

// heal ends a random fault.
func (c *campaign) heal() {
	if len(c.faults) > 0 {
		i := c.random.IntN(len(c.faults))
		c.faults[i].Remove()
		c.faults = append(c.faults[:i], c.faults[i+1:]...)
	}
}

// load appends some rounds for two topics.
func (c *campaign) load() {
	for range 1 + c.random.IntN(15) {
		c.append(otherTopic, apps(8)...)
		c.synced(c.append(testTopic, apps(16)...))
	}
}

// pause lets time pass: some delivery, some retries, some topics that close.
func (c *campaign) pause() { <-time.After(time.Duration(c.random.IntN(300)) * time.Millisecond) }

// run does steps and checks that in the end everything is there, in order.
func (c *campaign) run(steps int, change func()) (duplicates int) {
	c.produce = func(o *producerOptions) {
		o.TopicGrace = 40 * time.Millisecond // topics are parked often
		if c.random.IntN(2) == 0 {
			small(o)
		}
	}
	c.forward = func(o *Options) {
		o.StopTimeout, o.TopicRetryMin, o.TopicRetryMax, o.RecordRetry = 200*time.Millisecond, 50*time.Millisecond, 200*time.Millisecond, 100*time.Millisecond
	}
	c.start()
	for range steps {
		switch c.random.IntN(8) {
		case 0, 1:
			c.fault()
		case 2, 3:
			c.heal()
		case 4:
			c.pause()
		case 5:
			change()
		default:
			c.load()
		}
	}
	for len(c.faults) > 0 {
		c.heal()
	}
	c.load()
	c.drain()
	for _, topic := range []string{testTopic, otherTopic} {
		duplicates += c.inOrder(topic, c.fetch(topic))
	}
	return duplicates
}

// campaigns runs one campaign for each seed of a loop. change is what it does in between.
func campaigns(t *testing.T, change func(c *campaign)) {
	t.Parallel() // they mostly wait
	loop := torture.New(t, 6, 2)
	for seed := range loop.Seeds() {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			c := &campaign{
				rig:  newRig(t, kfake.NumBrokers(3), kfake.SeedTopics(4, testTopic, otherTopic)),
				loop: loop, random: rand.New(rand.NewPCG(seed, 0)),
			}
			n := c.run(60, func() { change(c) })
			t.Logf("%d duplicates of %d", n, watermarks(c.rig, testTopic)+watermarks(c.rig, otherTopic))
		})
	}
}

// Orderly restarts in the midst of faults: no loss, order kept.
func TestTortureCampaignWithRestarts(t *testing.T) {
	campaigns(t, func(c *campaign) { c.stop(); c.start() })
}

// kill -9 in the midst of faults: no loss, order kept.
func TestTortureCampaignWithKills(t *testing.T) {
	campaigns(t, func(c *campaign) { c.loop.Crashed(); c.kill(); c.start() })
}

// Power cuts: what was synced is delivered, whatever the disk kept of the rest.
func TestTortureCampaignWithPowerCuts(t *testing.T) {
	campaigns(t, func(c *campaign) { c.loop.Crashed(); c.cutPower(c.random); c.start() })
}

// Leaders move about while nothing restarts: no loss, order kept.
func TestTortureCampaignWithMovingLeaders(t *testing.T) {
	campaigns(t, func(c *campaign) { c.cluster.ShufflePartitionLeaders() })
}

// cutPower ends a life as a power cut does.
func (r *rig) cutPower(random *rand.Rand) {
	r.t.Helper()
	r.die()
	r.disk.Restart(random)
}

// The broker's process goes away and comes back under the same address, with its data.
func TestBrokerProcessAwayAndBack(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, kfake.DataDir(dir), kfake.SeedTopics(4, testTopic))
	port := r.port()
	r.start()
	for range 20 {
		r.append(testTopic, apps(32)...)
	}
	r.drain()
	r.cluster.Close()
	for range 100 {
		r.synced(r.append(testTopic, apps(32)...))
	}
	eventually(t, "the cluster counts as away", func() bool { return !r.producer.Up() })
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.DataDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	r.cluster = c
	for range 20 {
		r.append(testTopic, apps(32)...)
	}
	r.drain()
	if n := r.inOrder(testTopic, r.fetch(testTopic)); n > 0 {
		t.Errorf("%d duplicates", n)
	}
}
