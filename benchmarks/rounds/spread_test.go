package rounds

import "testing"

func TestVerdicts(t *testing.T) {
	least := Goal{What: "rate", Floor: 10, Goal: 25, Format: "%.0f"}
	most := Goal{What: "p99", Floor: 150, Goal: 60, Most: true, Format: "%.0f"}
	for name, c := range map[string]struct {
		goal   Goal
		values []float64
		want   string
	}{
		"nothing measured":          {least, nil, "| rate | >= 10 | >= 25 | - | not measured |\n"},
		"less than the floor":       {least, []float64{9}, "| rate | >= 10 | >= 25 | 9 | **below the floor** |\n"},
		"the floor itself":          {least, []float64{10}, "| rate | >= 10 | >= 25 | 10 | floor held |\n"},
		"the median counts":         {least, []float64{30, 1, 25}, "| rate | >= 10 | >= 25 | 25 (1 - 30) | goal reached |\n"},
		"more than the most":        {most, []float64{151}, "| p99 | <= 150 | <= 60 | 151 | **above the floor** |\n"},
		"between":                   {most, []float64{100}, "| p99 | <= 150 | <= 60 | 100 | floor held |\n"},
		"less than the most wanted": {most, []float64{60}, "| p99 | <= 150 | <= 60 | 60 | goal reached |\n"},
		"a goal only":               {Goal{What: "x", Goal: 1, Format: "%.0f"}, []float64{0}, "| x | - | >= 1 | 0 | goal missed |\n"},
		"nothing asked":             {Goal{What: "x", Format: "%.1f"}, []float64{2}, "| x | - | - | 2.0 | stated |\n"},
	} {
		if got := c.goal.Row(SpreadOf(c.values)); got != c.want {
			t.Errorf("%s: %swant %s", name, got, c.want)
		}
	}
}
