package receive

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// describe says what a decision is in one line.
func describe(d *decision) string {
	s := "drop"
	if d.Topic != "" {
		s = d.Topic + " " + d.Ack.String()
	}
	if d.Reserve {
		s += " reserve"
	}
	if d.Blocking {
		s += " blocking"
	}
	if d.Static {
		s += " " + string(d.Answer)
	}
	return s
}

func TestRoutesFind(t *testing.T) {
	const file = `
routes:
  - {command: "Group.CallbackOnDailyGroupQuotaAlarm", apps: [7], drop: true}
  - {command: "Group.CallbackAfter*", apps: [2, 1, 2], topic: special, ack: broker}
  - {command: "Group.*", topic: im.callbacks.raw}
  - {command: "C2C.CallbackBefore*", apps: [1], drop: true, answer: {ErrorCode: 1}}
  - {command: "C2C.Callback[BP]*", topic: im.callbacks.raw, ack: disk}
  - {command: "Bot.?", topic: im.callbacks.raw, ack: memory, reserve: true}
  - {command: "State.*", drop: true}
  - {command: "*", apps: [9], topic: im.callbacks.raw}
`
	for _, tt := range []struct {
		command string
		app     int64
		want    string
	}{
		{"Group.CallbackOnDailyGroupQuotaAlarm", 7, "drop reserve"},
		{"Group.CallbackOnDailyGroupQuotaAlarm", 1, "p.im.callbacks.raw disk reserve"}, // the operator's Group.* stands first
		{"Group.CallbackAfterX", 1, "p.special broker"},
		{"Group.CallbackAfterX", 2, "p.special broker"},
		{"Group.CallbackAfterX", 3, "p.im.callbacks.raw disk"},
		{"Group.CallbackBeforeX", 1, "p.im.callbacks.raw memory blocking"},
		{"C2C.CallbackBeforeSendMsg", 1, `drop blocking {"ActionStatus":"OK","ErrorInfo":"","ErrorCode":1}`},
		{"C2C.CallbackBeforeSendMsg", 2, "p.im.callbacks.raw disk blocking"}, // its route says so
		{"C2C.CallbackPrevX", 1, "p.im.callbacks.raw disk blocking"},
		{"C2C.CallbackAfterSendMsg", 1, "drop"},
		{"Bot.X", 1, "p.im.callbacks.raw memory reserve"},
		{"Bot.XY", 1, "drop"},
		{"State.StateChange", 9, "drop"}, // before the last one
		{"Unknown.Command", 9, "p.im.callbacks.raw disk"},
		{"Unknown.Command", 8, "drop"},
	} {
		routes, problems := ParseRoutes(RouteOptions{TopicPrefix: "p.", Ack: journal.Disk})([]byte(file))
		if problems != nil {
			t.Fatal(problems)
		}
		for range 2 { // the second time from the cache
			if got := describe(routes.find([]byte(tt.command), tt.app)); got != tt.want {
				t.Errorf("%s of %d: %s, want %s", tt.command, tt.app, got, tt.want)
			}
		}
	}
}

