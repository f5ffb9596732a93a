package apps

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawn is one app of a generated file, and what must be read of it.
type drawn struct {
	id           int64
	name, site   string
	zone         string
	watch, burst int // 0: not in the file
	alarmBurst   int // the same
	tokens       []string
}

// yaml writes the app, only what it has.
func (d *drawn) yaml() string {
	fields := []string{fmt.Sprintf("sdk_app_id: %d", d.id), fmt.Sprintf("name: %q", d.name)}
	if d.site != "" {
		fields = append(fields, "site: "+d.site)
	}
	if d.zone != "" {
		fields = append(fields, "time_zone: "+d.zone)
	}
	if d.watch != 0 {
		fields = append(fields, fmt.Sprintf("steps: {watch: %d}", d.watch))
	}
	if d.burst != 0 {
		fields = append(fields, fmt.Sprintf("rate_limit: {burst: %d}", d.burst))
	}
	if d.alarmBurst != 0 {
		fields = append(fields, fmt.Sprintf("alarm_rate_limit: {burst: %d}", d.alarmBurst))
	}
	if len(d.tokens) > 0 {
		fields = append(fields, `tokens: ["plain:`+strings.Join(d.tokens, `", "plain:`)+`"]`)
	}
	return "  - {" + strings.Join(fields, ", ") + "}\n"
}

func drawApps(t *rapid.T) []drawn {
	one := rapid.Custom(func(t *rapid.T) drawn {
		return drawn{
			id:         rapid.Int64Range(1, 1<<51).Draw(t, "id"),
			name:       rapid.StringMatching(`[A-Za-z][A-Za-z0-9 .-]{0,20}`).Draw(t, "name"),
			site:       rapid.SampledFrom([]string{"", "cn", "intl"}).Draw(t, "site"),
			zone:       rapid.SampledFrom([]string{"", "UTC", "Asia/Shanghai", "America/New_York"}).Draw(t, "zone"),
			watch:      rapid.SampledFrom([]int{0, 70, 75, 79}).Draw(t, "watch"),
			burst:      rapid.SampledFrom([]int{0, 1, 5000}).Draw(t, "burst"),
			alarmBurst: rapid.SampledFrom([]int{0, 2, 6000}).Draw(t, "alarm burst"),
			tokens:     rapid.SliceOfNDistinct(rapid.StringMatching(`[a-zA-Z0-9]{1,12}`), 0, 3, rapid.ID[string]).Draw(t, "tokens"),
		}
	})
	return rapid.SliceOfNDistinct(one, 0, 8, func(d drawn) int64 { return d.id }).Draw(t, "apps")
}

func fileOf(apps []drawn) string {
	var b strings.Builder
	b.WriteString("defaults: {time_zone: Europe/Paris, steps: {watch: 71}, rate_limit: {burst: 77}, alarm_rate_limit: {per_second: 8, burst: 88}}\napps:")
	if len(apps) == 0 {
		b.WriteString(" []")
	}
	b.WriteString("\n")
	for i := range apps {
		b.WriteString(apps[i].yaml())
	}
	return b.String()
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// TestWhatIsWrittenIsRead: of any good file, each app has what it says itself, else what
// the defaults say, in the file's order.
func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawApps(t)
		s, problems := Parser(Options{ResolveTokens: true})([]byte(fileOf(want)))
		if problems != nil {
			t.Fatalf("%s\n%v", fileOf(want), problems)
		}
		unsigned, i := 0, 0
		for app := range s.All() {
			d := &want[i]
			i++
			if app.ID != d.id || s.Get(d.id) != app || app.Name != d.name || app.Site != d.site || !app.Registered {
				t.Errorf("%+v is read as %+v", d, app)
			}
			if zone := or(d.zone, "Europe/Paris"); app.ZoneName != zone || app.Zone.String() != zone {
				t.Errorf("%+v: zone %s", d, app.ZoneName)
			}
			if app.Steps != (Steps{float64(or(d.watch, 71)), 80, 90, 100}) || app.RateLimit != (RateLimit{200, or(d.burst, 77)}) ||
				app.AlarmRateLimit != (RateLimit{8, or(d.alarmBurst, 88)}) {
				t.Errorf("%+v: %+v %+v %+v", d, app.Steps, app.RateLimit, app.AlarmRateLimit)
			}
			var tokens []string
			for _, token := range app.Tokens {
				tokens = append(tokens, string(token.Bytes()))
			}
			if !reflect.DeepEqual(tokens, append([]string(nil), d.tokens...)) {
				t.Errorf("%+v: tokens %q", d, tokens)
			}
			if len(d.tokens) == 0 {
				unsigned++
			}
		}
		if s.Len() != len(want) || i != len(want) || s.Unsigned() != unsigned {
			t.Errorf("%d apps of %d, %d unsigned of %d", s.Len(), len(want), s.Unsigned(), unsigned)
		}
	})
}

// TestOneSpoiltApp: one wrong app in a good file is found in its own line, and no other is
// complained about.
func TestOneSpoiltApp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		apps := drawApps(t)
		at := rapid.IntRange(0, len(apps)).Draw(t, "where")
		spoilt := rapid.SampledFrom([]string{
			"  - {sdk_app_id: 0, name: a}\n", "  - {sdk_app_id: 9007199254740991, name: 5}\n", "  - {name: a}\n", "  - 7\n", "  - {}\n",
			"  - {sdk_app_id: 9007199254740991, name: a, tokens: [abc]}\n", "  - {sdk_app_id: 9007199254740991, name: a, steps: {warning: 60}}\n",
			"  - {sdk_app_id: 9007199254740991, name: a, colour: red}\n",
		}).Draw(t, "mistake")
		lines := strings.SplitAfter(fileOf(append(apps, drawn{id: 1 << 52, name: "last"})), "\n")
		text := strings.Join(lines[:2+at], "") + spoilt + strings.Join(lines[2+at:], "")
		_, problems := Parser(Options{})([]byte(text))
		if len(problems) == 0 {
			t.Fatalf("no problem in\n%s", text)
		}
		for _, p := range problems {
			if p.Line != 3+at {
				t.Errorf("line %d is spoilt, the problem is said to be in line %d:\n%s\n%v", 3+at, p.Line, text, problems)
			}
		}
	})
}

// TestTruncatedFiles: a file of which only the beginning was written says so, or is a good
// shorter file; it never panics and never has an app that the whole file has not.
func TestTruncatedFiles(t *testing.T) {
	text := documented
	whole := mustParse(t, text, resolving())
	for n := range len(text) {
		s, problems := Parser(resolving())([]byte(text[:n]))
		if problems.Errors() != nil {
			continue
		}
		for app := range s.All() {
			// A number may be cut, and be another app's; the last app only.
			cut := strings.LastIndex(text[:n], fmt.Sprintf("sdk_app_id: %d", app.ID)) == strings.LastIndex(text[:n], "sdk_app_id: ")
			if whole.Get(app.ID) == nil && !cut {
				t.Errorf("cut at %d: app %d", n, app.ID)
			}
		}
	}
}
