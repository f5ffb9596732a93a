package apps

import (
	"time"
	_ "time/tzdata" // zones must not depend on what the machine or the image has installed
)

// settings reads what at overrides of base.
func (r *reader) settings(f fileSettings, base settings, at path) settings {
	if f.TimeZone != nil {
		base.zoneName = *f.TimeZone
		zone, ok := r.zones.load(*f.TimeZone)
		if !ok {
			r.wrong(at.key("time_zone"), "unknown time zone; write an IANA name such as Asia/Shanghai, Europe/Berlin or UTC")
		}
		base.zone = zone
	}
	if f.Steps != nil {
		base.steps = r.steps(f.Steps, base.steps, at)
	}
	if f.RateLimit != nil {
		base.rate = r.rate(f.RateLimit, base.rate, at.key("rate_limit"))
	}
	if f.AlarmRateLimit != nil {
		base.alarmRate = r.rate(f.AlarmRateLimit, base.alarmRate, at.key("alarm_rate_limit"))
	}
	return base
}

// steps checks the whole of the app's own steps and those it has from the defaults.
func (r *reader) steps(f *fileSteps, steps Steps, parent path) Steps {
	rows := []struct {
		name string
		from *float64
		to   *float64
	}{
		{"watch", f.Watch, &steps.Watch},
		{"warning", f.Warning, &steps.Warning},
		{"critical", f.Critical, &steps.Critical},
		{"exhausted", f.Exhausted, &steps.Exhausted},
	}
	for _, row := range rows {
		if row.from != nil {
			*row.to = *row.from
		}
	}
	if r.badSteps {
		return steps
	}
	before := len(r.problems)
	at := parent.key("steps")
	if steps.Watch < firstStep {
		r.wrong(at.key("watch"), "want %d or more: the vendor does not call below, so this step would never be seen", firstStep)
	}
	for i := 1; i < len(rows); i++ {
		if low, high := rows[i-1], rows[i]; *high.to <= *low.to {
			r.wrong(at.key(high.name), "%s is %g and must be above %s, which is %g", high.name, *high.to, low.name, *low.to)
		}
	}
	r.badSteps = parent.depth == 1 && len(r.problems) > before
	return steps
}

// rate reads the bucket at that path, where it overrides rate.
func (r *reader) rate(f *fileRateLimit, rate RateLimit, at path) RateLimit {
	if f.PerSecond != nil {
		if rate.PerSecond = *f.PerSecond; !(rate.PerSecond > 0) {
			r.wrong(at.key("per_second"), "want a number above 0, callbacks per second")
		}
	}
	if f.Burst != nil {
		if rate.Burst = *f.Burst; rate.Burst < 1 {
			r.wrong(at.key("burst"), "want a whole number of at least 1, callbacks")
		}
	}
	return rate
}

// zones are the time zones of one file: each is loaded once, as loading parses a table.
type zones map[string]*time.Location

// load returns the zone of that IANA name. The names that mean this machine's own zone
// are unknown here: the same file must say the same everywhere.
func (z zones) load(name string) (*time.Location, bool) {
	if zone, ok := z[name]; ok {
		return zone, zone != nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		zone = nil
	}
	z[name] = zone
	return zone, zone != nil
}

func (z zones) mustLoad(name string) *time.Location {
	zone, ok := z.load(name)
	if !ok {
		panic("BUG: no time zone " + name)
	}
	return zone
}