func TestDefaultRoutes(t *testing.T) {
	routes := DefaultRoutes(RouteOptions{TopicPrefix: "x-", Ack: journal.Broker})
	if got := describe(routes.find([]byte(alarm), 1)); got != "x-im.alarms.raw broker reserve" {
		t.Error(got)
	}
	if got := describe(routes.find([]byte("C2C.CallbackAfterSendMsg"), 1)); got != "drop" {
		t.Error(got)
	}
	if got := routes.Topics(); !slices.Equal(got, []string{"x-im.alarms.raw"}) {
		t.Error(got)
	}
	want := []string{
		"Group.CallbackOnDailyGroupQuotaAlarm: to x-im.alarms.raw at broker, with reserve",
		"*: answered, counted and dropped",
	}
	if got := routes.Lines(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := routes.Warnings(); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// TestForgottenAlarm: a file that says nothing of the alarm does not lose it.
func TestForgottenAlarm(t *testing.T) {
	for _, file := range []string{"routes: []", "routes: [{command: State.*, drop: true}]"} {
		if got := describe(parseRoutes(t, file).find([]byte(alarm), 1)); got != "im.alarms.raw disk reserve" {
			t.Errorf("%q: %s", file, got)
		}
	}
}

// TestGuardRoutes: what a reload must not do by a slip, and what it may.
func TestGuardRoutes(t *testing.T) {
	const none, some, drops = "routes: []", "routes: [{command: State.*, topic: t}]", `routes: [{command: "*", drop: true}]`
	for _, row := range []struct {
		prev, next string
		refused    bool
	}{
		{some, none, true},
		{drops, none, true},
		{some, drops, false},
		{some, "routes: [{command: C2C.*, topic: t}]", false},
		{none, some, false},
		{none, none, false},
	} {
		problems := GuardRoutes(parseRoutes(t, row.prev), parseRoutes(t, row.next))
		if got := len(problems.Errors()) > 0; got != row.refused {
			t.Errorf("%s after %s: refused %t, want %t (%v)", row.next, row.prev, got, row.refused, problems)
		}
	}
}

// TestRoutesMissing: a file that was cut to nothing (cp on a full disk, an editor that truncates
// first) is refused, as an apps file is: taken, it would drop all that its routes kept.
func TestRoutesMissing(t *testing.T) {
	for _, text := range []string{"", "# routes of 2026\n", "---\n", "{}\n", "routes:\n", "route:\n  - command: \"*\"\n    topic: im.callbacks.raw\n"} {
		if _, problems := ParseRoutes(RouteOptions{})([]byte(text)); len(problems.Errors()) == 0 {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestRoutesAgainstModel compares find, with its cache, to globbing route by route.
func TestRoutesAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.SampledFrom([]string{"A", "B", "*", "?", "A*", "[AB]", "*B"})
		name := rapid.SampledFrom([]string{"A", "B", "AB", "BA"})
		var file strings.Builder
		file.WriteString("routes:\n")
		type line struct {
			glob string
			apps []int64
		}
		var lines []line
		for i := range rapid.IntRange(1, 8).Draw(t, "routes") {
			l := line{glob: part.Draw(t, "family") + "." + part.Draw(t, "name")}
			fmt.Fprintf(&file, "  - {command: %q, topic: t%d", l.glob, i)
			if rapid.Bool().Draw(t, "for some") {
				l.apps = rapid.SliceOfN(rapid.Int64Range(1, 4), 1, 3).Draw(t, "apps")
				fmt.Fprintf(&file, ", apps: %s", strings.ReplaceAll(fmt.Sprint(l.apps), " ", ","))
			}
			file.WriteString("}\n")
			lines = append(lines, l)
		}
		routes, problems := ParseRoutes(RouteOptions{Ack: journal.Disk})([]byte(file.String()))
		if problems != nil {
			t.Fatal(problems, file.String())
		}
		for range 20 {
			command := name.Draw(t, "command family") + "." + name.Draw(t, "command name")
			app := rapid.Int64Range(1, 4).Draw(t, "app")
			want := ""
			for i, l := range lines {
				if ok, _ := path.Match(l.glob, command); ok && (l.apps == nil || slices.Contains(l.apps, app)) {
					want = fmt.Sprintf("t%d", i)
					break
				}
			}
			if got := routes.find([]byte(command), app).Topic; got != want {
				t.Fatalf("%s of %d: %q, want %q; routes:\n%s", command, app, got, want, file.String())
			}
		}
	})
}

// TestCacheIsBounded invents commands: the cache stops growing and routing goes on.
func TestCacheIsBounded(t *testing.T) {
	routes := parseRoutes(t, `routes: [{command: "X.*", topic: t}]`)
	for i := range 2 * maxCachedCommands {
		if d := routes.find(fmt.Appendf(nil, "X.%d", i), 1); d.Topic != "t" {
			t.Fatal(describe(d))
		}
	}
	if n := len(*routes.cache.Load()); n != maxCachedCommands {
		t.Errorf("%d commands in the cache, want %d", n, maxCachedCommands)
	}
}

func TestCacheConcurrent(t *testing.T) {
	routes := parseRoutes(t, `routes: [{command: "X.*", topic: t}]`)
	var finders sync.WaitGroup
	for range 8 {
		finders.Go(func() {
			for i := range 200 {
				if d := routes.find(fmt.Appendf(nil, "X.%d", i), 1); d.Topic != "t" {
					t.Error(describe(d))
				}
			}
		})
	}
	finders.Wait()
}

func TestRoutesFileProblems(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		at         string // line:column of the first problem
		says       string
	}{
		{"no command", "routes:\n  - {topic: t}", "2:5", "command is missing"},
		{"a broken glob", "routes:\n  - {command: \"Group.[\", topic: t}", "2:15", "glob"},
		{"neither topic nor drop", "routes:\n  - {command: A}", "2:5", "topic: NAME or drop: true"},
		{"drop: false alone", "routes:\n  - {command: A, drop: false}", "2:5", "topic: NAME or drop: true"},
		{"both", "routes:\n  - {command: A, topic: t, drop: true}", "2:34", "one of the two"},
		{"no ack level", "routes:\n  - {command: A, topic: t, ack: fsync}", "2:33", "memory, disk or broker"},
		{"ack of a route that drops", "routes:\n  - {command: A, drop: true, ack: disk}", "2:35", "leave ack out"},
		{"for nobody", "routes:\n  - {command: A, topic: t, apps: []}", "2:34", "leave apps out"},
		{"no SdkAppid", "routes:\n  - {command: A, topic: t, apps: [1, -5]}", "2:38", "positive integer"},
		{"no topic name", "routes:\n  - {command: A, topic: \"a b\"}", "2:25", "no topic can have this name"},
		{"the consumer's topic", "routes:\n  - {command: A, topic: im.alarms}", "2:25", "im.callbacks.raw"},
		{"the dead letters", "routes:\n  - {command: A, topic: im.alarms.dlq}", "2:25", "consumer only"},
		{"others among the alarms", "routes:\n  - {command: \"Group.*\", topic: im.alarms.raw}", "2:33", "takes only Group.CallbackOnDailyGroupQuotaAlarm"},
		{"an answer that is none", "routes:\n  - {command: A, drop: true, answer: {ActionStatus: MAYBE}}", "2:38", "OK or FAIL"},
		{"an ErrorCode that is text", "routes:\n  - {command: A, drop: true, answer: {ErrorCode: \"1\"}}", "2:38", "an integer"},
		{"an ErrorCode with a fraction", "routes:\n  - {command: A, drop: true, answer: {ErrorCode: 1.5}}", "2:38", "an integer"},
		{"an ErrorInfo that is no text", "routes:\n  - {command: A, drop: true, answer: {ErrorInfo: 5}}", "2:38", "a text"},
		{"an unknown key", "routes:\n  - {command: A, topic: t, level: disk}", "2:28", "level"},
		{"a key twice", "routes:\n  - {command: A, command: B, topic: t}", "2:18", "twice"},
		{"not YAML", "routes: [", "", "YAML"},
		{"not a list", "routes: {command: A}", "1:9", "list"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := ParseRoutes(RouteOptions{Ack: journal.Disk})([]byte(tt.file))
			if len(problems) == 0 {
				t.Fatal("taken")
			}
			p := problems[0]
			if at := fmt.Sprintf("%d:%d", p.Line, p.Column); tt.at != "" && at != tt.at {
				t.Errorf("at %s, want %s: %s", at, tt.at, p.Text)
			}
			if !strings.Contains(problems.Error(), tt.says) {
				t.Errorf("%v does not say %q", problems, tt.says)
			}
		})
	}
}

