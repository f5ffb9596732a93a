package schema_test

import (
	"math"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

// Generators of the contract's values: everything that the types allow, with the edges
// more often than chance would have them.

func appIDs() *rapid.Generator[int64] {
	return rapid.OneOf(
		rapid.SampledFrom([]int64{1, 1400000001, schema.MaxAppID}),
		rapid.Int64Range(1, schema.MaxAppID),
	)
}

// text draws UTF-8 without NUL, at least that many runes long.
func text(least int) *rapid.Generator[string] {
	return rapid.Map(rapid.StringN(least, -1, -1), func(s string) string {
		return strings.ReplaceAll(s, "\x00", "0")
	})
}

func commands() *rapid.Generator[string] {
	return rapid.OneOf(rapid.SampledFrom([]string{
		schema.CommandQuotaAlarm, "Group.CallbackAfterSendMsg", "Alert.RequestOverLimit", "?", "漢",
	}), text(1))
}

// moments draws times that the contract can write, in whole milliseconds.
func moments() *rapid.Generator[time.Time] {
	first := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	last := time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC).UnixMilli()
	return rapid.Map(rapid.OneOf(
		rapid.Int64Range(schema.MinEventMillis, schema.MaxEventMillis),
		rapid.Int64Range(first, last),
		rapid.SampledFrom([]int64{first, 0, last}),
	), func(ms int64) time.Time { return time.UnixMilli(ms).UTC() })
}

// receipts draws times of receipt that ParseCallback takes.
func receipts() *rapid.Generator[time.Time] {
	return rapid.Map(rapid.OneOf(
		rapid.Int64Range(0, schema.MaxEventMillis), rapid.SampledFrom([]int64{0, schema.MaxEventMillis}),
	), func(ms int64) time.Time { return time.UnixMilli(ms).UTC() })
}

func callbackIDs() *rapid.Generator[schema.CallbackID] {
	return rapid.Custom(func(t *rapid.T) schema.CallbackID {
		return schema.CallbackID{
			Journal: rapid.OneOf(rapid.SampledFrom([]uint64{0, 1, math.MaxUint64}), rapid.Uint64()).Draw(t, "journal"),
			LSN:     rapid.OneOf(rapid.SampledFrom([]uint64{1, 10, math.MaxUint64}), rapid.Uint64Range(1, math.MaxUint64)).Draw(t, "lsn"),
		}
	})
}

func attributes() *rapid.Generator[schema.Attributes] {
	return rapid.Custom(func(t *rapid.T) schema.Attributes {
		var values schema.Attributes
		for a := range schema.NumAttributes {
			if !rapid.Bool().Draw(t, "has "+a.Header()) {
				continue
			}
			value := text(1)
			switch a {
			case schema.AttributeAdmitted:
				value = rapid.Map(moments(), schema.FormatTime)
			case schema.AttributeQuery:
				value = rapid.StringMatching(`[a-zA-Z]{1,8}=[a-z0-9%]{0,8}(&[a-z]{1,8}=[a-z0-9%]{0,8}){0,3}`).
					Filter(func(s string) bool { return !strings.Contains(s, "Sign=") })
			}
			values[a] = []byte(value.Draw(t, a.Header()))
		}
		return values
	})
}

func callbacks() *rapid.Generator[schema.Callback] {
	return rapid.Custom(func(t *rapid.T) schema.Callback {
		return schema.Callback{
			ID:            callbackIDs().Draw(t, "id"),
			Gateway:       []byte(text(1).Draw(t, "gateway")),
			AppID:         appIDs().Draw(t, "app"),
			Command:       []byte(commands().Draw(t, "command")),
			ReceivedAt:    receipts().Draw(t, "received"),
			Authenticated: rapid.SampledFrom([]schema.Authenticated{schema.AuthenticatedNone, schema.AuthenticatedSign}).Draw(t, "authenticated"),
			Attributes:    attributes().Draw(t, "attributes"),
			Body:          rapid.SliceOf(rapid.Byte()).Draw(t, "body"),
		}
	})
}

