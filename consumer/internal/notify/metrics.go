package notify

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// result is what became of a notice on a channel, in metrics.
type result string

// The results.
const (
	resultSent   result = "sent"   // the channel took it
	resultFailed result = "failed" // an attempt failed; it is tried again
	resultParked result = "parked" // given up
)

type metrics struct {
	notices *prometheus.CounterVec // channel, result
	oldest  atomic.Int64           // milliseconds since 1970: when the oldest that waits was made; 0: none
}

func newMetrics(reg prometheus.Registerer, now func() time.Time) *metrics {
	m := &metrics{notices: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tidegate_consumer_notices_total",
		Help: "Notices on each channel, by what became of them: sent, failed (an attempt, which is repeated), parked (given up).",
	}, []string{"channel", "result"})}
	oldest := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tidegate_consumer_notices_oldest_pending_seconds",
		Help: "Age of the oldest notice that a channel has not taken yet and that was not given up; 0: none.",
	}, func() float64 {
		if at := m.oldest.Load(); at != 0 {
			return max(0, now().Sub(time.UnixMilli(at)).Seconds())
		}
		return 0
	})
	if reg != nil {
		reg.MustRegister(m.notices, oldest)
	}
	return m
}

// begin makes the series of a channel, so that a first failure is seen as a rise.
func (m *metrics) begin(channel string) {
	for _, r := range []result{resultSent, resultFailed, resultParked} {
		m.notices.WithLabelValues(channel, string(r))
	}
}

func (m *metrics) count(channel string, r result, n int) {
	m.notices.WithLabelValues(channel, string(r)).Add(float64(n))
}

// setOldest notes when the oldest that waits was made; zero: nothing waits.
func (m *metrics) setOldest(at time.Time) {
	if at.IsZero() {
		m.oldest.Store(0)
		return
	}
	m.oldest.Store(at.UnixMilli())
}
