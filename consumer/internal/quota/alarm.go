package quota

import (
	"cmp"
	"time"

	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/schema"
)

const (
	// maxAhead is how far EventTime may be ahead of receipt and still be believed: the
	// vendor's clock and ours differ by seconds. An alarm dated 2099 that were believed
	// would make every honest one after it late.
	maxAhead = 5 * time.Minute

	// maxAge is the age beyond which an alarm is no news.
	maxAge = 15 * time.Minute
)

// Alarm is one quota alarm as it came out of the raw topic. The callback's slices are
// views of the caller's; Apply copies what it keeps.
type Alarm struct {
	ID       string          // schema.AlarmID of Callback and Quota
	Callback schema.Callback // who sent it, when it was received
	Quota    schema.QuotaAlarm

	// Coordinates of the raw record.
	Topic     string
	Partition int32
	Offset    int64
}

// eventTime returns the time that the state uses, in whole milliseconds, and where it
// came from: the vendor's, unless there is none or it is too far ahead of receipt.
func (a *Alarm) eventTime() (time.Time, schema.EventTimeSource) {
	at := a.Quota.EventTime
	if at.IsZero() || at.Sub(a.Callback.ReceivedAt) > maxAhead {
		return millis(a.Callback.ReceivedAt.UnixMilli()), schema.EventTimeReceipt
	}
	return millis(at.UnixMilli()), schema.EventTimeVendor
}

// position is an alarm's place in the order in which the state moves.
type position struct {
	at int64 // milliseconds
	id string
}

// compare orders by time and, within a millisecond, by alarm id, so that any two
// consumers order the same alarms alike.
func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.at, q.at), cmp.Compare(p.id, q.id))
}

// millis returns the time of ms milliseconds since 1970, UTC.
func millis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// enrich returns the event of a with all facts that do not depend on the period. The
// strings of app are shared, those of the callback copied.
func (a *Alarm) enrich(app *apps.App, at time.Time, source schema.EventTimeSource) schema.EnrichedAlarm {
	c, q := &a.Callback, &a.Quota
	return schema.EnrichedAlarm{
		AlarmID:         a.ID,
		SdkAppID:        c.AppID,
		AppName:         known(app.Name),
		Owner:           known(app.Owner),
		Tier:            known(app.Tier),
		Site:            known(app.Site),
		Registered:      app.Registered,
		Command:         string(c.Command),
		QuotaUsed:       q.QuotaUsed,
		Quota:           q.Quota,
		UsedPercent:     usedPercent(q.QuotaUsed, q.Quota),
		Remaining:       max(0, q.Quota-q.QuotaUsed),
		EventTime:       schema.FormatTime(at),
		EventTimeSource: source,
		ReceivedAt:      schema.FormatTime(c.ReceivedAt),
		Period:          localDate(at, app.Zone),
		ForecastBasis:   schema.ForecastTooFew,
		Late:            c.ReceivedAt.Sub(at) > maxAge,
		ClientIP:        known(string(c.Attributes[schema.AttributeClientIP])),
		Platform:        known(string(c.Attributes[schema.AttributeOptPlatform])),
		Authenticated:   c.Authenticated.String(),
		CallbackID:      c.ID.String(),
		RawTopic:        a.Topic,
		RawPartition:    a.Partition,
		RawOffset:       a.Offset,
	}
}

// known returns text, or nil for an empty one: null in the event means unknown.
func known(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
