package schema

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"
)

// QuotaAlarm is the body of Group.CallbackOnDailyGroupQuotaAlarm
// (vendor: trtc.io/document/57455) after it was checked.
type QuotaAlarm struct {
	QuotaUsed int64     // groups created minus dissolved today: can fall, can exceed Quota; 0 to MaxQuota
	Quota     int64     // the cap per day; 1 to MaxQuota
	EventTime time.Time // UTC, whole milliseconds; zero where the vendor sent none
}

// MaxQuota is the largest QuotaUsed and Quota that is taken: the largest integer that
// every JSON reader holds exactly.
const MaxQuota = 1<<53 - 1

// What is a plausible EventTime in milliseconds: the numbers of 13 digits, September 2001
// to November 2286. Seconds and microseconds sent by mistake fall outside.
const (
	MinEventMillis = 1_000_000_000_000
	MaxEventMillis = 9_999_999_999_999
)

// The two parts of an alarm id, in hex digits.
const (
	alarmIDTimeDigits = 12
	alarmIDHashDigits = 20
)

// AlarmID returns the identity of an alarm: 12 hex digits of the milliseconds of its
// event (of receipt, where it has no EventTime), then 20 hex digits of SHA-256 over
// SdkAppid, command, EventTime, QuotaUsed and Quota, each length-prefixed; without an
// EventTime over the callback's id instead. Two alarms equal in all five say the same
// thing and have the same id. It begins with the time so that ids sort by it.
//
// The time is the vendor's whatever the alarm's state is computed with: an EventTime
// far ahead of receipt is still what makes repeats of the alarm the same alarm.
//
// Hashed is text: numbers in decimal, EventTime in milliseconds, the callback's id as in
// ce_id; before each its length in bytes, as four bytes, big-endian. Digits are lower
// case, and the hash's are its first. A time outside of 1970 to 10889 is cut to that.
func AlarmID(c *Callback, a *QuotaAlarm) string {
	event := a.EventTime
	if event.IsZero() {
		event = c.ReceivedAt
	}
	var room [192]byte
	hash := sha256.Sum256(appendAlarmIdentity(room[:0], c, a))

	millis := min(max(event.UnixMilli(), 0), 1<<(4*alarmIDTimeDigits)-1)
	var text [alarmIDTimeDigits + alarmIDHashDigits]byte
	id := appendHex(text[:0], uint64(millis), alarmIDTimeDigits)
	for _, b := range hash[:alarmIDHashDigits/2] {
		id = append(id, hexDigits[b>>4], hexDigits[b&0xf])
	}
	return string(id)
}

// appendAlarmIdentity appends what an alarm id is the hash of. The prefixes keep two
// different tuples from having the same bytes.
func appendAlarmIdentity(dst []byte, c *Callback, a *QuotaAlarm) []byte {
	var number [maxCallbackIDText]byte
	if a.EventTime.IsZero() {
		return appendPrefixed(dst, c.ID.Append(number[:0]))
	}
	dst = appendPrefixed(dst, c.AppendKey(number[:0]))
	dst = appendPrefixed(dst, c.Command)
	dst = appendPrefixed(dst, strconv.AppendInt(number[:0], a.EventTime.UnixMilli(), 10))
	dst = appendPrefixed(dst, strconv.AppendInt(number[:0], a.QuotaUsed, 10))
	return appendPrefixed(dst, strconv.AppendInt(number[:0], a.Quota, 10))
}

// appendPrefixed appends the length of text, then text.
func appendPrefixed(dst, text []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(text)))
	return append(dst, text...)
}
