package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrOtherType means that a record's ce_type is not that of an enriched alarm of version 1. The
// reader passes over it: other events may come to stand in the topic.
var ErrOtherType = errors.New("not an enriched alarm of version 1")

// ErrEnriched means that a record says that it is an enriched alarm and is none. The reader
// keeps it for a person: it, or who wrote it, has a fault.
var ErrEnriched = errors.New("malformed enriched alarm")

// ParseEnriched reads a record of im.alarms, of any release of version 1. The result shares
// nothing with r.
//
// Unknown fields, headers and values of enumerations are not errors: within the version they
// may be added. What a reader cannot do without is checked: the alarm's id and app, which are
// also ce_id and the key, use, cap, and the event's time. Errors: ErrOtherType, ErrEnriched.
//
// An alarm can come more than once, always with the same AlarmID and the same bytes.
func ParseEnriched(r *Record) (EnrichedAlarm, error) {
	if kind, ok := r.Header(HeaderType); !ok || !bytes.Equal(kind, enrichedTypeValue) {
		return EnrichedAlarm{}, fmt.Errorf("%w: %s is %s", ErrOtherType, HeaderType, quote(kind))
	}
	var e EnrichedAlarm
	if err := json.Unmarshal(r.Value, &e); err != nil {
		return EnrichedAlarm{}, fmt.Errorf("%w: %w", ErrEnriched, err)
	}
	id, _ := r.Header(HeaderID)
	app, ok := ParseAppID(r.Key)
	_, timed := ParseTime([]byte(e.EventTime))
	switch {
	case e.AlarmID == "" || string(id) != e.AlarmID:
		return EnrichedAlarm{}, fmt.Errorf("%w: alarm_id is %q, %s %s", ErrEnriched, e.AlarmID, HeaderID, quote(id))
	case !ok || app != e.SdkAppID:
		return EnrichedAlarm{}, fmt.Errorf("%w: sdk_app_id is %d, the key %s", ErrEnriched, e.SdkAppID, quote(r.Key))
	case e.Quota < 1 || e.QuotaUsed < 0:
		return EnrichedAlarm{}, fmt.Errorf("%w: %d used of a quota of %d", ErrEnriched, e.QuotaUsed, e.Quota)
	case e.Severity == "":
		return EnrichedAlarm{}, fmt.Errorf("%w: no severity", ErrEnriched)
	case !timed:
		return EnrichedAlarm{}, fmt.Errorf("%w: event_time is %s", ErrEnriched, quote([]byte(e.EventTime)))
	}
	return e, nil
}