// alarms draws quota alarms as they are after the consumer's checks.
func alarms() *rapid.Generator[schema.QuotaAlarm] {
	return rapid.Custom(func(t *rapid.T) schema.QuotaAlarm {
		a := schema.QuotaAlarm{
			QuotaUsed: rapid.OneOf(rapid.Int64Range(0, 50_000), rapid.Int64Range(0, schema.MaxQuota), rapid.Just[int64](schema.MaxQuota)).Draw(t, "used"),
			Quota:     rapid.OneOf(rapid.Int64Range(1, 50_000), rapid.Int64Range(1, schema.MaxQuota), rapid.Just[int64](schema.MaxQuota)).Draw(t, "quota"),
		}
		if rapid.IntRange(0, 9).Draw(t, "has event time") > 0 {
			a.EventTime = time.UnixMilli(rapid.Int64Range(schema.MinEventMillis, schema.MaxEventMillis).Draw(t, "event time")).UTC()
		}
		return a
	})
}

func enrichedAlarms() *rapid.Generator[schema.EnrichedAlarm] {
	return rapid.Custom(func(t *rapid.T) schema.EnrichedAlarm {
		c, a := callbacks().Draw(t, "callback"), alarms().Draw(t, "alarm")
		unknown := func(name string) *string { return rapid.Ptr(text(0), true).Draw(t, name) }
		return schema.EnrichedAlarm{
			AlarmID:         schema.AlarmID(&c, &a),
			SdkAppID:        c.AppID,
			AppName:         unknown("app name"),
			Owner:           unknown("owner"),
			Tier:            unknown("tier"),
			Site:            unknown("site"),
			Registered:      rapid.Bool().Draw(t, "registered"),
			Command:         string(c.Command),
			QuotaUsed:       a.QuotaUsed,
			Quota:           a.Quota,
			UsedPercent:     math.Round(float64(a.QuotaUsed)/float64(a.Quota)*10_000) / 100,
			Remaining:       max(0, a.Quota-a.QuotaUsed),
			Severity:        rapid.SampledFrom(schema.Severities()).Draw(t, "severity"),
			StepEntered:     rapid.Bool().Draw(t, "step entered"),
			EventTime:       schema.FormatTime(moments().Draw(t, "event time")),
			EventTimeSource: rapid.SampledFrom(schema.EventTimeSources()).Draw(t, "source"),
			ReceivedAt:      schema.FormatTime(c.ReceivedAt),
			Period:          moments().Draw(t, "period").Format(schema.DateLayout),
			RatePerHour:     rapid.Ptr(rapid.Float64Range(-1e9, 1e9), true).Draw(t, "rate"),
			ExhaustionAt:    rapid.Ptr(rapid.Map(moments(), schema.FormatTime), true).Draw(t, "exhaustion"),
			ForecastBasis:   rapid.SampledFrom(schema.ForecastBases()).Draw(t, "basis"),
			Late:            rapid.Bool().Draw(t, "late"),
			ClientIP:        unknown("client ip"),
			Platform:        unknown("platform"),
			Authenticated:   c.Authenticated.String(),
			CallbackID:      c.ID.String(),
			RawTopic:        text(1).Draw(t, "topic"),
			RawPartition:    rapid.Int32Range(0, math.MaxInt32).Draw(t, "partition"),
			RawOffset:       rapid.Int64Range(0, math.MaxInt64).Draw(t, "offset"),
		}
	})
}

// deadLetters draws letters of any record, of a callback's or of foreign bytes.
func deadLetters() *rapid.Generator[schema.DeadLetter] {
	return rapid.Custom(func(t *rapid.T) schema.DeadLetter {
		foreign := rapid.Custom(func(t *rapid.T) schema.Record {
			r := schema.Record{
				Topic: "im.alarms.raw",
				Key:   rapid.SliceOf(rapid.Byte()).Draw(t, "key"),
				Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value"),
			}
			for range rapid.IntRange(0, 3).Draw(t, "headers") {
				r.Headers = append(r.Headers, schema.Header{
					Key:   rapid.OneOf(rapid.Just(schema.HeaderDeadReason), rapid.String()).Draw(t, "name"),
					Value: rapid.SliceOf(rapid.Byte()).Draw(t, "header"),
				})
			}
			return r
		})
		ours := rapid.Map(callbacks(), func(c schema.Callback) schema.Record { return c.Record("im.alarms.raw") })
		r := rapid.OneOf(ours, foreign).Draw(t, "record")
		r.Partition = rapid.Int32Range(0, math.MaxInt32).Draw(t, "partition")
		r.Offset = rapid.Int64Range(0, math.MaxInt64).Draw(t, "offset")
		return schema.NewDeadLetter(r,
			text(1).Draw(t, "group"),
			rapid.SampledFrom(schema.Reasons()).Draw(t, "reason"),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }).Draw(t, "message"),
			moments().Draw(t, "failed at"))
	})
}
