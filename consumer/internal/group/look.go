package group

import (
	"context"
	"errors"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"
)

// Standing is where a group stands on a topic.
type Standing struct {
	Partitions int   // of the topic
	Committed  int   // of them have a committed offset of the group
	Behind     int64 // records after the committed offsets; partitions without one count whole
}

// Look asks where the group o.Group stands on o.Topic, without joining it: for check. It
// needs Conn, Group and Topic only. A coordinator that is loading, as on a young cluster,
// is asked again until ctx ends. Errors: kafka.UnknownTopicOrPartition where the topic
// does not exist, else what keeps this client from the group.
func Look(ctx context.Context, o Options) (Standing, error) {
	g := &Group{o: o.withDefaults(), client: o.Conn.Client(), log: zap.NewNop()}
	for {
		s, err := g.look(ctx)
		if err == nil || !temporary(err) {
			return s, err
		}
		pause(ctx, g.o.Poll/8)
		if ctx.Err() != nil {
			return s, err
		}
	}
}

func (g *Group) look(ctx context.Context) (Standing, error) {
	all, err := g.partitions(ctx)
	if err != nil {
		return Standing{}, err
	}
	ranges, err := g.ranges(ctx, all)
	if err != nil {
		return Standing{}, err
	}
	committed, err := g.committed(ctx, all)
	if err != nil {
		return Standing{}, err
	}
	s := Standing{Partitions: len(all), Committed: len(committed)}
	for p, r := range ranges {
		from := r.first
		if offset, ok := committed[p]; ok {
			from = max(from, min(offset, r.end))
		}
		s.Behind += r.end - from
	}
	return s, nil
}

// temporary reports whether Kafka says that asking again will help. A topic that does
// not exist is in Kafka's list of those; here it is an answer.
func temporary(err error) bool {
	code, ok := errors.AsType[kafka.Error](err)
	return ok && code.Temporary() && code != kafka.UnknownTopicOrPartition
}
