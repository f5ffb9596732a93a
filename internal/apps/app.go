package apps

import "time"

// App is one app of the file. It is shared by all readers and must not be changed.
type App struct {
	ID         int64 // SdkAppid
	Name       string
	Owner      string // empty where the file does not say; so are Tier and Site
	Tier       string
	Site       string // cn or intl
	Zone       *time.Location
	ZoneName   string // as written in the file: the IANA name of Zone
	Steps      Steps
	RateLimit  RateLimit // of every callback but the quota alarm
	Tokens     []Token   // empty: this app's callbacks are not signed
	Registered bool      // false: the app is not in the file, and only its defaults hold

	// AlarmRateLimit is of the quota alarm alone: traffic that matters less must not cost an
	// alarm, which the vendor does not repeat.
	AlarmRateLimit RateLimit
}

// Steps are the percentages of an app's daily quota at which its severity rises. They rise
// strictly and begin at 70 or above: the vendor does not call below (trtc.io/document/57455).
type Steps struct {
	Watch     float64
	Warning   float64
	Critical  float64
	Exhausted float64
}

// RateLimit is one token bucket of an app's callbacks.
type RateLimit struct {
	PerSecond float64 // above 0
	Burst     int     // at least 1
}

// firstStep is the lowest step that can be seen: the vendor calls above 70 % only.
const firstStep = 70

// defaults hold where neither the app nor the file's defaults say anything.
var defaults = settings{
	zoneName:  "Asia/Shanghai",
	steps:     Steps{Watch: firstStep, Warning: 80, Critical: 90, Exhausted: 100},
	rate:      RateLimit{PerSecond: 200, Burst: 1000},
	alarmRate: RateLimit{PerSecond: 100, Burst: 1000},
}

// settings are what an app may have from the file's defaults.
type settings struct {
	zone      *time.Location
	zoneName  string
	steps     Steps
	rate      RateLimit
	alarmRate RateLimit
}
