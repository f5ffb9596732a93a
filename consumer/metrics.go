package main

import "github.com/prometheus/client_golang/prometheus"

// registerKafkaUp registers the one metric that no package can tell alone: the group reads,
// the producer writes, and the consumer works only when both are answered.
func registerKafkaUp(reg prometheus.Registerer, up func() bool) error {
	return reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tidegate_consumer_kafka_up",
		Help: "1 while Kafka answers the group and the producer, 0 while it does not.",
	}, func() float64 {
		if up() {
			return 1
		}
		return 0
	}))
}
