package produce

import (
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// ErrClosed means that the producer was closed before the records were settled: they may or
// may not be in Kafka. The caller has them still and sends them again after a restart.
var ErrClosed = errors.New("producer is closed")

// RefusedError says that Kafka definitely refused one record: it will not take it as it is.
// The caller keeps it elsewhere and says so; sending it again is of no use before the topic's
// settings changed.
type RefusedError struct {
	Code int16  // Kafka's error code
	Text string // the broker's words, for a person
}

// Error implements error.
func (e *RefusedError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("record refused with code %d", e.Code)
	}
	return fmt.Sprintf("record refused with code %d: %s", e.Code, e.Text)
}

// class says what follows from an answer. It is the label of the retries metric: a closed set.
type class uint8

const (
	classDelivered class = iota // all records are in the log
	classNetwork                // no answer: may have been applied or not; again, unchanged
	classBroker                 // the broker cannot at present; again, unchanged
	classLeader                 // sent to the wrong broker; again, unchanged, when the layout is newer
	classSequence               // the producer id is of no more use: a new one, the same records
	classTooLarge               // nothing was taken: by halves, down to the single record
	classRecord                 // nothing was taken: by the records named, else by halves
	classTimestamp              // nothing was taken: clocks differ; again with a new time, and say so
	classTopic                  // the topic is missing or closed to us: the owner parks it
	numClasses
)

// String returns the metric's label.
func (c class) String() string {
	return [numClasses]string{
		"delivered", "network", "broker", "leader", "sequence", "too_large", "record", "timestamp", "topic",
	}[c]
}

// codeNoTopic is also what the layout's lack of a topic or partition counts as.
const codeNoTopic = int16(kafka.UnknownTopicOrPartition)

// classes is the one table of what an answer to a produce or InitProducerID request means.
// A code that is not listed is classBroker: tried again for ever. So what a new broker
// invents delays records and never loses one.
var classes = map[kafka.Error]class{
	0:                             classDelivered,
	kafka.DuplicateSequenceNumber: classDelivered, // 46: an earlier attempt was applied

	kafka.NetworkException: classNetwork,
	kafka.RequestTimedOut:  classNetwork, // 7: answered after it was applied, perhaps

	kafka.LeaderNotAvailable:    classLeader,
	kafka.NotLeaderForPartition: classLeader,
	kafka.ReplicaNotAvailable:   classLeader,
	kafka.FencedLeaderEpoch:     classLeader,
	kafka.UnknownLeaderEpoch:    classLeader,

	kafka.OutOfOrderSequenceNumber: classSequence, // 45
	kafka.InvalidProducerEpoch:     classSequence, // 47
	kafka.UnknownProducerId:        classSequence, // 59
	kafka.InvalidProducerIDMapping: classSequence, // 49: the cluster forgot the id
	kafka.ProducerFenced:           classSequence, // 90: what newer brokers say for 47

	kafka.MessageSizeTooLarge: classTooLarge, // 10: over max.message.bytes
	kafka.RecordListTooLarge:  classTooLarge, // 18: over segment.bytes

	kafka.InvalidRecord:    classRecord,    // 87
	kafka.InvalidTimestamp: classTimestamp, // 32

	kafka.UnknownTopicOrPartition:  classTopic, // 3
	kafka.InvalidTopic:             classTopic, // 17
	kafka.TopicAuthorizationFailed: classTopic, // 29
}

// classify returns the class of a call's error or answer, and Kafka's code for it (0 where
// there was none). It looks at codes and types, never at text.
func classify(err error) (class, int16) {
	if err == nil {
		return classDelivered, 0
	}
	if code, ok := errors.AsType[kafka.Error](err); ok {
		if c, listed := classes[code]; listed {
			return c, int16(code)
		}
		return classBroker, int16(code)
	}
	switch {
	case errors.Is(err, protocol.ErrNoTopic), errors.Is(err, protocol.ErrNoPartition):
		return classTopic, codeNoTopic
	case errors.Is(err, protocol.ErrNoLeader):
		return classLeader, int16(kafka.LeaderNotAvailable)
	}
	return classNetwork, 0
}
