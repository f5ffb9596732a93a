package receive

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// reasonNone is the reason of a callback that was answered 200.
const reasonNone = "none"

// numLevels is the number of ack levels.
const numLevels = int(journal.Broker) + 1

// metrics are the metrics of the package. What the hot path touches is resolved once: a
// look-up by labels would cost more than the counting.
type metrics struct {
	outcomes  [numOutcomes]prometheus.Counter
	answers   [numLevels]*answerTimes
	blocking  *answerTimes
	clockSkew atomic.Int64 // seconds
}

// newMetrics registers the metrics with reg, which may be nil. unsigned returns the number
// of apps without a token.
func newMetrics(reg prometheus.Registerer, unsigned func() int) *metrics {
	callbacks := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tidegate_gateway_callbacks_total",
		Help: "Answers to callbacks: accepted (in the journal), dropped (by their route), refused (never come), unconfirmed (may still come).",
	}, []string{"result", "reason"})
	m := &metrics{
		blocking: newAnswerTimes("tidegate_gateway_blocking_answer_seconds",
			"Time from a complete request to the answer of blocking callbacks, for which users of the app wait.", nil),
	}
	clockSkew := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tidegate_gateway_clock_skew_seconds",
		Help: "Time here minus RequestTime of the last callback with a right Sign, inside the window or not, in whole seconds as RequestTime is.",
	}, func() float64 { return float64(m.clockSkew.Load()) })
	for o := range m.outcomes {
		m.outcomes[o] = callbacks.WithLabelValues(outcome(o).labels())
	}
	for level := range m.answers {
		m.answers[level] = newAnswerTimes("tidegate_gateway_answer_seconds",
			"Time from a complete request to the answer of callbacks that were appended, by ack level.",
			prometheus.Labels{"ack": journal.Level(level).String()})
	}
	unsignedApps := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tidegate_gateway_unsigned_apps",
		Help: "Apps of the apps file without a token: anyone who knows their SdkAppid can forge their callbacks.",
	}, func() float64 { return float64(unsigned()) })
	if reg != nil {
		reg.MustRegister(callbacks, m.blocking, clockSkew, unsignedApps)
		for _, times := range m.answers {
			reg.MustRegister(times)
		}
	}
	return m
}

// skewed notes by how much the clock here is ahead of who signed a callback. Most are signed in the
// second in which they come, so that hardly any changes what the others read.
func (m *metrics) skewed(ahead time.Duration) {
	if s := int64(ahead / time.Second); s != m.clockSkew.Load() {
		m.clockSkew.Store(s)
	}
}

// answered notes how long the answer of an appended callback took, in that part of the histograms.
func (m *metrics) answered(part uint32, d *decision, took time.Duration) {
	m.answers[d.Ack].note(part, took)
	if d.Blocking {
		m.blocking.note(part, took)
	}
}
