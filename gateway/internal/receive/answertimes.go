package receive

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/cpu"
)

// answerBuckets reach from RAM to the vendor's two seconds.
var answerBuckets = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond,
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond,
	500 * time.Millisecond, time.Second, 1500 * time.Millisecond, 2 * time.Second, 5 * time.Second,
}

// answerTimes is a histogram of how long answers took. It is what Prometheus' own is, but has parts, so
// that two processors seldom take the memory that they count in from each other, as they do with one
// for all at each callback. It may be used by any number of goroutines.
type answerTimes struct {
	desc  *prometheus.Desc
	parts [answerParts]answerPart
}

// answerParts is the number of parts.
const answerParts = 16

// answerPart is one part. The times of a bucket are those above the bound before it and up to its own;
// the last has no bound.
type answerPart struct {
	counts [len(answerBuckets) + 1]atomic.Uint64
	sum    atomic.Uint64 // microseconds: of thousands in flight at once, nanoseconds would overflow within a month
	_      [2]cpu.CacheLinePad
}

// newAnswerTimes returns an empty histogram, which is a collector of its own.
func newAnswerTimes(name, help string, labels prometheus.Labels) *answerTimes {
	return &answerTimes{desc: prometheus.NewDesc(name, help, nil, labels)}
}

// note counts a time, in the part of that number; any number is one.
func (a *answerTimes) note(part uint32, took time.Duration) {
	p, bucket := &a.parts[part%answerParts], 0
	for bucket < len(answerBuckets) && took > answerBuckets[bucket] {
		bucket++
	}
	p.counts[bucket].Add(1)
	p.sum.Add(uint64(max(took, 0).Round(time.Microsecond) / time.Microsecond))
}

// Describe is prometheus.Collector's.
func (a *answerTimes) Describe(to chan<- *prometheus.Desc) { to <- a.desc }

// Collect is prometheus.Collector's. What is noted meanwhile may be in the buckets and not yet in the sum.
func (a *answerTimes) Collect(to chan<- prometheus.Metric) {
	count, micros, upTo := uint64(0), uint64(0), make(map[float64]uint64, len(answerBuckets))
	for bucket := range len(answerBuckets) + 1 {
		for i := range a.parts {
			count += a.parts[i].counts[bucket].Load()
		}
		if bucket < len(answerBuckets) {
			upTo[answerBuckets[bucket].Seconds()] = count
		}
	}
	for i := range a.parts {
		micros += a.parts[i].sum.Load()
	}
	to <- prometheus.MustNewConstHistogram(a.desc, count, float64(micros)/1e6, upTo)
}
