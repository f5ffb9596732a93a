package group

import (
	"math"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are what the group tells. Names are fixed.
type metrics struct {
	lag        *prometheus.GaugeVec
	lagSeconds prometheus.Gauge
	headroom   prometheus.Gauge
	gaps       prometheus.Counter
}

// newMetrics registers the metrics with reg; nil: they are kept but not shown.
func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		lag: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tidegate_consumer_lag_records",
			Help: "Records of an assigned partition that were not handled yet.",
		}, []string{"partition"}),
		lagSeconds: f.NewGauge(prometheus.GaugeOpts{
			Name: "tidegate_consumer_lag_seconds",
			Help: "Age of the oldest record that was not handled yet, over all assigned partitions; 0 without lag.",
		}),
		headroom: f.NewGauge(prometheus.GaugeOpts{
			Name: "tidegate_consumer_retention_headroom_seconds",
			Help: "Time until Kafka deletes the oldest record that was not handled yet; +Inf where the topic keeps everything.",
		}),
		gaps: f.NewCounter(prometheus.CounterOpts{
			Name: "tidegate_consumer_offset_gaps_total",
			Help: "Times that offsets did not follow on: records were deleted before they were consumed, or the topic was made anew.",
		}),
	}
	m.headroom.Set(math.Inf(1))
	return m
}

// setHeadroom sets the headroom from the topic's retention (negative: no limit) and the
// age of the oldest record that was not handled.
func (m *metrics) setHeadroom(kept, age time.Duration) {
	if kept < 0 {
		m.headroom.Set(math.Inf(1))
		return
	}
	m.headroom.Set((kept - age).Seconds())
}

// forget has the gauges tell nothing of partitions that were given back.
func (m *metrics) forget(partitions map[int]int64) {
	for p := range partitions {
		m.lag.DeleteLabelValues(strconv.Itoa(p))
	}
	m.lagSeconds.Set(0)
	m.headroom.Set(math.Inf(1))
}
