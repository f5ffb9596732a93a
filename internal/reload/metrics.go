package reload

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are shared by all files of one process: the label says which file.
type metrics struct {
	success *prometheus.GaugeVec   // 1: the file on disk is the one in use
	info    *prometheus.GaugeVec   // 1, with the SHA-256 of the file in use
	reloads *prometheus.CounterVec // by result
}

func newMetrics(reg prometheus.Registerer) *metrics {
	return &metrics{
		success: register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tidegate_reload_success",
			Help: "1 when the file as it is on disk is in use, 0 when it cannot be used and the one before is.",
		}, []string{"file"})),
		info: register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tidegate_file_info",
			Help: "1, labelled with the SHA-256 of the file that is in use.",
		}, []string{"file", "sha256"})),
		reloads: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidegate_reloads_total",
			Help: "Changes of the file that were seen after the start, by whether they could be used (ok, failed).",
		}, []string{"file", "result"})),
	}
}

// register registers c, or returns the collector of the same name that another file of
// this process registered before.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	err := reg.Register(c)
	if again, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		return again.ExistingCollector.(C)
	}
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return c
}
