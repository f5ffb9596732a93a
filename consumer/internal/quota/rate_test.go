package quota

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

// noon is when the points of these tests begin.
var noon = time.Date(2026, time.November, 23, 4, 0, 0, 0, time.UTC)

// points returns points so many seconds after noon: seconds, used, seconds, used, ...
func points(pairs ...int64) Points {
	var p Points
	for pair := range slices.Chunk(pairs, 2) {
		p = p.add(Point{At: noon.UnixMilli() + pair[0]*1000, Used: pair[1]})
	}
	return p
}

func TestForecast(t *testing.T) {
	end := dayEnd(noon, load(t, "Asia/Shanghai"))
	for _, test := range []struct {
		name      string
		points    Points
		at        int64 // seconds after noon
		remaining int64
		basis     schema.ForecastBasis
		perHour   float64 // NaN: unknown
		full      string  // "": unknown
	}{
		{"nothing", nil, 0, 1, schema.ForecastTooFew, math.NaN(), ""},
		{"two points", points(0, 7000, 600, 7100), 600, 2900, schema.ForecastTooFew, math.NaN(), ""},
		{"three points within five minutes", points(0, 7000, 100, 7100, 299, 7200), 299, 2800, schema.ForecastTooFew, math.NaN(), ""},
		{"three points over five minutes", points(0, 7000, 150, 7050, 300, 7100), 300, 2900, schema.ForecastTrend, 1200, "2026-11-23T06:30:00.000Z"},
		{"points off the line", points(0, 7000, 360, 7160, 720, 7240), 720, 2760, schema.ForecastTrend, 1200, "2026-11-23T06:30:00.000Z"},
		{"the cap is reached", points(0, 9900, 300, 9950, 600, 10000), 600, 0, schema.ForecastTrend, 600, "2026-11-23T04:10:00.000Z"},
		{"too slow for today", points(0, 7000, 600, 7010, 1200, 7020), 1200, 2980, schema.ForecastNotToday, 60, ""},
		{"hardly at all", points(0, 7000, 900, 7000, 1800, 7000), 1800, 3000, schema.ForecastNotRising, 0, ""},
		{"groups are being dissolved", points(0, 7300, 300, 7200, 600, 7100), 600, 2900, schema.ForecastNotRising, -1200, ""},
		{"only the last half hour counts", points(0, 9000, 1200, 7000, 2400, 7100, 3000, 7150), 3000, 2850, schema.ForecastTrend, 300, "2026-11-23T14:20:00.000Z"},
		{"as of an earlier alarm", points(0, 7000, 300, 7100, 600, 7200, 900, 7000), 600, 2800, schema.ForecastTrend, 1200, "2026-11-23T06:30:00.000Z"},
		{"the same time twice", points(0, 7000, 0, 7010, 300, 7100, 600, 7200), 600, 2800, schema.ForecastTrend, 1140, "2026-11-23T06:37:22.105Z"},
		{"absurd numbers", points(0, 0, 300, math.MaxInt64/2, 600, math.MaxInt64), 600, 1, schema.ForecastTrend, 5.5340232221128655e+19, "2026-11-23T04:10:00.000Z"},
		{"an absurd fall", points(0, math.MaxInt64, 300, math.MaxInt64/2, 600, 0), 600, math.MaxInt64, schema.ForecastNotRising, -5.5340232221128655e+19, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			at := noon.Add(time.Duration(test.at) * time.Second)
			var event schema.EnrichedAlarm
			forecastAt(test.points, at, test.remaining, end).writeTo(&event)
			if event.ForecastBasis != test.basis {
				t.Errorf("basis %s, want %s", event.ForecastBasis, test.basis)
			}
			perHour := math.NaN()
			if event.RatePerHour != nil {
				perHour = *event.RatePerHour
			}
			if perHour != test.perHour && !(math.IsNaN(perHour) && math.IsNaN(test.perHour)) {
				t.Errorf("%v an hour, want %v", perHour, test.perHour)
			}
			full := ""
			if event.ExhaustionAt != nil {
				full = *event.ExhaustionAt
			}
			if full != test.full {
				t.Errorf("full at %q, want %q", full, test.full)
			}
		})
	}
}

func TestForecastEndsWithTheDay(t *testing.T) {
	// 1,200 an hour: the cap is 60 minutes away.
	p := points(0, 8600, 150, 8650, 300, 8700, 600, 8800)
	at := noon.Add(600 * time.Second)
	for _, test := range []struct {
		left time.Duration
		want schema.ForecastBasis
	}{
		{time.Hour + time.Millisecond, schema.ForecastTrend},
		{time.Hour, schema.ForecastNotToday},
		{time.Minute, schema.ForecastNotToday},
	} {
		if f := forecastAt(p, at, 1200, at.Add(test.left)); f.basis != test.want {
			t.Errorf("with %v left of the day: %s, want %s", test.left, f.basis, test.want)
		}
	}
}

