package receive

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/reload"
)

// withTokens is an apps file whose rotatingApp has these tokens.
func withTokens(t testing.TB, tokens ...string) *apps.Snapshot {
	t.Helper()
	return parseApps(t, `apps: [{sdk_app_id: 1400000003, name: Rotating, tokens: ["plain:`+strings.Join(tokens, `", "plain:`)+`"]}]`)
}

// matched returns "token at minute" for each token at /apps, by position: the minute of its last
// match, and since which one it is taken.
func matched(t *testing.T, g *gate) (list []string) {
	t.Helper()
	for i, token := range decodePage(t, g).Apps[0].Tokens {
		if token.Position != i {
			t.Errorf("position %d at %d", token.Position, i)
		}
		last := "never"
		if token.LastMatched != nil {
			last = fmt.Sprint(token.LastMatched.Sub(vectorNow).Minutes())
		}
		list = append(list, fmt.Sprintf("since %v: %s", token.Since.Sub(vectorNow).Minutes(), last))
	}
	return list
}

// TestMatchBelongsToTheToken: through reloads that move, add and take away tokens, each shows when it
// matched itself.
func TestMatchBelongsToTheToken(t *testing.T) {
	g := newGate(t, func(o *Options) { o.RequestTimeWindow = time.Hour })
	use := func(token string) {
		g.clock.add(time.Minute)
		g.handle(post(target(rotatingApp, alarm)+"&RequestTime=1669872112&Sign="+sign(token, "1669872112"), "{}"))
	}
	for _, step := range []struct {
		name   string
		tokens string
		use    string
		want   string
	}{
		{"at first", "a b", "a", "since 0: 1|since 0: never"},
		{"the other one", "a b", "b", "since 0: 1|since 0: 2"},
		{"the same file again", "a b", "b", "since 0: 1|since 0: 3"},
		{"turned round", "b a", "a", "since 0: 3|since 0: 4"},
		{"one more, in front", "c b a", "b", "since 4: never|since 0: 5|since 0: 4"},
		{"the one in the middle goes", "c a", "c", "since 4: 6|since 0: 4"},
		{"it comes again: nothing is known of it", "b c a", "a", "since 6: never|since 4: 6|since 0: 7"},
		{"all others", "x y", "x", "since 7: 8|since 7: never"},
		{"more than there ever are", "1 2 3 4 5 6 7 8 9 x", "9", "since 8: never|since 8: never|since 8: never|since 8: never|since 8: never|since 8: never|since 8: never|since 8: never|since 8: 9|since 7: 8"},
	} {
		g.accounts.reload(withTokens(t, strings.Fields(step.tokens)...))
		use(step.use)
		if got := strings.Join(matched(t, g), "|"); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
	// An app that goes and comes again is a new one.
	g.accounts.reload(parseApps(t, "apps: []"))
	g.accounts.reload(withTokens(t, "x"))
	if got := strings.Join(matched(t, g), "|"); got != "since 9: never" {
		t.Errorf("after the app was gone: %s", got)
	}
}

// TestMatchIsNotedOnceASecond: not more often, and at once where the clock was set back.
func TestMatchIsNotedOnceASecond(t *testing.T) {
	var use tokenUse
	for _, step := range []struct{ at, noted int64 }{
		{5_000, 5_000}, {5_999, 5_000}, {6_000, 6_000}, {6_500, 6_000}, {5_900, 5_900}, {9_000, 9_000},
	} {
		use.match(time.UnixMilli(step.at))
		if got := use.last.Load(); got != step.noted {
			t.Errorf("after a match at %d: %d, want %d", step.at, got, step.noted)
		}
	}
}

// TestMatchDuringAReload: a callback that found the app before a reload is noted after it.
func TestMatchDuringAReload(t *testing.T) {
	g := newGate(t, nil)
	g.accounts.reload(withTokens(t, "a", "b"))
	before, _ := g.accounts.find(rotatingApp)
	g.accounts.reload(withTokens(t, "b", "a"))
	before.uses[1].match(vectorNow)
	if got := strings.Join(matched(t, g), "|"); got != "since 0: 0|since 0: never" {
		t.Error(got)
	}
}

// TestRotatedFileIsAnotherToken: a file's new content has not matched because its old one had; two
// files of one content are told apart all the same.
func TestRotatedFileIsAnotherToken(t *testing.T) {
	dir := t.TempDir()
	put := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("current", "a")
	put("next", "bb") // other sizes, as a file system's clock may stand still for some milliseconds
	put("apps.yaml", fmt.Sprintf("apps: [{sdk_app_id: 1400000003, name: R, tokens: [\"file:%[1]s/current\", \"file:%[1]s/next\"]}]", dir))
	file, err := reload.Open("apps", filepath.Join(dir, "apps.yaml"), apps.Parser(apps.Options{ResolveTokens: true}), reload.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, func(o *Options) { o.Apps, o.RequestTimeWindow = file, time.Hour })
	use := func(token string) {
		g.clock.add(time.Minute)
		g.handle(post(target(rotatingApp, alarm)+"&RequestTime=1669872112&Sign="+sign(token, "1669872112"), "{}"))
	}
	again := func() {
		t.Helper()
		if changed, err := file.Reload(); !changed || err != nil {
			t.Fatalf("changed %v, %v", changed, err)
		}
	}
	use("a")
	use("bb")
	put("current", "bb") // the second step of a rotation: both files have the new one
	again()
	if got := strings.Join(matched(t, g), "|"); got != "since 0: 2|since 2: never" {
		t.Errorf("both files have the new token: %s", got)
	}
	put("next", "ccc")
	again()
	use("ccc")
	if got := strings.Join(matched(t, g), "|"); got != "since 0: 2|since 2: 3" {
		t.Errorf("after the rotation: %s", got)
	}
}

// TestRatesAreLive: a rate that is lowered or raised in the file holds from the next callback on.
func TestRatesAreLive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "apps.yaml")
	put := func(limit string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("apps: [{sdk_app_id: 1400000002, name: Open, rate_limit: "+limit+"}]"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("{per_second: 1, burst: 5}")
	file, err := reload.Open("apps", path, apps.Parser(apps.Options{ResolveTokens: true}), reload.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, func(o *Options) { o.Apps = file })
	passes := func() (n int) {
		for {
			if f, _ := g.answerTo(t, newContext(post(target(unsignedApp, otherCommand), "{}"))); f != notRefused {
				return n
			}
			n++
		}
	}
	if n := passes(); n != 5 {
		t.Fatalf("%d at once, the burst is 5", n)
	}
	g.clock.add(time.Minute) // full again
	put("{per_second: 1, burst: 2}")
	if _, err := file.Reload(); err != nil {
		t.Fatal(err)
	}
	if n := passes(); n != 2 {
		t.Errorf("lowered: %d at once, the burst is 2", n)
	}
	put("{per_second: 100, burst: 50}")
	if _, err := file.Reload(); err != nil {
		t.Fatal(err)
	}
	if n := passes(); n != 0 {
		t.Errorf("raised: %d at once, but all was used up", n)
	}
	g.clock.add(100 * time.Millisecond)
	if n := passes(); n != 10 {
		t.Errorf("raised: %d in 100 ms, want 10", n)
	}
}
