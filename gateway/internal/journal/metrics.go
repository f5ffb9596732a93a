package journal

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one journal, under tidegate_gateway_journal_. What Stats knows is asked for
// at each scrape and costs nothing in between.
type metrics struct {
	syncSeconds  prometheus.Histogram
	batchEntries prometheus.Histogram
	late         prometheus.Counter
	delayed      prometheus.Counter
	writeErrors  prometheus.Counter
	corruptions  prometheus.Counter
	all          []prometheus.Collector
}

const metricsPrefix = "tidegate_gateway_journal_"

// newMetrics makes the metrics; register shows them once the journal is open.
func newMetrics(j *Journal) *metrics {
	m := &metrics{
		syncSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: metricsPrefix + "sync_seconds", Help: "Time of one fdatasync of a segment.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		batchEntries: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: metricsPrefix + "batch_entries", Help: "Entries that shared one sync.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		late:        counter("late_batches_total", "Batches whose waiters were released at the deadline."),
		delayed:     counter("delayed_appends_total", "Appends that waited for room in a batch, also those that were refused in the end."),
		writeErrors: counter("write_errors_total", "Failed writes and syncs, each series of the same error once."),
		corruptions: counter("corruptions_total", "Unreadable parts found."),
	}
	m.all = []prometheus.Collector{
		m.syncSeconds, m.batchEntries, m.late, m.writeErrors, m.corruptions,
		gauge("entries", "Entries appended and not settled.", func() float64 { return float64(j.Stats().Entries) }),
		gauge("bytes", "Segment files on disk, spares included.", func() float64 { return float64(j.Stats().Bytes) }),
		gauge("limit_bytes", "The budget.", func() float64 { return float64(j.Stats().LimitBytes) }),
		gauge("seconds_to_full", "Until the budget is used up at the present rate; +Inf when it is not growing.", func() float64 {
			return math.Float64frombits(j.keeper.rate.seconds.Load())
		}),
		gauge("oldest_undelivered_seconds", "Age of the oldest entry that is not settled; 0 when all are.", func() float64 {
			if t := j.Stats().OldestUndelivered; !t.IsZero() {
				return max(0, j.now().Sub(t).Seconds())
			}
			return 0
		}),
		m.delayed,
	}
	j.keeper.rate.seconds.Store(math.Float64bits(math.Inf(1)))
	return m
}

// register adds the metrics to reg, all or none; nil is no registry. An error means that
// another journal has them.
func (m *metrics) register(reg prometheus.Registerer) error {
	if reg == nil {
		return nil
	}
	for i, c := range m.all {
		if err := reg.Register(c); err != nil {
			for _, done := range m.all[:i] {
				reg.Unregister(done)
			}
			return err
		}
	}
	return nil
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help})
}

func gauge(name, help string, f func() float64) prometheus.GaugeFunc {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: metricsPrefix + name, Help: help}, f)
}

// unregister lets the same registry take the next journal.
func (m *metrics) unregister(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	for _, c := range m.all {
		reg.Unregister(c)
	}
}
