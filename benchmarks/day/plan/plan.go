// Package plan makes a day of callbacks: hundreds of apps at 70 % of their quota and above, as
// the vendor would call, with everything that goes wrong. The same settings give the same day,
// byte for byte.
//
// The day comes in waves, half an hour apart or a multiple of it. While a wave is sent the clock that
// the binaries go by stands at the wave's time, and runs on from there as clocks do; before the
// next one, the consumer has handled all of the wave, and then the clock is moved on.
//
// # What does not depend on chance
//
// What people are told depends on which alarms were handled together: of a batch only the
// highest new step is told. Where batches end depends on the machine, and on every consumer
// that is killed. So that a day's notices are one set all the same, whatever the batches, a
// wave holds to this for each app, and TestNoticesDoNotDependOnBatches plays it in both
// extremes and in between:
//
//   - alarms that are news are at most 7 minutes old when they are sent, late ones at least 30:
//     whether an alarm is older than 15 minutes does not depend on when it is handled;
//   - all that is news stands in one step, comes to one side of the app's midnight (but of apps
//     that have stood in one step all day), and begins with the earliest of it, so that the
//     period ends at the wave's first alarm or not at all;
//   - all that is late comes after that, stands in one step, and is of one period.
package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Settings say which day it is to be.
type Settings struct {
	Seed      uint64
	Apps      int
	Callbacks int
	Waves     int
}

// The day: from half an hour before midnight in Shanghai on, so that midnight comes in Shanghai,
// in Berlin and in New York; and in Berlin clocks go back that night.
var begin = time.Date(2026, 10, 24, 15, 30, 0, 0, time.UTC)

const length = 24 * time.Hour

// vendorMidnight is when the vendor counts anew: what the consumer is not told.
var vendorMidnight = time.Date(2026, 10, 24, 19, 0, 0, 0, time.UTC)

// Shares of the callbacks.
const (
	shareMalformed = 0.01
	shareRepeated  = 0.20
	shareLate      = 0.05
	shareUndated   = 0.007 // alarms without EventTime
	shareAhead     = 0.003 // alarms dated in the future
)

// Kind is what a callback is.
type Kind string

// The kinds of callbacks.
const (
	KindNews      Kind = "news"
	KindRepeated  Kind = "repeated"
	KindLate      Kind = "late"
	KindMalformed Kind = "malformed"
)

// Call is one callback.
type Call struct {
	App      *App
	Kind     Kind
	Body     []byte
	Reason   string // of a malformed one: why the consumer must refuse it
	ClientIP string
	Platform string
}

// Wave is what comes while the clock stands at one time.
type Wave struct {
	At    time.Time
	Calls []Call // of each app in the order in which they are sent
}

// Plan is a day.
type Plan struct {
	Apps  []*App
	Waves []Wave
}

// generator makes a plan.
type generator struct {
	Settings
	random *rand.Rand
	apps   []*App
}

// New returns the day of the settings.
func New(s Settings) (*Plan, error) {
	if s.Apps < 1 || s.Waves < 2 || s.Callbacks < s.Apps*s.Waves || length/halfHour%time.Duration(s.Waves) != 0 {
		return nil, fmt.Errorf("a day of %d callbacks of %d apps in %d waves: want one of each app in each wave at least, and waves whole half hours apart", s.Callbacks, s.Apps, s.Waves)
	}
	g := &generator{Settings: s, random: rand.New(rand.NewPCG(s.Seed, 1))}
	g.makeApps()
	shares := g.distribute()
	p := &Plan{Apps: g.apps}
	for k := range s.Waves {
		w := Wave{At: begin.Add(time.Duration(k) * (length / time.Duration(s.Waves)))}
		for i, app := range g.apps {
			if n := shares[k][i]; n > 0 {
				w.Calls = append(w.Calls, g.wave(app, w.At, n)...)
			}
		}
		g.mix(w.Calls)
		p.Waves = append(p.Waves, w)
	}
	return p, nil
}

// distribute decides how many callbacks each app has in each wave: some apps call all day,
// some now and then, and some once.
func (g *generator) distribute() [][]int {
	type place struct{ wave, app int }
	var active []place
	shares := make([][]int, g.Waves)
	for k := range shares {
		shares[k] = make([]int, g.Apps)
	}
	left := g.Callbacks
	for i, app := range g.apps {
		if app.profile == once {
			shares[g.random.IntN(g.Waves)][i] = 1
			left--
			continue
		}
		for k := range g.Waves {
			if g.random.Float64() < app.busy {
				active = append(active, place{k, i})
			}
		}
	}
	for _, at := range active {
		shares[at.wave][at.app] = 1
		left--
	}
	for ; left > 0; left-- {
		at := active[g.random.IntN(len(active))]
		shares[at.wave][at.app]++
	}
	return shares
}

// mix brings callbacks into an order in which all apps come along at once, and each app's
// callbacks stay in theirs.
func (g *generator) mix(calls []Call) {
	order := make([]*App, len(calls))
	byApp := map[*App][]Call{}
	for i := range calls {
		order[i] = calls[i].App
		byApp[calls[i].App] = append(byApp[calls[i].App], calls[i])
	}
	g.random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for i, app := range order {
		calls[i] = byApp[app][0]
		byApp[app] = byApp[app][1:]
	}
}

// Count returns how many callbacks of a kind there are.
func (p *Plan) Count(kind Kind) int {
	n := 0
	for i := range p.Waves {
		for j := range p.Waves[i].Calls {
			if p.Waves[i].Calls[j].Kind == kind {
				n++
			}
		}
	}
	return n
}

// between returns a random time from a to b.
func (g *generator) between(a, b time.Time) time.Time {
	return a.Add(time.Duration(g.random.Int64N(b.Sub(a).Milliseconds()+1)) * time.Millisecond)
}

// times returns n times from a to b in order.
func (g *generator) times(n int, a, b time.Time) []time.Time {
	all := make([]time.Time, n)
	for i := range all {
		all[i] = g.between(a, b)
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}
