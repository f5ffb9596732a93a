package apps

import (
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"weak"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// resolving are options with two token files and one variable.
func resolving() Options {
	files := map[string]string{"/run/secrets/harbor": "harbor-token\n", "/run/secrets/empty": "\n", "/run/secrets/crlf": "dos\r\n"}
	return Options{
		ResolveTokens: true,
		LookupEnv: func(name string) (string, bool) {
			value, ok := map[string]string{"HARBOR_OLD": "old-token", "EMPTY": ""}[name]
			return value, ok
		},
		ReadFile: func(path string) ([]byte, error) {
			if text, ok := files[path]; ok {
				return []byte(text), nil
			}
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		},
	}
}

const documented = `
defaults: {time_zone: Asia/Shanghai, steps: {watch: 70, warning: 80, critical: 90, exhausted: 100}, rate_limit: {per_second: 200, burst: 1000}, alarm_rate_limit: {per_second: 100, burst: 1000}}
apps:
  - sdk_app_id: 1400000001          # required, unique, a positive integer
    name: Harbor Chat               # required
    owner: team-harbor
    tier: pro
    site: cn                        # cn or intl
    tokens: ["file:/run/secrets/harbor", "env:HARBOR_OLD"]
  - sdk_app_id: 1400000002
    name: Lantern
    site: intl
    time_zone: Europe/Berlin
    steps: {watch: 75, exhausted: 110}
    rate_limit: {per_second: 0.5}
    alarm_rate_limit: {burst: 20}
`

func mustParse(t *testing.T, text string, o Options) *Snapshot {
	t.Helper()
	s, problems := Parser(o)([]byte(text))
	if problems != nil {
		t.Fatalf("problems:\n%v", problems)
	}
	return s
}

func TestDocumentedFile(t *testing.T) {
	s := mustParse(t, documented, resolving())
	if s.Len() != 2 || s.Unsigned() != 1 {
		t.Errorf("%d apps, %d unsigned", s.Len(), s.Unsigned())
	}
	harbor := s.Get(1400000001)
	if harbor.Name != "Harbor Chat" || harbor.Owner != "team-harbor" || harbor.Tier != "pro" || harbor.Site != "cn" || !harbor.Registered {
		t.Errorf("facts: %+v", harbor)
	}
	if harbor.ZoneName != "Asia/Shanghai" || harbor.Zone.String() != "Asia/Shanghai" {
		t.Errorf("zone: %v", harbor.Zone)
	}
	if harbor.Steps != (Steps{70, 80, 90, 100}) || harbor.RateLimit != (RateLimit{200, 1000}) || harbor.AlarmRateLimit != (RateLimit{100, 1000}) {
		t.Errorf("settings: %+v %+v %+v", harbor.Steps, harbor.RateLimit, harbor.AlarmRateLimit)
	}
	if len(harbor.Tokens) != 2 || string(harbor.Tokens[0].Bytes()) != "harbor-token" || string(harbor.Tokens[1].Bytes()) != "old-token" {
		t.Errorf("tokens: %q %q", harbor.Tokens[0].Bytes(), harbor.Tokens[1].Bytes())
	}
	if got := slices.Collect(s.All()); got[0].ID != 1400000001 || got[1].ID != 1400000002 {
		t.Error("not in the order of the file")
	}
	if !slices.Equal(s.Files(), []string{"/run/secrets/harbor"}) {
		t.Errorf("files: %v", s.Files())
	}
}

func TestOverridesAreKeyByKey(t *testing.T) {
	lantern := mustParse(t, documented, resolving()).Get(1400000002)
	if lantern.Steps != (Steps{75, 80, 90, 110}) {
		t.Errorf("steps: %+v", lantern.Steps)
	}
	if lantern.RateLimit != (RateLimit{0.5, 1000}) || lantern.AlarmRateLimit != (RateLimit{100, 20}) {
		t.Errorf("rate limits: %+v, of alarms %+v", lantern.RateLimit, lantern.AlarmRateLimit)
	}
	if lantern.ZoneName != "Europe/Berlin" {
		t.Errorf("zone: %s", lantern.ZoneName)
	}
}

func TestUnlisted(t *testing.T) {
	s := mustParse(t, "defaults: {time_zone: UTC, rate_limit: {burst: 7}, alarm_rate_limit: {per_second: 3}}\napps: []\n", Options{})
	if s.Get(5) != nil {
		t.Error("an app that is not in the file")
	}
	app := s.Unlisted(5)
	if app.ID != 5 || app.Registered || app.ZoneName != "UTC" || app.Zone == nil || app.RateLimit != (RateLimit{200, 7}) || app.AlarmRateLimit != (RateLimit{3, 1000}) || app.Steps != defaults.steps {
		t.Errorf("%+v", app)
	}
}

func TestWithoutDefaults(t *testing.T) {
	app := mustParse(t, "apps: [{sdk_app_id: 1, name: a}]", Options{}).Get(1)
	if app.ZoneName != "Asia/Shanghai" || app.Zone == nil || app.Steps != (Steps{70, 80, 90, 100}) || app.RateLimit != (RateLimit{200, 1000}) || app.AlarmRateLimit != (RateLimit{100, 1000}) {
		t.Errorf("%+v", app)
	}
}

func TestOnlyTheGatewayResolves(t *testing.T) {
	o := Options{
		LookupEnv: func(string) (string, bool) { t.Error("the environment was read"); return "", false },
		ReadFile:  func(string) ([]byte, error) { t.Error("a file was read"); return nil, fs.ErrNotExist },
	}
	s := mustParse(t, documented, o)
	token := s.Get(1400000001).Tokens[0]
	if token.Bytes() != nil || token.Source != "file:/run/secrets/harbor" {
		t.Errorf("token %q from %s", token.Bytes(), token.Source)
	}
	if s.Files() != nil || s.Unsigned() != 1 {
		t.Errorf("files %v, %d unsigned", s.Files(), s.Unsigned())
	}
}

func TestTokenForms(t *testing.T) {
	for name, row := range map[string]struct{ token, value, source, problem string }{
		"file, its newline trimmed":   {token: "file:/run/secrets/harbor", value: "harbor-token", source: "file:/run/secrets/harbor"},
		"file with a DOS line end":    {token: "file:/run/secrets/crlf", value: "dos", source: "file:/run/secrets/crlf"},
		"environment":                 {token: "env:HARBOR_OLD", value: "old-token", source: "env:HARBOR_OLD"},
		"plain":                       {token: "plain:xxxxyyyy", value: "xxxxyyyy", source: "plain:***"},
		"plain with colons":           {token: "plain:a:b", value: "a:b", source: "plain:***"},
		"file is missing":             {token: "file:/nowhere", problem: "file:/nowhere cannot be read: file does not exist"},
		"file is empty":               {token: "file:/run/secrets/empty", problem: "file:/run/secrets/empty is empty"},
		"variable is not set":         {token: "env:NOPE", problem: "env:NOPE is not set in the environment of this process"},
		"variable is empty":           {token: "env:EMPTY", problem: "env:EMPTY is empty"},
		"no word before":              {token: "s3cr3t", problem: "want file:PATH, env:NAME or plain:TOKEN"},
		"another word before":         {token: "vault:s3cr3t", problem: "want file:PATH, env:NAME or plain:TOKEN"},
		"upper case":                  {token: "FILE:/run/secrets/harbor", problem: "want file:PATH, env:NAME or plain:TOKEN"},
		"nothing after":               {token: "plain:", problem: "nothing follows plain:: want file:PATH, env:NAME or plain:TOKEN"},
		"empty":                       {token: "", problem: "want file:PATH, env:NAME or plain:TOKEN"},
		"a path is kept as it stands": {token: "file:./no where", problem: "file:./no where cannot be read: file does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			s, problems := Parser(resolving())(fmt.Appendf(nil, "apps: [{sdk_app_id: 1, name: a, tokens: [%q]}]", row.token))
			if row.problem != "" {
				if want := "apps[0].tokens[0]: " + row.problem; len(problems) != 1 || problems[0].Text != want {
					t.Errorf("problems %v, want %s", problems, want)
				}
				return
			}
			if problems != nil {
				t.Fatal(problems)
			}
			token := s.Get(1).Tokens[0]
			if string(token.Bytes()) != row.value || token.Source != row.source {
				t.Errorf("token %q from %s", token.Bytes(), token.Source)
			}
		})
	}
}

