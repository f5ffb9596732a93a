package schema

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// These tests are inside of the package: the laws are laws of the bytes that are hashed.

func millis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// The literals were computed apart from this code, with Python's hashlib and struct.
func TestAlarmIDVectors(t *testing.T) {
	quotaAlarm := []byte(CommandQuotaAlarm)
	for _, row := range []struct {
		name     string
		callback Callback
		alarm    QuotaAlarm
		want     string
	}{
		{
			"the vendor's documented sample",
			Callback{AppID: 1400000001, Command: quotaAlarm},
			QuotaAlarm{QuotaUsed: 7321, Quota: 10000, EventTime: millis(1670574414123)},
			"0184f5fe992b363785adc4940915e540",
		}, {
			"above its quota",
			Callback{AppID: 1400000001, Command: quotaAlarm},
			QuotaAlarm{QuotaUsed: 10001, Quota: 10000, EventTime: millis(1670574414123)},
			"0184f5fe992ba627f078683e25b15037",
		}, {
			"the smallest of everything",
			Callback{AppID: 1, Command: quotaAlarm},
			QuotaAlarm{QuotaUsed: 0, Quota: 1, EventTime: millis(MinEventMillis)},
			"00e8d4a51000c52d51aaeef423db8a7f",
		}, {
			"the largest of everything",
			Callback{AppID: MaxAppID, Command: quotaAlarm},
			QuotaAlarm{QuotaUsed: math.MaxInt64, Quota: math.MaxInt64, EventTime: millis(MaxEventMillis)},
			"09184e729fff22fe36996cf0b4915e11",
		}, {
			"dated 2099, received in 2022: the vendor's time all the same",
			Callback{AppID: 1400000001, Command: quotaAlarm, ReceivedAt: millis(1670574414301)},
			QuotaAlarm{QuotaUsed: 7321, Quota: 10000, EventTime: millis(4070908800000)},
			"03b3d512ac00c2b0c4917ebd63819618",
		}, {
			"without EventTime: time of receipt and callback id",
			Callback{ID: CallbackID{0x9f86d081884c7d65, 4711}, AppID: 1400000001, Command: quotaAlarm, ReceivedAt: millis(1670574414301)},
			QuotaAlarm{QuotaUsed: 7321, Quota: 10000},
			"0184f5fe99dd2fa3b2f6ca08e69ffec4",
		}, {
			"without EventTime, the longest callback id",
			Callback{ID: CallbackID{math.MaxUint64, math.MaxUint64}, AppID: 1400000001, Command: quotaAlarm, ReceivedAt: millis(1670574414301)},
			QuotaAlarm{QuotaUsed: 7321, Quota: 10000},
			"0184f5fe99ddd805a78c02e8d6d8ea09",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := AlarmID(&row.callback, &row.alarm); got != row.want {
				t.Errorf("id is %s, want %s", got, row.want)
			}
		})
	}
}

// drawnAlarm draws few different values, so that two draws often agree in some of them.
func drawnAlarm(t *rapid.T, name string) (Callback, QuotaAlarm) {
	few := func(label string, from int64) int64 {
		return rapid.OneOf(rapid.Int64Range(from, from+2), rapid.SampledFrom([]int64{10, 11, 100, 101, 111})).Draw(t, name+label)
	}
	c := Callback{
		ID:         CallbackID{Journal: uint64(few(" journal", 0)), LSN: uint64(few(" lsn", 1))},
		AppID:      few(" app", 1),
		Command:    []byte(rapid.SampledFrom([]string{"A", "A1", "1A", "", CommandQuotaAlarm, strings.Repeat("A", 300)}).Draw(t, name+" command")),
		ReceivedAt: millis(few(" received", MinEventMillis)),
	}
	a := QuotaAlarm{QuotaUsed: few(" used", 0), Quota: few(" quota", 1)}
	if rapid.IntRange(0, 4).Draw(t, name+" has time") > 0 {
		a.EventTime = millis(few(" time", MinEventMillis))
	}
	return c, a
}

