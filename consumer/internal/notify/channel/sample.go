package channel

import (
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/schema"
)

// sampleTime is when the sample alarm happened: the vendor's own sample.
var sampleTime = time.UnixMilli(1670574414123).UTC()

// SampleNotice returns a notice of an app that does not exist, of a kind, as if its alarm
// had happened at at: what templates are tried with, and what a test tells.
func SampleNotice(kind quota.Kind, at time.Time) Notice {
	name, owner, tier := "Harbor Chat", "team-harbor", "pro"
	rate, full := 812.5, schema.FormatTime(at.Add(49*time.Minute))
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		zone = time.UTC
	}
	period := at.In(zone).Format(time.DateOnly)
	return Notice{
		Notice: quota.Notice{
			AppID: 1400000001, Period: period, Kind: kind, Step: schema.SeverityCritical, Count: 1,
			Alarm: schema.EnrichedAlarm{
				AlarmID: "0184f5fe992b363785adc4940915e540", SdkAppID: 1400000001, AppName: &name, Owner: &owner, Tier: &tier, Registered: true,
				Command: schema.CommandQuotaAlarm, QuotaUsed: 9340, Quota: 10000, UsedPercent: 93.4, Remaining: 660,
				Severity: schema.SeverityCritical, StepEntered: true, EventTime: schema.FormatTime(at), EventTimeSource: schema.EventTimeVendor,
				ReceivedAt: schema.FormatTime(at), Period: period, RatePerHour: &rate, ExhaustionAt: &full, ForecastBasis: schema.ForecastTrend,
			},
		},
		Zone: zone, Link: "https://tidegate.example/apps/1400000001",
	}
}

// Samples returns a message of every kind, and one of an app of which nothing optional is
// known.
func Samples(language Language) []*Message {
	var all []*Message
	compose := func(notices ...Notice) { all = append(all, Compose(language, "sample", notices, sampleTime)) }
	for _, kind := range []quota.Kind{quota.KindStep, quota.KindForecast, quota.KindResolve, quota.KindDigest} {
		compose(SampleNotice(kind, sampleTime))
	}
	test := SampleNotice(quota.KindStep, sampleTime)
	test.Test = true
	compose(test)
	unlisted := SampleNotice(quota.KindStep, sampleTime)
	e := &unlisted.Alarm
	unlisted.AppID, unlisted.Step, unlisted.Zone, unlisted.Link = 1400000999, schema.SeverityExhausted, nil, ""
	e.SdkAppID, e.AppName, e.Owner, e.Tier, e.RatePerHour, e.ExhaustionAt = unlisted.AppID, nil, nil, nil, nil, nil
	e.QuotaUsed, e.Remaining, e.UsedPercent, e.Severity, e.Registered = 10000, 0, 100, schema.SeverityExhausted, false
	compose(unlisted)
	compose(SampleNotice(quota.KindStep, sampleTime), unlisted)
	return all
}
