package reload

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawSample draws a value of every kind of field that a file may have.
func drawSample(t *rapid.T) sample {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "yes", "null", "~", "12", "1.5", "- a", "a: b", "# c", "x\ny\n", "'", `"`, " a "}))
	valid := text.Filter(func(s string) bool {
		// What YAML cannot carry unchanged: control characters and odd line breaks.
		return !strings.ContainsFunc(s, func(r rune) bool {
			return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r >= 0xfffd && r <= 0xffff
		})
	})
	limit := rapid.Custom(func(t *rapid.T) inner {
		return inner{Burst: rapid.Int().Draw(t, "burst"), Rate: float64(rapid.Int32().Draw(t, "rate")) / 8}
	})
	return sample{
		Name: valid.Draw(t, "name"), On: rapid.Bool().Draw(t, "on"), ID: rapid.Int64().Draw(t, "id"), Small: rapid.Int8().Draw(t, "small"),
		Wait:  time.Duration(rapid.Int64().Draw(t, "wait")),
		Limit: rapid.Ptr(limit, false).Draw(t, "limit"), Items: rapid.SliceOfN(limit, 1, 4).Draw(t, "items"),
		Words: rapid.SliceOfN(valid, 1, 4).Draw(t, "words"),
	}
}

// TestRoundTrip: what is written of a value in one line, as JSON, which is YAML, and with a line for
// every value, is read as that value.
func TestRoundTrip(t *testing.T) {
	one := func(i inner) map[string]any { return map[string]any{"burst": i.Burst, "per_second": i.Rate} }
	rapid.Check(t, func(t *rapid.T) {
		want := drawSample(t)
		var items []map[string]any
		for _, i := range want.Items {
			items = append(items, one(i))
		}
		fields := map[string]any{
			"name": want.Name, "on": want.On, "sdk_app_id": want.ID, "small": want.Small, "wait": want.Wait.String(),
			"limit": one(*want.Limit), "items": items, "words": want.Words,
		}
		flow := asJSON(t, fields)
		block := fmt.Appendf(nil, "limit:\n  burst: %s\n  per_second: %s\n", asJSON(t, want.Limit.Burst), asJSON(t, want.Limit.Rate))
		for _, key := range []string{"name", "on", "sdk_app_id", "small", "wait"} {
			block = fmt.Appendf(block, "%s: %s\n", key, asJSON(t, fields[key]))
		}
		block = append(block, "words:\n"...)
		for _, word := range want.Words {
			block = fmt.Appendf(block, "- %s\n", asJSON(t, word))
		}
		block = append(block, "items:\n"...)
		for _, i := range want.Items {
			block = fmt.Appendf(block, "  -  burst: %s\n     per_second: %s\n", asJSON(t, i.Burst), asJSON(t, i.Rate))
		}
		for _, data := range [][]byte{block, flow} {
			var got sample
			if _, problems := Decode(data, &got); problems != nil {
				t.Fatalf("%s\n%v", data, problems)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s\ngot  %+v\nwant %+v", data, got, want)
			}
		}
	})
}

// asJSON writes value as JSON.
func asJSON(t *rapid.T, value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestEveryProblemHasAPlace: whatever line of a good file is spoilt, the problem stands in
// that line.
func TestEveryProblemHasAPlace(t *testing.T) {
	good := []string{"name: a", "on: true", "sdk_app_id: 5", "small: 1", "wait: 1s", "words: [a]", "limit: {burst: 1}"}
	rapid.Check(t, func(t *rapid.T) {
		lines := slices.Clone(good)
		bad := rapid.SliceOfNDistinct(rapid.IntRange(0, len(lines)-1), 1, len(lines), rapid.ID[int]).Draw(t, "bad lines")
		for _, i := range bad {
			key, _, _ := strings.Cut(lines[i], ":")
			lines[i] = rapid.SampledFrom([]string{key + ": [[]]", key + ":", key + "s: 1", key + ": !!str x"}).Draw(t, "mistake")
		}
		_, problems := Decode([]byte(strings.Join(lines, "\n")), new(sample))
		seen := map[int]bool{}
		for _, p := range problems {
			seen[p.Line-1] = true
		}
		// Tags are refused before anything else is looked at.
		if tags := slices.DeleteFunc(slices.Clone(bad), func(i int) bool { return !strings.Contains(lines[i], "!!") }); len(tags) > 0 {
			bad = tags
		}
		slices.Sort(bad)
		if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, bad) {
			t.Errorf("%s\nproblems in lines %v, spoilt were %v:\n%v", strings.Join(lines, "\n"), got, bad, problems)
		}
	})
}

