package pipeline

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/tidegate/tidegate/schema"
)

// metrics are what the pipeline tells. Names are fixed.
type metrics struct {
	records      [numOutcomes]prometheus.Counter
	deadLetters  map[schema.Reason]prometheus.Counter
	batchSeconds prometheus.Histogram
	storeUp      prometheus.GaugeFunc
}

// newMetrics registers the metrics with reg; nil: they are kept but not shown. Every
// label value exists from the start, so that a rate is right from its first count.
// storeUp is asked when the metrics are read.
func newMetrics(reg prometheus.Registerer, storeUp func() bool) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		deadLetters: make(map[schema.Reason]prometheus.Counter),
		batchSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "tidegate_consumer_batch_seconds",
			Help:    "Time that one batch took from decoding to the last answer of Kafka, waiting for dependencies included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
		}),
		storeUp: f.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tidegate_consumer_store_up",
			Help: "1 while the database answers, 0 while a batch waits for it.",
		}, func() float64 {
			if storeUp() {
				return 1
			}
			return 0
		}),
	}
	records := f.NewCounterVec(prometheus.CounterOpts{
		Name: "tidegate_consumer_records_total",
		Help: "Records handled, each time they came, by what became of them.",
	}, []string{"outcome"})
	for o := outcomeNone + 1; o < numOutcomes; o++ {
		m.records[o] = records.WithLabelValues(o.String())
	}
	letters := f.NewCounterVec(prometheus.CounterOpts{
		Name: "tidegate_consumer_dead_letters_total",
		Help: "Records that became dead letters, each time they came, by reason.",
	}, []string{"reason"})
	for _, r := range schema.Reasons() {
		m.deadLetters[r] = letters.WithLabelValues(string(r))
	}
	return m
}
