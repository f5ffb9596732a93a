package forward

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// BenchmarkForward carries entries of 64 apps from a synced journal to a broker in memory that
// keeps nothing, over 3 and 12 lanes. The broker is in the same process and costs, too.
func BenchmarkForward(b *testing.B) {
	for _, lanes := range []int32{3, 12} {
		b.Run(map[int32]string{3: "3 lanes", 12: "12 lanes"}[lanes], func(b *testing.B) {
			r := newRig(b, kfake.SeedTopics(lanes, testTopic), kfake.BlackholeProduce())
			r.mainBytes = 256 << 20
			r.open()
			list := apps(64)
			const rounds = 1600
			fill := func() {
				for range rounds {
					r.append(testTopic, list...)
				}
			}
			r.run()
			r.append(testTopic, list...)
			r.drain()
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				// Filled while nobody forwards: else that part would not be measured. What is
				// measured begins with a new producer, its connections and its producer ids.
				b.StopTimer()
				r.stop()
				r.open()
				fill()
				b.StartTimer()
				r.run()
				r.drain()
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)*rounds*64/b.Elapsed().Seconds(), "records/s")
		})
	}
}
