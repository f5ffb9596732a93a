package day

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/tidegate/tidegate/benchmarks/day/plan"
)

// page is the result as it stands in benchmarks/results.
func (d *played) page(s plan.Settings, took time.Duration) string {
	c := &d.counts
	var faults, notices []string
	for _, name := range slices.Sorted(maps.Keys(d.faults)) {
		faults = append(faults, fmt.Sprintf("%s %d times", name, d.faults[name]))
	}
	for _, kind := range slices.Sorted(maps.Keys(c.Notices)) {
		notices = append(notices, fmt.Sprintf("%d %s", c.Notices[kind], kind))
	}
	return fmt.Sprintf(`# A day of %d apps

%s, %s/%s, %d cores, %s.

    make day

%d callbacks of %d apps, seed %d (%d repeats, %d late, %d malformed), in %d waves from %s on, played in %s through the gateway's binary, three nodes of Kafka, %d consumers in the course
of it, PostgreSQL and Alertmanager. Meanwhile consumers were %s.
What came of it is held to a computation that is written apart from the product (benchmarks/day/reference); what is compared, and what is left out, stands in benchmarks/day/doc.go.

| what | compared | differences |
|---|---|---|
| raw records, each app's in order | %d | 0 |
| alarms' rows, every field, beside %d repeats counted on them | %d | 0 |
| events, of %d records in their topic | %d | 0 |
| dead letters, in the table and in the topic | %d | 0 |
| notices: %s | %d | 0 |
| alerts that stood in Alertmanager after the waves, of %d posts | %d | 0 |
`,
		s.Apps, time.Now().UTC().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(),
		s.Callbacks, s.Apps, s.Seed, d.plan.Count(plan.KindRepeated), d.plan.Count(plan.KindLate), d.plan.Count(plan.KindMalformed), s.Waves, d.plan.Waves[0].At.Format("2006-01-02 15:04 MST"), took.Round(time.Second), d.born, strings.Join(faults, ", "),
		c.Raw, c.Repeats, c.Rows, c.Copies, c.Events, c.Dead, strings.Join(notices, ", "), sum(c.Notices), c.Posts, c.Alerts)
}

func sum(counts map[string]int) int {
	total := 0
	for _, n := range counts {
		total += n
	}
	return total
}
