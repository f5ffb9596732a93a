package receive

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// gather returns the value of each series of a metric by its label values in order of
// their names: of counters and gauges the value, of histograms the number of samples.
func gather(t testing.TB, g *gate, name string) map[string]float64 {
	t.Helper()
	families, err := g.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			key := ""
			for _, l := range m.GetLabel() {
				key += l.GetValue() + " "
			}
			values[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}

func sampleCount(t testing.TB, g *gate, name string) int {
	t.Helper()
	return int(gather(t, g, name)[""])
}

// TestMetrics sends one callback of each kind and looks at every metric of the package.
func TestMetrics(t *testing.T) {
	g := newServing(t, nil)
	g.exchange(t, post(signed(alarm), "{}")).wantOK(t)
	g.exchange(t, post(signed("State.StateChange"), "{}")).wantOK(t)
	g.exchange(t, post(target(unsignedApp, "Memory.X"), "{}")).wantOK(t)
	g.exchange(t, post(target(signedApp, alarm), "{}")).wantRefusal(t, refusedSignMissing)
	g.exchange(t, "nonsense\r\n\r\n").wantRefusal(t, refusedHTTP)
	callbacks := gather(t, g, "tidegate_gateway_callbacks_total")
	for key, want := range map[string]float64{
		"none accepted ": 2, "none dropped ": 1, "sign_missing refused ": 1, "http refused ": 1, "rate refused ": 0, "not_confirmed unconfirmed ": 0,
	} {
		if got, ok := callbacks[key]; !ok || got != want {
			t.Errorf("callbacks_total{%s} is %v (there: %v), want %v", key, got, ok, want)
		}
	}
	if len(callbacks) != numOutcomes {
		t.Errorf("%d series of callbacks_total, want one for each of %d outcomes", len(callbacks), numOutcomes)
	}
	answers := gather(t, g, "tidegate_gateway_answer_seconds")
	if answers["disk "] != 1 || answers["memory "] != 1 || answers["broker "] != 0 || len(answers) != 3 {
		t.Errorf("answer_seconds %v", answers)
	}
	if skew := gather(t, g, "tidegate_gateway_clock_skew_seconds")[""]; skew != 1 {
		t.Errorf("clock skew %v s, want 1", skew)
	}
	if n := gather(t, g, "tidegate_gateway_unsigned_apps")[""]; n != 1 {
		t.Errorf("%v unsigned apps, want 1", n)
	}
}

// TestSkewOutsideWindow checks that a drifting clock shows in the metric even though, and
// exactly when, every callback is refused for it; and that a forger cannot move it.
func TestSkewOutsideWindow(t *testing.T) {
	g := newServing(t, nil)
	g.exchange(t, post(target(signedApp, alarm)+"&RequestTime=1669871113&Sign="+sign(vectorToken, "1669871113"), "{}")).wantRefusal(t, refusedRequestTime)
	g.exchange(t, post(target(signedApp, alarm)+"&RequestTime=1&Sign="+sign("guess", "1"), "{}")).wantRefusal(t, refusedSignWrong)
	if skew := gather(t, g, "tidegate_gateway_clock_skew_seconds")[""]; skew != 1000 {
		t.Errorf("clock skew %v s, want 1000", skew)
	}
}

func TestMetricsRegisterOnce(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	newMetrics(reg, func() int { return 0 })
	defer func() {
		if recover() == nil {
			t.Error("a second Receiver on one registry would mix its numbers with the first")
		}
	}()
	newMetrics(reg, func() int { return 0 })
}
