package schema_test

import (
	"errors"
	"math"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

func TestCallbackIDText(t *testing.T) {
	for _, row := range []struct {
		id   schema.CallbackID
		text string
	}{
		{schema.CallbackID{Journal: 0, LSN: 1}, "0000000000000000-1"},
		{schema.CallbackID{Journal: 0x9f86d081884c7d65, LSN: 4711}, "9f86d081884c7d65-4711"},
		{schema.CallbackID{Journal: math.MaxUint64, LSN: math.MaxUint64}, "ffffffffffffffff-18446744073709551615"},
	} {
		if got := row.id.String(); got != row.text {
			t.Errorf("%+v reads as %s, want %s", row.id, got, row.text)
		}
		if got := row.id.Append([]byte("id ")); string(got) != "id "+row.text {
			t.Errorf("appended is %s", got)
		}
		if got, err := schema.ParseCallbackID([]byte(row.text)); err != nil || got != row.id {
			t.Errorf("%s is %+v, %v", row.text, got, err)
		}
	}
}

func TestWhatIsNoCallbackID(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":             "",
		"only a journal":      "9f86d081884c7d65",
		"another separator":   "9f86d081884c7d65_1",
		"no number":           "9f86d081884c7d65-",
		"number 0":            "9f86d081884c7d65-0",
		"leading zero":        "9f86d081884c7d65-01",
		"sign":                "9f86d081884c7d65-+1",
		"two dashes":          "9f86d081884c7d65--1",
		"hex number":          "9f86d081884c7d65-1a",
		"number overflows":    "9f86d081884c7d65-18446744073709551616",
		"number too long":     "9f86d081884c7d65-100000000000000000000",
		"upper case":          "9F86d081884c7d65-1",
		"not hex":             "9g86d081884c7d65-1",
		"journal too short":   "9f86d081884c7d6-1",
		"journal too long":    "09f86d081884c7d65-1",
		"spaces":              " 9f86d081884c7d65-1",
		"line break after it": "9f86d081884c7d65-1\n",
	} {
		t.Run(name, func(t *testing.T) {
			if id, err := schema.ParseCallbackID([]byte(text)); !errors.Is(err, schema.ErrCallbackID) {
				t.Errorf("%q is %+v, %v", text, id, err)
			}
		})
	}
}

func TestCallbackIDComesBackFromItsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := callbackIDs().Draw(t, "id")
		if got, err := schema.ParseCallbackID([]byte(id.String())); err != nil || got != id {
			t.Fatalf("%v came back as %v, %v", id, got, err)
		}
	})
}

func TestParseAppID(t *testing.T) {
	for _, row := range []struct {
		name, text string
		want       int64
	}{
		{"the first", "1", 1},
		{"a usual one", "1400000001", 1400000001},
		{"the last", strconv.Itoa(schema.MaxAppID), schema.MaxAppID},
		{"one more", strconv.Itoa(schema.MaxAppID + 1), 0},
		{"beyond 64 bits", "18446744073709551617", 0},
		{"nothing", "", 0},
		{"zero", "0", 0},
		{"leading zero", "01", 0},
		{"negative", "-1", 0},
		{"plus", "+1", 0},
		{"space", "1 ", 0},
		{"hex", "0x1", 0},
		{"underscore", "1_0", 0},
		{"fraction", "1.0", 0},
		{"other digits", "١", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got, ok := schema.ParseAppID([]byte(row.text)); got != row.want || ok != (row.want > 0) {
				t.Errorf("%q is %d, %v", row.text, got, ok)
			}
		})
	}
}

func TestTimeComesBackFromItsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := moments().Draw(t, "time")
		// Any zone and any part of a millisecond gives the same text.
		zone := time.FixedZone("", rapid.IntRange(-12*3600, 14*3600).Draw(t, "zone"))
		text := schema.FormatTime(want.In(zone).Add(time.Duration(rapid.IntRange(0, 999_999).Draw(t, "ns"))))
		if appended := schema.AppendTime([]byte("at "), want.In(zone)); string(appended) != "at "+text {
			t.Fatalf("appended is %s, formatted %s", appended, text)
		}
		if got, ok := schema.ParseTime([]byte(text)); !ok || !got.Equal(want) || got.Location() != time.UTC {
			t.Fatalf("%s came back as %s, %v", text, got, ok)
		}
	})
}

func TestWhatIsNoTime(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":               "",
		"no milliseconds":       "2022-12-09T08:26:54Z",
		"microseconds":          "2022-12-09T08:26:54.301000Z",
		"an offset":             "2022-12-09T08:26:54.30+01:00",
		"a comma":               "2022-12-09T08:26:54,301Z",
		"a space":               "2022-12-09 08:26:54.301Z",
		"lower case":            "2022-12-09t08:26:54.301z",
		"an hour of a digit":    "2022-12-09T8:026:54.301Z",
		"month 13":              "2022-13-09T08:26:54.301Z",
		"February 30":           "2022-02-30T08:26:54.301Z",
		"hour 24":               "2022-12-09T24:26:54.301Z",
		"a leap second":         "2022-12-31T23:59:60.000Z",
		"a letter":              "2022-12-0aT08:26:54.301Z",
		"a sign":                "-022-12-09T08:26:54.301Z",
		"bytes far from digits": "\xff\xff\xff\xff-\xff\xff-\xff\xffT\xff\xff:\xff\xff:\xff\xff.\xff\xff\xffZ",
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := schema.ParseTime([]byte(text)); ok {
				t.Errorf("%q is %s", text, got)
			}
		})
	}
}