// TestProblems is what people get wrong, and what they are told.
func TestProblems(t *testing.T) {
	const app = "apps:\n  - sdk_app_id: 1\n    name: a\n"
	for name, row := range map[string]struct{ in, want string }{
		"empty file":          {"", "1:1: apps is missing; write apps: and one \"- sdk_app_id: 1400000001\" per app, or apps: []"},
		"apps without value":  {"apps:\n", "1:6: apps: has no value; give it one or leave the key out"},
		"apps misspelt":       {"app: []\n", "1:1: app: unknown key; did you mean apps?\n1:1: apps is missing; write apps: and one \"- sdk_app_id: 1400000001\" per app, or apps: []"},
		"not YAML":            {"apps: [\n", "1: not YAML: did not find expected node content; is a list or are braces not closed, or does text begin with a colon, comma or bracket? Put such text in quotes"},
		"no id":               {"apps:\n  - name: a\n", "2:5: apps[0].sdk_app_id is missing; write the app's SDKAppID, such as sdk_app_id: 1400000001"},
		"no name":             {"apps:\n  - sdk_app_id: 5\n", "2:5: apps[0].name is missing; write what people call the app, such as name: Harbor Chat"},
		"id in quotes":        {"apps:\n  - sdk_app_id: \"5\"\n    name: a\n", "2:17: apps[0].sdk_app_id: want a whole number, have text; write it without quotes"},
		"id zero":             {"apps:\n  - sdk_app_id: 0\n    name: a\n", "2:17: apps[0].sdk_app_id: want a whole number from 1 to 9007199254740991"},
		"id negative":         {"apps:\n  - sdk_app_id: -5\n    name: a\n", "2:17: apps[0].sdk_app_id: want a whole number from 1 to 9007199254740991"},
		"id beyond 2^53":      {"apps:\n  - sdk_app_id: 9007199254740992\n    name: a\n", "2:17: apps[0].sdk_app_id: want a whole number from 1 to 9007199254740991"},
		"id without value":    {"apps:\n  - sdk_app_id:\n    name: a\n", "2:16: apps[0].sdk_app_id: has no value; give it one or leave the key out"},
		"id twice":            {app + "  - sdk_app_id: 1\n    name: b\n", "4:17: apps[1].sdk_app_id: 1 stands twice, first in line 2; every app has one entry"},
		"name empty":          {"apps:\n  - sdk_app_id: 1\n    name: \" \"\n", "3:11: apps[0].name: is empty; write what people call the app"},
		"name of two lines":   {"apps:\n  - sdk_app_id: 1\n    name: \"a\\nb\"\n", "3:11: apps[0].name: has a control character or a line break; write one line"},
		"site":                {app + "    site: de\n", "4:11: apps[0].site: want cn or intl"},
		"zone":                {app + "    time_zone: Mars/Olympus\n", "4:16: apps[0].time_zone: unknown time zone; write an IANA name such as Asia/Shanghai, Europe/Berlin or UTC"},
		"this machine's zone": {app + "    time_zone: Local\n", "4:16: apps[0].time_zone: unknown time zone; write an IANA name such as Asia/Shanghai, Europe/Berlin or UTC"},
		"first step too low":  {app + "    steps: {watch: 60}\n", "4:20: apps[0].steps.watch: want 70 or more: the vendor does not call below, so this step would never be seen"},
		"steps do not rise":   {app + "    steps: {warning: 95}\n", "4:12: apps[0].steps.critical: critical is 90 and must be above warning, which is 95"},
		"steps equal":         {app + "    steps: {critical: 100}\n", "4:12: apps[0].steps.exhausted: exhausted is 100 and must be above critical, which is 100"},
		"default steps wrong: said once": {"defaults: {steps: {watch: 50}}\n" + app + "    steps: {warning: 85}\n",
			"1:27: defaults.steps.watch: want 70 or more: the vendor does not call below, so this step would never be seen"},
		"rate zero":              {app + "    rate_limit: {per_second: 0}\n", "4:30: apps[0].rate_limit.per_second: want a number above 0, callbacks per second"},
		"rate not a number":      {app + "    rate_limit: {per_second: .nan}\n", "4:30: apps[0].rate_limit.per_second: want a number, have infinity or not-a-number"},
		"burst zero":             {app + "    rate_limit: {burst: 0}\n", "4:25: apps[0].rate_limit.burst: want a whole number of at least 1, callbacks"},
		"alarm rate negative":    {app + "    alarm_rate_limit: {per_second: -1}\n", "4:36: apps[0].alarm_rate_limit.per_second: want a number above 0, callbacks per second"},
		"alarm burst zero":       {"defaults: {alarm_rate_limit: {burst: 0}}\n" + app, "1:38: defaults.alarm_rate_limit.burst: want a whole number of at least 1, callbacks"},
		"alarm rate misspelt":    {app + "    alarm_ratelimit: {burst: 1}\n", "4:5: apps[0].alarm_ratelimit: unknown key; did you mean alarm_rate_limit?"},
		"alarm rate as a number": {app + "    alarm_rate_limit: 100\n", "4:23: apps[0].alarm_rate_limit: want keys with values, have a whole number"},
		"unknown key":            {app + "    sign_token: x\n", "4:5: apps[0].sign_token: unknown key; known here: alarm_rate_limit, name, owner, rate_limit, sdk_app_id, site, steps, tier, time_zone, tokens"},
		"key misspelt":           {app + "    token: [\"plain:x\"]\n", "4:5: apps[0].token: unknown key; did you mean tokens?"},
		"tokens as text":         {app + "    tokens: plain:s3cr3t\n", "4:13: apps[0].tokens: want a list, have text; write [...] or one - per line"},
		"token as a number":      {app + "    tokens: [5]\n", "4:14: apps[0].tokens[0]: want text, have a whole number; put it in quotes"},
		"token twice":            {app + "    tokens: [\"plain:x\", \"plain:x\"]\n", "4:25: apps[0].tokens[1]: the same token stands twice; keep one"},
		"removed and there":      {app + "removed: [7, 1]\n", "4:14: removed[1]: 1 is an app of this file; take it out of one of the two"},
		"removed is no id":       {app + "removed: [0, \"7\"]\n", "4:11: removed[0]: want a whole number from 1 to 9007199254740991\n4:14: removed[1]: want a whole number, have text; write it without quotes"},
		"removed is no list":     {app + "removed: 7\n", "4:10: removed: want a list, have a whole number; write [...] or one - per line"},
		"unsigned with tokens":   {app + "    tokens: [\"plain:x\"]\nunsigned: [1]\n", "5:12: unsigned[0]: 1 has tokens; take it out of this list, or its tokens away"},
		"app is a number":        {"apps: [5]\n", "1:8: apps[0]: want keys with values, have a whole number"},
		"everything at once": {"apps:\n  - sdk_app_id: 0\n    naame: a\n    site: x\n  - sdk_app_id: x\n    name: 5\n    tokens: [abc, \"env:NOPE\"]\n",
			"2:5: apps[0].name is missing; write what people call the app, such as name: Harbor Chat\n" +
				"2:17: apps[0].sdk_app_id: want a whole number from 1 to 9007199254740991\n" +
				"3:5: apps[0].naame: unknown key; did you mean name?\n" +
				"4:11: apps[0].site: want cn or intl\n" +
				"5:17: apps[1].sdk_app_id: want a whole number, have text\n" +
				"6:11: apps[1].name: want text, have a whole number; put it in quotes\n" +
				"7:14: apps[1].tokens[0]: want file:PATH, env:NAME or plain:TOKEN\n" +
				"7:19: apps[1].tokens[1]: env:NOPE is not set in the environment of this process"},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := Parser(resolving())([]byte(row.in))
			if got := problems.Error(); got != row.want {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
			if strings.Contains(problems.Error(), "s3cr3t") {
				t.Error("a token is in the problems")
			}
		})
	}
}

