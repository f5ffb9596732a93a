package forecast

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Cap of the generated periods, and the use above which the vendor calls.
const (
	generatedCap   = 10_000
	generatedFloor = generatedCap * 7 / 10
)

// shape is how groups come and go in a day. hour is since midnight, used what is used by then.
type shape struct {
	name, story string

	// perHour returns the groups that are created an hour, of one day's facts.
	perHour func(hour float64, used int64, d *day) float64
	// dissolve returns how many of the used groups go in the minute that begins at hour.
	dissolve func(hour float64, d *day) int64
}

// day is what differs from day to day of a shape.
type day struct {
	*rand.Rand
	level  float64 // of the whole day, around 1
	change int64   // use at which something changes, above what is heard of
	factor float64 // by how much, 2 to 4
}

// shapes are the generated periods. All but the first have a night, as apps that people use.
var shapes = []shape{
	{
		name: "steady", story: "the same rate from midnight on",
		perHour: func(_ float64, _ int64, d *day) float64 { return 520 * d.level },
	},
	{
		name: "burst", story: "a quiet day, then six to twelve times as fast until the cap",
		perHour: func(hour float64, used int64, d *day) float64 {
			rate := awake(hour) * 640 * d.level
			if used >= d.change {
				rate *= 3 * d.factor
			}
			return rate
		},
	},
	{
		name: "lunch-peak", story: "three times as fast around noon as before, and slower again afterwards",
		perHour: func(hour float64, _ int64, d *day) float64 {
			rate := 650.0
			if hour >= 11.5 && hour < 13.5 {
				rate *= 3
			}
			return awake(hour) * rate * d.level
		},
	},
	{
		name: "dissolve-waves", story: "a steady day from eight o'clock, in which 100 to 500 groups are dissolved about every hour",
		perHour: func(hour float64, _ int64, d *day) float64 { return awake(hour) * 1500 * d.level },
		dissolve: func(hour float64, d *day) int64 {
			if hour < 9 || d.Float64() >= 1.0/60 {
				return 0
			}
			return 100 + d.Int64N(401)
		},
	},
	{
		name: "step-change", story: "a steady day from eight o'clock, then two to four times as fast for good",
		perHour: func(hour float64, used int64, d *day) float64 {
			rate := awake(hour) * 700 * d.level
			if used >= d.change {
				rate *= d.factor
			}
			return rate
		},
	},
}

// awake is the part of an app's users who are: a tenth of them at night.
func awake(hour float64) float64 {
	if hour < 8 {
		return 0.1
	}
	return 1
}

// Names returns the names of the generated periods.
func Names() []string {
	var names []string
	for i := range shapes {
		names = append(names, shapes[i].name)
	}
	return names
}

// Story says in a line what happens in the periods of a name.
func Story(name string) string {
	for i := range shapes {
		if shapes[i].name == name {
			return shapes[i].story
		}
	}
	return ""
}

// generatedDay is the date of the first generated period, in no zone that changes its clocks.
var generatedDay = time.Date(2026, time.November, 2, 0, 0, 0, 0, time.UTC)

// Generate returns so many periods of a name, one a day, each of which reaches the cap: for every
// created group above 70 % of it an alarm, as the vendor may send it. Days whose use does not
// reach the cap are left out. They are the same each time. Error: there is no such name.
func Generate(name string, periods int) ([][]Alarm, error) {
	at := slices.IndexFunc(shapes, func(s shape) bool { return s.name == name })
	if at < 0 {
		return nil, fmt.Errorf("no generated periods are named %q: want one of %s", name, strings.Join(Names(), ", "))
	}
	var all [][]Alarm
	for seed := uint64(1); len(all) < periods; seed++ {
		random := rand.New(rand.NewPCG(uint64(at), seed))
		alarms := shapes[at].day(random, generatedDay.AddDate(0, 0, len(all)))
		if n := len(alarms); n > 0 && alarms[n-1].Used >= generatedCap {
			all = append(all, alarms)
		}
	}
	return all, nil
}

// day plays one day, second by second, until the cap is reached.
func (s *shape) day(random *rand.Rand, midnight time.Time) []Alarm {
	d := &day{Rand: random, level: 0.85 + 0.3*random.Float64(), change: generatedFloor + 100 + random.Int64N(1700), factor: 2 + 2*random.Float64()}
	var alarms []Alarm
	var used int64
	for second := range 24 * 3600 {
		hour := float64(second) / 3600
		if s.dissolve != nil && second%60 == 0 {
			used = max(0, used-s.dissolve(hour, d))
		}
		for range d.poisson(s.perHour(hour, used, d) / 3600) {
			if used++; used <= generatedFloor {
				continue
			}
			at := midnight.Add(time.Duration(second)*time.Second + time.Duration(d.IntN(1000))*time.Millisecond)
			alarms = append(alarms, Alarm{At: at, Used: used, Quota: generatedCap})
			if used == generatedCap {
				return alarms
			}
		}
	}
	return alarms
}

// poisson draws how often something happens that does mean times on average, a few at most.
func (d *day) poisson(mean float64) (n int) {
	for left := d.Float64(); left > math.Exp(-mean); left *= d.Float64() {
		n++
	}
	return n
}

// Thin returns the alarms that are at least every apart, and the last: a vendor that calls seldom.
func Thin(alarms []Alarm, every time.Duration) []Alarm {
	var kept []Alarm
	for i, a := range alarms {
		if len(kept) == 0 || i == len(alarms)-1 || a.At.Sub(kept[len(kept)-1].At) >= every {
			kept = append(kept, a)
		}
	}
	return kept
}