// TestBusyPoints keeps a rate for an app that calls several times a second.
func TestBusyPoints(t *testing.T) {
	var p Points
	for i := range int64(4 * 3600) { // an hour
		p = p.add(Point{At: noon.UnixMilli() + i*250, Used: 3000 + i})
	}
	if len(p) != maxPoints {
		t.Errorf("%d points are kept, want %d", len(p), maxPoints)
	}
	if last := p[len(p)-1]; last.Used != 3000+4*3600-1 {
		t.Errorf("the last point is %+v", last)
	}
	if rate, ok := p.perHour(); !ok || math.Abs(rate-4*3600) > 1e-6 {
		t.Errorf("%v an hour, %v, want %d", rate, ok, 4*3600)
	}
}

// TestPointsLaws: the order in which points come does not matter, nor how often.
func TestPointsLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spread := rapid.SampledFrom([]int64{5_000, 600_000, 3_600_000, 86_400_000}).Draw(t, "spread")
		all := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Point {
			return Point{At: noon.UnixMilli() + rapid.Int64Range(0, spread).Draw(t, "at"), Used: numbers(0).Draw(t, "used")}
		}), 0, 200).Draw(t, "points")

		var inOrder Points
		for _, point := range slices.SortedFunc(slices.Values(all), comparePoints) {
			inOrder = inOrder.add(point)
		}
		var shuffled Points
		for _, point := range rapid.Permutation(append(slices.Clone(all), all[:len(all)/2]...)).Draw(t, "order") {
			before := slices.Clone(shuffled)
			next := shuffled.add(point)
			if !slices.Equal(shuffled, before) {
				t.Fatalf("add changed its receiver: %v, before %v", shuffled, before)
			}
			shuffled = next
		}
		if !slices.Equal(shuffled, inOrder) {
			t.Fatalf("shuffled %v, in order %v", shuffled, inOrder)
		}
		if len(inOrder) > maxPoints {
			t.Fatalf("%d points", len(inOrder))
		}
		if len(all) > 0 && inOrder[len(inOrder)-1] != slices.MaxFunc(all, comparePoints) {
			t.Fatalf("the last point is gone: %v", inOrder)
		}
		if rate, _ := inOrder.perHour(); math.IsNaN(rate) || math.IsInf(rate, 0) {
			t.Fatalf("%v an hour from %v", rate, inOrder)
		}
		again := roundTrip(t, inOrder)
		if !slices.Equal(again, inOrder) {
			t.Fatalf("%v came back as %v", inOrder, again)
		}
	})
}

// roundTrip returns the points as JSON gives them back.
func roundTrip(t *rapid.T, p Points) (again Points) {
	text, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(text, &again)
	}
	if err != nil {
		t.Fatalf("%v: %v", p, err)
	}
	return again
}

func TestPointsText(t *testing.T) {
	for _, test := range []struct {
		points Points
		text   string
	}{
		{nil, ""},
		{Points{{At: 1670574414123, Used: 7321}}, "1670574414123 7321"},
		{Points{{At: 1670574414123, Used: 7321}, {At: 1670574444373, Used: 7390}}, "1670574414123 7321,30250 7390"},
		{Points{{At: 0, Used: 0}, {At: 1, Used: math.MaxInt64}}, "0 0,1 9223372036854775807"},
	} {
		text, err := test.points.MarshalText()
		if err != nil || string(text) != test.text {
			t.Errorf("%v: %q, %v, want %q", test.points, text, err, test.text)
		}
		var p Points
		if err := p.UnmarshalText(text); err != nil || !slices.Equal(p, test.points) {
			t.Errorf("%q: %v, %v, want %v", text, p, err, test.points)
		}
	}
}

func TestPointsTextRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no use":                  "1",
		"no time":                 " 7321",
		"a fraction":              "1 7.5",
		"a negative use":          "1 -7",
		"a negative time":         "-1 7",
		"two points at one time":  "1 7,0 8",
		"a time beyond year 9999": "253402300800000 7",
		"a sum beyond year 9999":  "1 7,253402300799999 8",
		"an empty point":          "1 7,",
		"too large a number":      "1 9223372036854775808",
		"too many points":         "1 1" + strings.Repeat(",1 1", maxPoints),
	} {
		var p Points
		if err := p.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%s: %q was read as %v", name, text, p)
		}
	}
}

func FuzzPoints(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		var p Points
		if p.UnmarshalText(text) != nil {
			return
		}
		if rate, _ := p.perHour(); math.IsNaN(rate) || math.IsInf(rate, 0) {
			t.Errorf("%q: %v an hour", text, rate)
		}
		again, err := p.MarshalText()
		var q Points
		if err == nil {
			err = q.UnmarshalText(again)
		}
		if err != nil || !slices.Equal(p, q) {
			t.Errorf("%q became %q: %v, %v, %v", text, again, p, q, err)
		}
	})
}
