package quarantine

import "github.com/prometheus/client_golang/prometheus"

// skip is why a refused callback is not kept.
type skip uint8

// The reasons, a closed enum.
const (
	skipPart   skip = iota // of its part as much waits as may
	skipAll                // of all parts together
	skipSize               // it is larger than a part may be
	skipDevice             // the device fails, or has too little room
	skipClosed             // the gateway is stopping
	endSkips
)

var skipNames = [endSkips]string{skipPart: "part", skipAll: "all", skipSize: "size", skipDevice: "device", skipClosed: "closed"}

// metrics are the metrics of the package, resolved once.
type metrics struct {
	kept     [endReasons]prometheus.Counter
	skipped  [endSkips]prometheus.Counter
	evicted  prometheus.Counter
	admitted prometheus.Counter
	doubtful prometheus.Counter
	errors   prometheus.Counter
}

// newMetrics registers the metrics with reg, which may be nil.
func newMetrics(reg prometheus.Registerer, s *Store) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "tidegate_gateway_" + name, Help: help})
	}
	kept := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tidegate_gateway_quarantined_total", Help: "Refused callbacks that were kept in quarantine, by why they were refused.",
	}, []string{"reason"})
	skipped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tidegate_gateway_quarantine_skipped_total",
		Help: "Refused callbacks that were not kept: their part (part) or all parts (all) had more than can wait to be written, too large (size), the device fails or is nearly full (device), stopping (closed).",
	}, []string{"reason"})
	m := &metrics{
		evicted:  counter("quarantine_evicted_total", "Callbacks in quarantine that made room for newer ones."),
		admitted: counter("quarantine_admitted_total", "Callbacks that were let out of quarantine into the journal."),
		doubtful: counter("quarantine_doubtful_total", "Callbacks in quarantine of which a crash left unknown whether they were admitted: they are kept and may be admitted twice."),
		errors:   counter("quarantine_errors_total", "Operations on the quarantine's files that failed."),
	}
	for r := Reason(1); r < endReasons; r++ {
		m.kept[r] = kept.WithLabelValues(r.String())
	}
	for i := range m.skipped {
		m.skipped[i] = skipped.WithLabelValues(skipNames[i])
	}
	if reg == nil {
		return m
	}
	gauge := func(name, help string, value func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tidegate_gateway_" + name, Help: help}, value))
	}
	gauge("quarantine_entries", "Refused callbacks that are kept in quarantine.", func() float64 { return float64(s.entries.Load()) })
	gauge("quarantine_bytes", "Bytes of the quarantine's files.", func() float64 { return float64(s.size.Load()) })
	reg.MustRegister(kept, skipped, m.evicted, m.admitted, m.doubtful, m.errors)
	return m
}
