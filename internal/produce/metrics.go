package produce

import "github.com/prometheus/client_golang/prometheus"

// metrics are what the producer counts.
type metrics struct {
	retries [numClasses]prometheus.Counter // answers that were followed by another attempt
}

// newMetrics registers the producer's metrics with reg; nil leaves them unregistered.
func newMetrics(reg prometheus.Registerer, prefix string) *metrics {
	retries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: prefix + "_produce_retries_total",
		Help: "Produce attempts that were followed by another one, by what the answer was.",
	}, []string{"class"})
	if reg != nil {
		reg.MustRegister(retries)
	}
	m := &metrics{}
	for c := classDelivered + 1; c < numClasses; c++ {
		m.retries[c] = retries.WithLabelValues(c.String())
	}
	return m
}