func TestUnknownKeysAloneAreWarnings(t *testing.T) {
	s, problems := Parser(Options{})([]byte("apps: [{sdk_app_id: 1, name: a, colour: red}]"))
	if len(problems) != 1 || !problems[0].Warning {
		t.Fatalf("problems: %v", problems)
	}
	if s.Get(1) == nil {
		t.Error("the app is not there")
	}
}

func TestMissingTokenFileIsStillWatched(t *testing.T) {
	s, problems := Parser(resolving())([]byte(`apps: [{sdk_app_id: 1, name: a, tokens: ["file:/nowhere"]}]`))
	if problems == nil || !slices.Equal(s.Files(), []string{"/nowhere"}) {
		t.Errorf("problems %v, files %v", problems, s.Files())
	}
}

// TestStepsLaw: any four numbers are taken if, and only if, they rise from at least 70.
func TestStepsLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.IntRange(60, 120), 4, 4).Draw(t, "steps")
		_, problems := Parser(Options{})(fmt.Appendf(nil,
			"apps: [{sdk_app_id: 1, name: a, steps: {watch: %d, warning: %d, critical: %d, exhausted: %d}}]", x[0], x[1], x[2], x[3]))
		want := x[0] >= 70 && x[0] < x[1] && x[1] < x[2] && x[2] < x[3]
		if got := problems == nil; got != want {
			t.Errorf("%v: taken %v, problems %v", x, got, problems)
		}
	})
}

