package receive

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// TestAnswerTimes: what is collected is what Prometheus' own histogram makes of the same times, whoever
// noted them.
func TestAnswerTimes(t *testing.T) {
	bounds := make([]float64, len(answerBuckets))
	for i, b := range answerBuckets {
		bounds[i] = b.Seconds()
	}
	theirs := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "theirs", Buckets: bounds})
	ours := newAnswerTimes("ours", "", nil)
	times := []time.Duration{0, 1, time.Minute}
	for _, b := range answerBuckets {
		times = append(times, b-1, b, b+1)
	}
	var noting sync.WaitGroup
	for part := range uint32(3 * answerParts) {
		noting.Go(func() {
			for _, took := range times {
				ours.note(part, took)
			}
		})
		for _, took := range times {
			theirs.Observe(took.Seconds())
		}
	}
	noting.Wait()
	want, got := collected(t, theirs), collected(t, ours)
	if got.GetSampleCount() != want.GetSampleCount() || got.GetSampleSum()/want.GetSampleSum() < 0.999999 || got.GetSampleSum()/want.GetSampleSum() > 1.000001 {
		t.Errorf("%d times of %v s, want %d of %v s", got.GetSampleCount(), got.GetSampleSum(), want.GetSampleCount(), want.GetSampleSum())
	}
	if !slices.EqualFunc(got.GetBucket(), want.GetBucket(), func(a, b *dto.Bucket) bool {
		return a.GetUpperBound() == b.GetUpperBound() && a.GetCumulativeCount() == b.GetCumulativeCount()
	}) {
		t.Errorf("buckets %v, want %v", got.GetBucket(), want.GetBucket())
	}
}

func collected(t *testing.T, c prometheus.Collector) *dto.Histogram {
	t.Helper()
	metrics := make(chan prometheus.Metric, 1)
	c.Collect(metrics)
	var m dto.Metric
	if err := (<-metrics).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetHistogram()
}
