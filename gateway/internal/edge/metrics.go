package edge

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// failure is why a connection ended before the first byte of HTTP, a label of the metrics.
type failure uint8

// The failures, a closed enum.
const (
	failedGone    failure = iota // nothing was sent: a port scan, or a balancer's look at the port
	failedTimeout                // not done in time
	failedHeader                 // no PROXY header, or a broken one, from a front end
	failedTLS                    // no TLS, none that we speak, or a client certificate missing or wrong
	numFailures
)

var failureReasons = [numFailures]string{failedGone: "gone", failedTimeout: "timeout", failedHeader: "proxy_header", failedTLS: "tls"}

// metrics are the metrics of the package, each resolved once.
type metrics struct {
	failures [numFailures]prometheus.Counter
}

// newMetrics registers what there is to count with what o has: a gateway that has no TLS has no
// certificate that expires.
func newMetrics(o Options) *metrics {
	failures := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tidegate_gateway_handshake_failures_total",
		Help: "Connections that ended before the first byte of HTTP: gone (nothing sent), timeout, proxy_header (missing or broken), tls.",
	}, []string{"reason"})
	m := new(metrics)
	for f := range m.failures {
		m.failures[f] = failures.WithLabelValues(failureReasons[f])
	}
	if o.Metrics == nil {
		return m
	}
	o.Metrics.MustRegister(failures)
	if o.Certificate != nil {
		o.Metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tidegate_gateway_certificate_expiry_seconds",
			Help: "Time until the certificate in use expires; negative once it has.",
		}, func() float64 { return time.Until(o.Certificate.Get().NotAfter()).Seconds() }))
	}
	return m
}