// TestAllProblemsAtOnce: an operator mends a file once, not once per mistake.
func TestAllProblemsAtOnce(t *testing.T) {
	_, problems := ParseRoutes(RouteOptions{Ack: journal.Disk})([]byte("routes:\n  - {command: A}\n  - {topic: t, ack: x}\n  - {command: B, topic: im.alarms}\n"))
	if len(problems) != 4 {
		t.Errorf("%d problems, want 4:\n%v", len(problems), problems)
	}
}

func TestStaticAnswers(t *testing.T) {
	for _, tt := range []struct{ yaml, want string }{
		{"{}", okAnswer},
		{"{ErrorCode: 2}", `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":2}`},
		{"{ErrorCode: 1, ErrorInfo: \"not \\\"now\\\"\", ActionStatus: FAIL}", `{"ActionStatus":"FAIL","ErrorInfo":"not \"now\"","ErrorCode":1}`},
		{"{Z: [1, {b: 2, a: x}], CloudCustomData: text, A: true}", `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"A":true,"CloudCustomData":"text","Z":[1,{"a":"x","b":2}]}`},
	} {
		routes := parseRoutes(t, "routes: [{command: C2C.CallbackBeforeSendMsg, drop: true, answer: "+tt.yaml+"}]")
		got := routes.find([]byte("C2C.CallbackBeforeSendMsg"), 1).Answer
		if string(got) != tt.want || !json.Valid(got) {
			t.Errorf("%s: %s, want %s", tt.yaml, got, tt.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	routes := parseRoutes(t, `
routes:
  - {command: Group.CallbackOnDailyGroupQuotaAlarm, apps: [1], drop: true}
  - {command: "*.CallbackBefore*", drop: true}
  - {command: Group.CallbackPrevX, drop: true, answer: {ErrorCode: 1}}
`)
	got := routes.Warnings()
	if len(got) != 2 || !strings.Contains(got[0], "allows") || !strings.Contains(got[1], "alarm is dropped") {
		t.Errorf("%q", got)
	}
}

// TestAlarmIsDroppedByAnyRoute: a route that is meant for others may be for the alarm too.
func TestAlarmIsDroppedByAnyRoute(t *testing.T) {
	for text, want := range map[string]bool{
		`{command: "Group.*", drop: true}`:      true,
		`{command: "*", apps: [1], drop: true}`: true,
		`{command: "C2C.*", drop: true}`:        false,
		`{command: Group.CallbackOnDailyGroupQuotaAlarm, topic: im.alarms.raw}, {command: "Group.*", drop: true}`: false,
		`{command: "*", apps: [1], topic: im.callbacks.raw}, {command: "*", drop: true}`:                          true,
	} {
		got := strings.Join(parseRoutes(t, "routes: ["+text+"]").Warnings(), "\n")
		if strings.Contains(got, "alarm is dropped") != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

// TestBlockingIsLoggedOnce: an approval that nobody configured is said once per command,
// not once per callback.
func TestBlockingIsLoggedOnce(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	g := newGate(t, func(o *Options) { o.Log = zap.New(core) })
	for range 3 {
		for _, command := range []string{"C2C.CallbackBeforeX", "C2C.CallbackBeforeY", "C2C.CallbackBeforeSendMsg"} {
			g.Handler(newContext(post(signed(command), "{}")))
		}
	}
	if n := logs.FilterMessageSnippet("blocking callback").Len(); n != 2 {
		t.Errorf("%d lines, want one for X and one for Y, and none for the one with an answer of its own", n)
	}
}

// FuzzParseRoutes holds that no file can stop the process, and that what is taken routes
// every command.
func FuzzParseRoutes(f *testing.F) {
	f.Add([]byte(testRoutes))
	f.Add([]byte("routes: [{command: \"[\", answer: {a: [1, 2.5, null, {b: c}]}}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		routes, problems := ParseRoutes(RouteOptions{Ack: journal.Disk})(data)
		if len(problems.Errors()) > 0 {
			return
		}
		for _, command := range []string{alarm, "A", "C2C.CallbackBeforeSendMsg"} {
			if d := routes.find([]byte(command), 1); !json.Valid(d.Answer) {
				t.Fatalf("answer %s is not JSON", d.Answer)
			}
		}
		routes.Lines()
	})
}
