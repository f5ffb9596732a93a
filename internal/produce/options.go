package produce

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/internal/kafkaconn"
)

// Options configure a Producer. Conn is required; everything else has a default for the zero
// value.
type Options struct {
	Conn          *kafkaconn.Conn       // not closed by the producer
	Log           *zap.Logger           // nil: none
	Metrics       prometheus.Registerer // nil: none
	MetricsPrefix string                // tidegate_gateway or tidegate_consumer

	MaxBatchBytes   int           // of one batch; a larger record travels alone; 512 KiB
	MaxBatchRecords int           // of one batch; 1000
	RequestTimeout  time.Duration // of one request; 10 s
	TopicGrace      time.Duration // how long a topic has to be missing or closed before it counts as that; 3 s

	Compression Compression // of batches that it makes shorter; none

	now func() time.Time // tests
}

// restampAfter bounds how old a batch's time may become while it is tried. The time is part of
// the bytes, but not of what a broker compares to recognise a repeated batch (producer id,
// epoch, first and last sequence), so a new one is safe; and a topic whose retention is shorter
// than the outage would delete records that are as old as the first attempt.
const restampAfter = 10 * time.Minute

// withDefaults fills in what was left zero.
func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.MaxBatchBytes == 0 {
		o.MaxBatchBytes = 512 << 10
	}
	if o.MaxBatchRecords == 0 {
		o.MaxBatchRecords = 1000
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = kafkaconn.RequestTimeout
	}
	if o.TopicGrace == 0 {
		o.TopicGrace = 3 * time.Second
	}
	if o.now == nil {
		o.now = time.Now
	}
	return o
}