// said returns what an alarm's identity is made of, as comparable values.
func said(c *Callback, a *QuotaAlarm) any {
	if a.EventTime.IsZero() {
		return c.ID
	}
	return [5]string{
		fmt.Sprint(c.AppID), string(c.Command), fmt.Sprint(a.EventTime.UnixMilli()),
		fmt.Sprint(a.QuotaUsed), fmt.Sprint(a.Quota),
	}
}

// Law: what is hashed can be read back, so no two different tuples share it.
func TestAlarmIdentityCanBeReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, a := drawnAlarm(t, "alarm")
		rest := appendAlarmIdentity(nil, &c, &a)
		var parts []string
		for len(rest) > 0 {
			size := binary.BigEndian.Uint32(rest)
			parts, rest = append(parts, string(rest[4:4+size])), rest[4+size:]
		}
		want := said(&c, &a)
		switch len(parts) {
		case 1:
			if id, err := ParseCallbackID([]byte(parts[0])); err != nil || id != want {
				t.Fatalf("reads %q, want %v", parts, want)
			}
		case 5:
			if [5]string(parts) != want {
				t.Fatalf("reads %q, want %v", parts, want)
			}
		default:
			t.Fatalf("%d parts: %q", len(parts), parts)
		}
	})
}

// Law: two alarms have the same id if and only if they say the same thing.
func TestAlarmsHaveTheSameIDIfTheySayTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c1, a1 := drawnAlarm(t, "first")
		c2, a2 := drawnAlarm(t, "second")
		if rapid.Bool().Draw(t, "repeat") {
			// The vendor's repeat: the same alarm, another callback, perhaps another gateway.
			c2.AppID, c2.Command, a2 = c1.AppID, c1.Command, a1
			c2.Gateway = []byte("another")
		}
		if a1.EventTime.IsZero() && a2.EventTime.IsZero() && c1.ID == c2.ID {
			c2.ReceivedAt = c1.ReceivedAt // one callback has one time of receipt
		}
		same := AlarmID(&c1, &a1) == AlarmID(&c2, &a2)
		if want := said(&c1, &a1) == said(&c2, &a2); same != want {
			t.Fatalf("same id: %v, same alarm: %v", same, want)
		}
	})
}

// Law: ids sort by the time of the event, of receipt where there is none.
func TestAlarmIDsSortByTime(t *testing.T) {
	when := func(c *Callback, a *QuotaAlarm) int64 {
		if a.EventTime.IsZero() {
			return c.ReceivedAt.UnixMilli()
		}
		return a.EventTime.UnixMilli()
	}
	rapid.Check(t, func(t *rapid.T) {
		c1, a1 := drawnAlarm(t, "first")
		c2, a2 := drawnAlarm(t, "second")
		ms := rapid.Int64Range(0, 1<<48-1)
		if !a1.EventTime.IsZero() {
			a1.EventTime = millis(ms.Draw(t, "first ms"))
		}
		c2.ReceivedAt = millis(ms.Draw(t, "second ms"))
		first, second := AlarmID(&c1, &a1), AlarmID(&c2, &a2)
		if len(first) != 32 || strings.Trim(first, hexDigits) != "" {
			t.Fatalf("id is %q, want 32 lower-case hex digits", first)
		}
		if t1, t2 := when(&c1, &a1), when(&c2, &a2); t1 < t2 && first >= second || t1 > t2 && first <= second {
			t.Fatalf("%d has id %s, %d has id %s", t1, first, t2, second)
		}
	})
}

// A time that 12 digits cannot hold is cut, never wrapped.
func TestAlarmIDOfATimeOutOfRange(t *testing.T) {
	for _, row := range []struct {
		event time.Time
		want  string
	}{
		{millis(-1), "000000000000"},
		{millis(0), "000000000000"},
		{millis(1<<48 - 1), "ffffffffffff"},
		{millis(1 << 48), "ffffffffffff"},
	} {
		if id := AlarmID(&Callback{}, &QuotaAlarm{EventTime: row.event}); id[:12] != row.want {
			t.Errorf("id of %s is %s, want %s...", row.event, id, row.want)
		}
	}
}