func TestGetDoesNotAllocate(t *testing.T) {
	s := mustParse(t, documented, resolving())
	if n := testing.AllocsPerRun(100, func() { _ = s.Get(1400000001).Tokens[0].Bytes() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func isRate(l RateLimit) bool { return l.PerSecond > 0 && l.Burst >= 1 }

func FuzzParse(f *testing.F) {
	f.Add([]byte(documented))
	f.Add([]byte("apps: [{sdk_app_id: 1, name: a, tokens: [plain]}]"))
	f.Add([]byte("defaults: {steps: {watch: .nan}}\napps: [null, 5, {}]"))
	f.Add([]byte("apps: [{sdk_app_id: 1, name: a, tokens: [\"plain:x\"]}]\nremoved: [2, 2]\nunsigned: [3]"))
	f.Add([]byte("apps: []\nremoved: [-1, 1e3, null]\nunsigned: {}"))
	f.Add([]byte("defaults: {alarm_rate_limit: {per_second: 1e-400}}\napps: [{sdk_app_id: 1, name: a, alarm_rate_limit: {burst: -1}}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, problems := Parser(resolving())(data)
		if s == nil {
			t.Fatal("no snapshot")
		}
		if problems.Errors() != nil {
			return
		}
		for app := range s.All() {
			if s.removed[app.ID] || s.mayBeUnsigned[app.ID] && len(app.Tokens) > 0 {
				t.Errorf("taken: app %d and its contrary", app.ID)
			}
			if app.ID < 1 || app.Name == "" || app.Zone == nil || app.Steps.Watch < firstStep || !isRate(app.RateLimit) || !isRate(app.AlarmRateLimit) || s.Get(app.ID) != app {
				t.Errorf("taken: %+v", app)
			}
			for _, token := range app.Tokens {
				if len(token.Bytes()) == 0 {
					t.Error("an empty token was taken")
				}
			}
		}
	})
}

// fullText is a file of that many apps with a token each, as people write one.
func fullText(apps int) []byte {
	var text strings.Builder
	text.WriteString("apps:\n")
	for i := range apps {
		fmt.Fprintf(&text, "  - sdk_app_id: %d\n    name: App %d\n    owner: team-%d\n    tier: pro\n    site: cn\n    tokens: [\"plain:%032d\"]\n", i+1, i, i%40, i)
	}
	return []byte(text.String())
}

// tightText is the same with an app in a line, as the benchmark of reloads under load has it.
func tightText(apps int) []byte {
	var text strings.Builder
	text.WriteString("defaults: {rate_limit: {per_second: 10000000, burst: 10000000}}\napps:\n")
	for i := range apps {
		fmt.Fprintf(&text, "  - {sdk_app_id: %d, name: App %d of version 7, tokens: [\"plain:%032d\"], rate_limit: {per_second: 10000007}}\n", 1400000000+i, i, i)
	}
	return []byte(text.String())
}

// TestParsingRests: a large file is not read in one go, but leaves its processor to callbacks half
// of the time (reload.Pace). Other work on this machine can only make it look slower.
func TestParsingRests(t *testing.T) {
	data := tightText(5_000)
	start, cpu := time.Now(), cpuTime(t)
	if _, problems := Parser(Options{ResolveTokens: true})(data); problems != nil {
		t.Fatal(problems)
	}
	took, worked := time.Since(start), cpuTime(t)-cpu
	if took < worked*5/4 {
		t.Errorf("%v of work took %v", worked, took)
	}
}

// TestSnapshotKeepsNoFile: neither the text that was read nor the tree that was made of it stays in
// memory with the snapshot: both are several times its size.
func TestSnapshotKeepsNoFile(t *testing.T) {
	const apps = 5_000
	data := tightText(apps)
	text := weak.Make(&data[0])
	before := heap()
	s, problems := Parser(Options{ResolveTokens: true})(data)
	if problems != nil {
		t.Fatal(problems)
	}
	size := len(data) // of what is in before and, as nobody has it any more, not in after
	after := heap()
	if text.Value() != nil {
		t.Error("the file's text is still in memory")
	}
	// The tree alone has 2,000 bytes for an app.
	if each := (after - before + int64(size)) / apps; each > 1000 {
		t.Errorf("%d bytes for each app", each)
	}
	if s.Len() != apps {
		t.Error("no snapshot")
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// cpuTime is the processor time that this process has used.
func cpuTime(t testing.TB) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkParse takes at least twice as long as its work, for it rests: cpu-ns/op is the work.
func BenchmarkParse(b *testing.B) {
	for name, text := range map[string]func(int) []byte{"block": fullText, "flow": tightText} {
		for _, apps := range []int{5_000, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", name, apps), func(b *testing.B) {
				data := text(apps)
				b.ReportAllocs()
				cpu := cpuTime(b)
				for b.Loop() {
					if _, problems := Parser(Options{ResolveTokens: true})(data); problems != nil {
						b.Fatal(problems)
					}
				}
				b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}
