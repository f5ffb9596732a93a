package forward

import "github.com/prometheus/client_golang/prometheus"

// metrics are what the forwarder tells. Topics are a closed set: those of the routes.
type metrics struct {
	parked    *prometheus.GaugeVec   // by topic
	delivered *prometheus.CounterVec // by topic
	refused   *prometheus.CounterVec // by topic
	delay     prometheus.Histogram
	catchUp   prometheus.Gauge
	halted    prometheus.Gauge
}

// newMetrics registers the forwarder's metrics with reg, nil leaves them unregistered. up says
// whether Kafka answers.
func newMetrics(reg prometheus.Registerer, up func() bool) *metrics {
	const prefix = "tidegate_gateway_"
	m := &metrics{
		parked: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "parked_entries",
			Help: "Entries kept aside because their topic, or Kafka for what they are, refuses them.",
		}, []string{"topic"}),
		delivered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "delivered_total",
			Help: "Entries that Kafka has taken (acks=all).",
		}, []string{"topic"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "records_refused_total",
			Help: "Times that Kafka refused a single record for what it is; the record is parked.",
		}, []string{"topic"}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    prefix + "delivery_seconds",
			Help:    "From an entry's append to Kafka's answer, of entries that went straight from the main journal.",
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200},
		}),
		halted: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "forward_halted",
			Help: "1 while delivery halts at an entry that cannot be decoded, else 0.",
		}),
	}
	m.catchUp = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: prefix + "catch_up_limit_entries",
		Help: "Entries a second to which catching up is held for the sake of the syncs; 0: nothing to catch up, no limit.",
	})
	if reg != nil {
		reg.MustRegister(m.parked, m.delivered, m.refused, m.delay, m.catchUp, m.halted, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: prefix + "kafka_up",
			Help: "1 while Kafka answers well, else 0.",
		}, func() float64 {
			if up() {
				return 1
			}
			return 0
		}))
	}
	return m
}
