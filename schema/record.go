package schema

import "time"

// Header is one header of a Kafka record. Value is a view: it belongs to whoever
// handed it out.
type Header struct {
	Key   string
	Value []byte
}

// Record is one Kafka record, to be produced or as it was fetched.
//
// Key, Value and the header values are views and belong to whoever made the record.
// Partition, Offset and Time are set on fetched records only; a producer chooses the
// partition from Key and stamps the time itself.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Time      time.Time // Kafka's timestamp: the time of producing, not of receipt
	Key       []byte
	Value     []byte
	Headers   []Header
}

// Header returns the value of the first header named key, and whether there is one.
func (r *Record) Header(key string) ([]byte, bool) {
	for i := range r.Headers {
		if r.Headers[i].Key == key {
			return r.Headers[i].Value, true
		}
	}
	return nil, false
}

// LastHeader returns the value of the last header named key, and whether there is one.
// It is what reads a dead letter's own headers: see DeadLetter.DeadRecord.
func (r *Record) LastHeader(key string) ([]byte, bool) {
	for i := len(r.Headers) - 1; i >= 0; i-- {
		if r.Headers[i].Key == key {
			return r.Headers[i].Value, true
		}
	}
	return nil, false
}
