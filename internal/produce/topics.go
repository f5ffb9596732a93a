package produce

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"
)

// TopicState is what the cluster last said about a topic.
type TopicState struct {
	Partitions int32 // 0: not known, because the cluster was not reached yet or refuses the topic
	Refused    bool  // missing or closed to us, for longer than the grace period
	Code       int16 // Kafka's code for that
}

// topic is one topic whose layout is kept. All fields are guarded by Producer.mu.
type topic struct {
	name     string
	state    TopicState
	badSince time.Time // first of the refusals in a row; zero: none

	// For calls of Produce, which all use one partition count at a time.
	count int32         // in use
	users int           // calls under way
	idle  chan struct{} // made by those that wait for users to fall to 0, closed then
}

// Topic returns what is known about a topic, and from now on keeps it current; Subscribe says
// when it changes. Between two calls the number of partitions may have changed: an owner of
// lanes sends nothing under the new number before all that it added under the old one was
// settled, else one key's records could pass each other.
func (p *Producer) Topic(name string) TopicState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.topicLocked(name).state
}

// TopicsDetail says for a readiness check whether Kafka takes records of all topics that
// were named, and in one line how it stands with each; refused says what becomes of the
// records of one that Kafka refuses.
func (p *Producer) TopicsDetail(names []string, refused string) (ok bool, detail string) {
	ok = true
	all := make([]string, len(names))
	for i, name := range names {
		switch t := p.Topic(name); {
		case t.Refused:
			ok = false
			all[i] = fmt.Sprintf("%s refused (Kafka error %d), %s", name, t.Code, refused)
		case t.Partitions == 0:
			ok = false
			all[i] = name + " not seen yet"
		default:
			all[i] = fmt.Sprintf("%s has %d partitions", name, t.Partitions)
		}
	}
	return ok, strings.Join(all, "; ")
}

// topicLocked returns the topic, which it begins to watch if that is new. p.mu is held.
func (p *Producer) topicLocked(name string) *topic {
	t := p.topics[name]
	if t == nil {
		t = &topic{name: name}
		p.topics[name] = t
		notify(p.poll)
	}
	return t
}

// refresh takes over the layout of all watched topics. When the cluster cannot be asked,
// what was known stays.
func (p *Producer) refresh(ctx context.Context) {
	p.mu.Lock()
	names := make([]string, 0, len(p.topics))
	for name := range p.topics {
		names = append(names, name)
	}
	p.mu.Unlock()
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	ctx, cancel := context.WithTimeout(ctx, p.o.RequestTimeout)
	defer cancel()
	meta, err := p.o.Conn.Client().Metadata(ctx, &kafka.MetadataRequest{Topics: names})
	if err != nil {
		p.failed()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range meta.Topics {
		p.updateLocked(&meta.Topics[i])
	}
}

// updateLocked takes over what the layout says of one topic. p.mu is held.
func (p *Producer) updateLocked(m *kafka.Topic) {
	t := p.topics[m.Name]
	if t == nil {
		return
	}
	old := t.state
	c, code := classify(m.Error)
	switch {
	case c == classTopic:
		if t.badSince.IsZero() {
			t.badSince = p.o.now()
		}
		if p.o.now().Sub(t.badSince) >= p.o.TopicGrace {
			t.state = TopicState{Refused: true, Code: code}
		}
	case c == classDelivered && len(m.Partitions) > 0:
		t.badSince = time.Time{}
		t.state = TopicState{Partitions: int32(len(m.Partitions))}
	}
	if t.state == old {
		return
	}
	p.o.Log.Info("topic changed", zap.String("topic", t.name), zap.Int32("partitions", t.state.Partitions),
		zap.Int32("partitions_before", old.Partitions), zap.Bool("refused", t.state.Refused), zap.Int16("code", t.state.Code))
	p.changedLocked()
}

// state returns what is known about a topic.
func (p *Producer) state(name string) TopicState {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.topics[name]; t != nil {
		return t.state
	}
	return TopicState{}
}

// enter takes a share of the topic's partition count and returns it, waiting until the topic
// is known. Calls that still use an older count finish first: per topic, all that was added
// under the old count is answered before anything is added under the new one. Each
// successful enter is followed by a leave. Errors: of ctx, ErrClosed.
func (p *Producer) enter(ctx context.Context, name string) (int32, error) {
	changed := time.NewTicker(pollInterval / 10)
	defer changed.Stop()
	for {
		p.mu.Lock()
		t := p.topicLocked(name)
		if t.users == 0 {
			t.count = t.state.Partitions
		}
		if t.count > 0 && t.count == t.state.Partitions {
			t.users++
			p.mu.Unlock()
			return t.count, nil
		}
		if t.users > 0 && t.idle == nil {
			t.idle = make(chan struct{})
		}
		idle := t.idle // nil when nobody uses the topic: it is not known yet
		p.mu.Unlock()
		select {
		case <-idle:
		case <-changed.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-p.ctx.Done():
			return 0, ErrClosed
		}
	}
}

// leave gives back a share.
func (p *Producer) leave(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.topics[name]
	if t.users--; t.users == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}
