package schema

import "strconv"

// Severity is the highest step that an alarm reached.
type Severity string

// The severities, in rising order.
const (
	SeverityOK        Severity = "ok"
	SeverityWatch     Severity = "watch"
	SeverityWarning   Severity = "warning"
	SeverityCritical  Severity = "critical"
	SeverityExhausted Severity = "exhausted"
)

// Severities returns every severity, in rising order. Readers expect more: enumerations
// may grow within v1.
func Severities() []Severity {
	return []Severity{SeverityOK, SeverityWatch, SeverityWarning, SeverityCritical, SeverityExhausted}
}

// EventTimeSource says where the time used for an alarm's state came from.
type EventTimeSource string

// The sources of an event's time.
const (
	EventTimeVendor  EventTimeSource = "vendor"
	EventTimeReceipt EventTimeSource = "receipt"
)

// EventTimeSources returns every source of an event's time.
func EventTimeSources() []EventTimeSource {
	return []EventTimeSource{EventTimeVendor, EventTimeReceipt}
}

// ForecastBasis says what a forecast rests on, or why there is none.
type ForecastBasis string

// The bases of a forecast.
const (
	ForecastTrend     ForecastBasis = "trend"
	ForecastTooFew    ForecastBasis = "too_few"
	ForecastNotRising ForecastBasis = "not_rising"
	ForecastNotToday  ForecastBasis = "not_today"
)

// ForecastBases returns every basis of a forecast.
func ForecastBases() []ForecastBasis {
	return []ForecastBasis{ForecastTrend, ForecastTooFew, ForecastNotRising, ForecastNotToday}
}

// EnrichedAlarm is one event of im.alarms, version 1: what the vendor said, whose app it
// is, and what follows. Every field is always present in the JSON, null where unknown;
// pointers are the fields that can be null. Times are text in the form
// 2006-01-02T15:04:05.000Z (TimeLayout), UTC; dates are 2006-01-02.
type EnrichedAlarm struct {
	AlarmID         string          `json:"alarm_id"`
	SdkAppID        int64           `json:"sdk_app_id"`
	AppName         *string         `json:"app_name"`
	Owner           *string         `json:"owner"`
	Tier            *string         `json:"tier"`
	Site            *string         `json:"site"`
	Registered      bool            `json:"registered"`
	Command         string          `json:"command"`
	QuotaUsed       int64           `json:"quota_used"`
	Quota           int64           `json:"quota"`
	UsedPercent     float64         `json:"used_percent"` // rounded to 2 decimals
	Remaining       int64           `json:"remaining"`    // Quota - QuotaUsed, never below 0
	Severity        Severity        `json:"severity"`
	StepEntered     bool            `json:"step_entered"` // the first alarm of this period in its step
	EventTime       string          `json:"event_time"`   // as the state uses it, see EventTimeSource
	EventTimeSource EventTimeSource `json:"event_time_source"`
	ReceivedAt      string          `json:"received_at"`
	Period          string          `json:"period"`        // date, in the app's zone
	RatePerHour     *float64        `json:"rate_per_hour"` // groups an hour, rounded to 2 decimals
	ExhaustionAt    *string         `json:"exhaustion_at"`
	ForecastBasis   ForecastBasis   `json:"forecast_basis"`
	Late            bool            `json:"late"`
	ClientIP        *string         `json:"client_ip"`
	Platform        *string         `json:"platform"`
	Authenticated   string          `json:"authenticated"` // sign or none
	CallbackID      string          `json:"callback_id"`   // ce_id of the raw record
	RawTopic        string          `json:"raw_topic"`
	RawPartition    int32           `json:"raw_partition"`
	RawOffset       int64           `json:"raw_offset"`
}

// Values that are the same in every enriched alarm. They are handed out as header values
// and are never written to.
var (
	enrichedSourceValue = []byte(EnrichedAlarmSource)
	enrichedTypeValue   = []byte(EnrichedAlarmType)
	enrichedSchemaValue = []byte(EnrichedAlarmSchema)
)

// Record returns the event's record for topic. The value is the event's encoded bytes,
// kept as they are and not copied: what was saved with the alarm's row is what is
// published, however often.
func (e *EnrichedAlarm) Record(topic string, value []byte) Record {
	key := strconv.AppendInt(nil, e.SdkAppID, 10)
	return Record{
		Topic: topic,
		Key:   key,
		Value: value,
		Headers: []Header{
			{HeaderContentType, contentTypeValue},
			{HeaderSpecVersion, specVersionValue},
			{HeaderID, []byte(e.AlarmID)},
			{HeaderSource, enrichedSourceValue},
			{HeaderType, enrichedTypeValue},
			{HeaderSubject, key},
			{HeaderTime, []byte(e.EventTime)},
			{HeaderDataSchema, enrichedSchemaValue},
		},
	}
}
