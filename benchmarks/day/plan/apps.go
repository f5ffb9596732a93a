package plan

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // the day must not depend on what the machine has installed

	"github.com/tidegate/tidegate/benchmarks/day/reference"
)

// firstApp is the first SdkAppid.
const firstApp = 1_400_000_001

// profile is how an app behaves.
type profile int

const (
	rising   profile = iota // up through the steps, falls now and then
	swinging                // falls by more than a tenth of its cap all the time: groups are dissolved
	steady                  // in one step all day
	once                    // calls a single time
	numProfiles
)

// App is one app of the day.
type App struct {
	ID                      int64
	Name, Owner, Tier, Site string // empty: the apps file does not say
	Zone                    *time.Location
	Steps                   [4]float64 // watch, warning, critical, exhausted, in percent
	Token                   string     // empty: its callbacks are not signed

	ownSteps, ownZone bool // the apps file says so

	profile  profile
	busy     float64   // share of the waves in which it calls
	quota    int64     // now
	rank     int       // where it stands now: 0 below watch
	silent   time.Time // it stands below 70 % until then
	reset    bool      // the vendor's midnight was counted
	sent     []Call    // what may come again
	sentNews bool      // it has called before
}

// makeApps makes the apps.
func (g *generator) makeApps() {
	zones := []string{"Asia/Shanghai", "Europe/Berlin", "America/New_York"}
	for i := range g.Apps {
		id := int64(firstApp + i)
		app := &App{
			ID: id, Name: fmt.Sprintf("App %d", i+1), Owner: fmt.Sprintf("team-%d", i%11), Tier: []string{"pro", "enterprise", ""}[i%3],
			Site: []string{"cn", "intl"}[i%2], Steps: [4]float64{70, 80, 90, 100}, Token: fmt.Sprintf("token-%d", id),
			profile: []profile{rising, rising, swinging, steady, rising, swinging, rising, steady, rising, rising}[i%10],
			busy:    0.3 + 0.7*g.random.Float64(),
			quota:   []int64{10_000, 10_000, 50_000, 1_000}[i%4],
		}
		zone := zones[i%3]
		app.ownZone = i%3 != 0
		app.Zone, _ = time.LoadLocation(zone) // all three are in time/tzdata
		switch {
		case i%7 == 3:
			app.Steps, app.ownSteps = [4]float64{75, 85, 95, 100}, true
		case i%29 == 5:
			app.Steps, app.ownSteps = [4]float64{70.5, 82.25, 91, 102}, true
		}
		if i%13 == 4 {
			app.Token = ""
		}
		if i%17 == 6 {
			app.Owner = ""
		}
		if i%25 == 24 {
			app.profile = once
		}
		app.rank = g.random.IntN(2)
		g.apps = append(g.apps, app)
	}
}

// AppsFile returns the day's apps.yaml. Rate limits are out of the way: the day is played in
// minutes.
func (p *Plan) AppsFile() string {
	var b strings.Builder
	b.WriteString("defaults: {rate_limit: {per_second: 100000, burst: 100000}, alarm_rate_limit: {per_second: 100000, burst: 100000}}\napps:\n")
	for _, app := range p.Apps {
		fmt.Fprintf(&b, "  - {sdk_app_id: %d, name: %s, site: %s", app.ID, app.Name, app.Site)
		if app.Owner != "" {
			fmt.Fprintf(&b, ", owner: %s", app.Owner)
		}
		if app.Tier != "" {
			fmt.Fprintf(&b, ", tier: %s", app.Tier)
		}
		if app.Token != "" {
			fmt.Fprintf(&b, ", tokens: [\"plain:%s\"]", app.Token)
		}
		if app.ownZone {
			fmt.Fprintf(&b, ", time_zone: %s", app.Zone)
		}
		if app.ownSteps {
			fmt.Fprintf(&b, ", steps: {watch: %g, warning: %g, critical: %g, exhausted: %g}", app.Steps[0], app.Steps[1], app.Steps[2], app.Steps[3])
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// band returns the range of percentages in which an app stands in a step, less than a tenth
// wide: within it nothing looks like a new day. Rank 0 is above the vendor's 70 %, where the
// app's first step is higher, and else the first step.
func (a *App) band(rank int) (low, high float64) {
	edges := []float64{70.05, max(a.Steps[0], 70.05), a.Steps[1], a.Steps[2], a.Steps[3], a.Steps[3] + 5}
	if rank == 0 && edges[1] == edges[0] {
		rank = 1
	}
	low, high = edges[rank], edges[rank+1]
	return low, min(high, low+9.5)
}

// Reference returns the apps as the reference knows them.
func (p *Plan) Reference() []reference.App {
	var all []reference.App
	for _, app := range p.Apps {
		all = append(all, reference.App{
			ID: app.ID, Name: app.Name, Owner: app.Owner, Tier: app.Tier, Site: app.Site, Zone: app.Zone,
			Steps: reference.Steps{Watch: app.Steps[0], Warning: app.Steps[1], Critical: app.Steps[2], Exhausted: app.Steps[3]},
		})
	}
	return all
}