// TestDistanceIsAMetric: zero only for equal words, the same both ways, never longer by a
// detour, and one edit is one.
func TestDistanceIsAMetric(t *testing.T) {
	word := rapid.StringMatching(`[a-c_]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		if (distance(a, b) == 0) != (a == b) || distance(a, b) != distance(b, a) || distance(a, c) > distance(a, b)+distance(b, c) {
			t.Errorf("%q %q %q: %d %d %d", a, b, c, distance(a, b), distance(b, c), distance(a, c))
		}
		at := rapid.IntRange(0, len(a)).Draw(t, "at")
		if longer := a[:at] + "x" + a[at:]; distance(a, longer) != 1 {
			t.Errorf("%q and %q: %d", a, longer, distance(a, longer))
		}
	})
}

func TestNearest(t *testing.T) {
	known := []string{"alarm_rate_limit", "burst", "name", "owner", "per_second", "rate_limit", "sdk_app_id", "site", "steps", "tier", "time_zone", "tokens"}
	for word, want := range map[string]string{
		"token": "tokens", "Name": "name", "naem": "name", "sdkappid": "sdk_app_id", "SdkAppid": "sdk_app_id", "timezone": "time_zone",
		"rate-limit": "rate_limit", "persecond": "per_second", "owners": "owner", "colour": "", "x": "", "description": "",
	} {
		if got, ok := nearest(word, known); got != want || ok != (want != "") {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}

func TestFingerprint(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(os.WriteFile(path, []byte("a"), 0o600))
	do(os.WriteFile(path+"2", []byte("a"), 0o600))
	for name, row := range map[string]struct {
		change func()
		same   bool
	}{
		"nothing":      {func() {}, true},
		"read":         {func() { _, err := os.ReadFile(path); do(err) }, true},
		"longer":       {func() { do(os.WriteFile(path, []byte("ab"), 0o600)) }, false},
		"another time": {func() { do(os.Chtimes(path, time.Unix(5, 0), time.Unix(5, 0))) }, false},
		"replaced":     {func() { do(os.Rename(path+"2", path)) }, false},
		"gone":         {func() { do(os.Remove(path)) }, false},
	} {
		// Each change starts from a file that is there.
		do(os.WriteFile(path, []byte("a"), 0o600))
		do(os.WriteFile(path+"2", []byte("a"), 0o600))
		before := fingerprint("/", path)
		row.change()
		if after := fingerprint("/", path); (before == after) != row.same {
			t.Errorf("%s: %q, then %q", name, before, after)
		}
	}
}

// TestReadersBesideReloads has values read while they change: each read sees a whole one.
// The race detector looks on.
func TestReadersBesideReloads(t *testing.T) {
	b := newBench(t, "name: a\n")
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				if name := b.file.Get().Name; name != "a" && name != "b" {
					t.Errorf("name %q", name)
				}
				_ = b.file.Status()
			}
		})
	}
	for i := range 200 {
		b.write("name: " + string("ab"[i%2]) + "\n")
		if _, err := b.file.Reload(); err != nil {
			t.Error(err)
		}
	}
	cancel()
	readers.Wait()
}

func TestProblemsAsText(t *testing.T) {
	var ps Problems
	if ps.Err() != nil || ps.Error() != "" || ps.Lines("f") == nil && len(ps.Lines("f")) != 0 {
		t.Error("no problems are no error")
	}
	ps.Add(Pos{3, 5}, "owner: %s", "wrong")
	ps.Warn(Pos{}, "odd")
	if got := ps.Error(); got != "3:5: owner: wrong\nodd" {
		t.Errorf("%q", got)
	}
	if got := strings.Join(ps.Lines("apps.yaml"), "|"); got != "apps.yaml:3:5: owner: wrong|apps.yaml: odd" {
		t.Errorf("%q", got)
	}
	if len(ps.Errors()) != 1 || len(ps.Warnings()) != 1 || ps.Err() == nil {
		t.Errorf("%d errors, %d warnings", len(ps.Errors()), len(ps.Warnings()))
	}
}
