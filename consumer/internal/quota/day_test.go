package quota

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDayEnd(t *testing.T) {
	for _, test := range []struct{ name, zone, at, want string }{
		{"an ordinary day", "Asia/Shanghai", "2026-11-23T02:00:00Z", "2026-11-23T16:00:00Z"},
		{"the day's first instant", "Asia/Shanghai", "2026-11-22T16:00:00Z", "2026-11-23T16:00:00Z"},
		{"the day's last instant", "Asia/Shanghai", "2026-11-23T15:59:59.999Z", "2026-11-23T16:00:00Z"},
		{"the year's last day", "UTC", "2026-12-31T12:00:00Z", "2027-01-01T00:00:00Z"},
		{"a day of 25 hours", "America/New_York", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"},
		{"a day of 23 hours", "America/New_York", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"},
		{"before a day that begins at one", "Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-23T22:00:00Z"},
		{"a day that begins at one", "Africa/Cairo", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"},
		{"before a midnight that comes twice", "America/Havana", "2026-11-01T03:00:00Z", "2026-11-01T04:00:00Z"},
		{"a midnight that comes twice, first", "America/Havana", "2026-11-01T04:30:00Z", "2026-11-02T05:00:00Z"},
		{"a midnight that comes twice, again", "America/Havana", "2026-11-01T05:30:00Z", "2026-11-02T05:00:00Z"},
		{"before a date that Samoa left out", "Pacific/Apia", "2011-12-30T05:00:00Z", "2011-12-30T10:00:00Z"},
		{"half an hour's change of clocks", "Australia/Lord_Howe", "2026-04-04T14:00:00Z", "2026-04-05T13:30:00Z"},
	} {
		at, err := time.Parse(time.RFC3339, test.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := dayEnd(at, load(t, test.zone)).UTC().Format(time.RFC3339); got != test.want {
			t.Errorf("%s: %s ends at %s, want %s", test.name, test.at, got, test.want)
		}
	}
}

// TestDayEndLaw: the day's end is the first instant of a later date, in every zone with
// odd habits.
func TestDayEndLaw(t *testing.T) {
	zones := []string{"UTC", "Asia/Shanghai", "America/New_York", "Africa/Cairo", "America/Havana", "Asia/Beirut",
		"America/Sao_Paulo", "Pacific/Apia", "Australia/Lord_Howe", "Asia/Tehran", "Atlantic/Azores", "Pacific/Kiritimati"}
	rapid.Check(t, func(t *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		at := millis(rapid.Int64Range(1_000_000_000_000, 2_500_000_000_000).Draw(t, "at"))
		end := dayEnd(at, zone)
		if !end.After(at) || end.Sub(at) > 26*time.Hour {
			t.Fatalf("the day of %v in %v ends at %v", at, zone, end)
		}
		today := localDate(at, zone)
		if localDate(end, zone) <= today || localDate(end.Add(-1), zone) != today {
			t.Fatalf("the day %s of %v in %v ends at %v", today, at, zone, end.In(zone))
		}
	})
}
