package receive

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// reasonNone is the reason of a callback that was answered 200.
const reasonNone = "none"

// numLevels is the number of ack levels.
const numLevels = int(journal.Broker) + 1

// answerBuckets reach from RAM to the vendor's two seconds, in seconds.
var answerBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 1.5, 2, 5}

// metrics are the metrics of the package. What the hot path touches is resolved once: a
// look-up by labels would cost more than the counting.
type metrics struct {
	outcomes  [numOutcomes]prometheus.Counter
	answers   [numLevels]prometheus.Observer
	blocking  prometheus.Histogram
	clockSkew prometheus.Gauge
}

// newMetrics registers the metrics with reg, which may be nil. unsigned returns the number
// of apps without a token.
func newMetrics(reg prometheus.Registerer, unsigned func() int) *metrics {
	callbacks := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tidegate_gateway_callbacks_total",
		Help: "Answers to callbacks: accepted (in the journal), dropped (by their route), refused (never come), unconfirmed (may still come).",
	}, []string{"result", "reason"})
	answers := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "tidegate_gateway_answer_seconds",
		Help:    "Time from a complete request to the answer of callbacks that were appended, by ack level.",
		Buckets: answerBuckets,
	}, []string{"ack"})
	m := &metrics{
		blocking: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "tidegate_gateway_blocking_answer_seconds",
			Help:    "Time from a complete request to the answer of blocking callbacks, for which users of the app wait.",
			Buckets: answerBuckets,
		}),
		clockSkew: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tidegate_gateway_clock_skew_seconds",
			Help: "Time here minus RequestTime of the last callback with a right Sign, inside the window or not.",
		}),
	}
	for o := range m.outcomes {
		m.outcomes[o] = callbacks.WithLabelValues(outcome(o).labels())
	}
	for level := range m.answers {
		m.answers[level] = answers.WithLabelValues(journal.Level(level).String())
	}
	unsignedApps := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tidegate_gateway_unsigned_apps",
		Help: "Apps of the apps file without a token: anyone who knows their SdkAppid can forge their callbacks.",
	}, func() float64 { return float64(unsigned()) })
	if reg != nil {
		reg.MustRegister(callbacks, answers, m.blocking, m.clockSkew, unsignedApps)
	}
	return m
}

// answered notes how long the answer of an appended callback took.
func (m *metrics) answered(d *decision, took time.Duration) {
	m.answers[d.Ack].Observe(took.Seconds())
	if d.Blocking {
		m.blocking.Observe(took.Seconds())
	}
}
