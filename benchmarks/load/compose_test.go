package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/schema"
)

func TestParseTarget(t *testing.T) {
	for _, test := range []struct {
		url  string
		want target
		err  string
	}{
		{url: "http://127.0.0.1:8080/im/callback", want: target{addr: "127.0.0.1:8080", host: "127.0.0.1:8080", path: "/im/callback"}},
		{url: "http://localhost", want: target{addr: "127.0.0.1:80", host: "localhost", path: "/"}},
		{url: "http://[::1]:9/", want: target{addr: "[::1]:9", host: "[::1]:9", path: "/"}},
		{url: "http://127.9.9.9:1/", want: target{addr: "127.9.9.9:1", host: "127.9.9.9:1", path: "/"}},
		{url: "http://192.0.2.1:8080/", err: "loopback only"},
		{url: "http://example.com/", err: "loopback only"},
		{url: "http://localhost.example.com/", err: "loopback only"},
		{url: "http://0.0.0.0:80/", err: "loopback only"},
		{url: "https://127.0.0.1/", err: "want http://"},
		{url: "127.0.0.1:8080", err: "--url"},
		{url: "http://127.0.0.1/?SdkAppid=1", err: "query"},
		{url: "http://user@127.0.0.1/", err: "query and user"},
	} {
		got, err := parseTarget(test.url)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: error %v, want %q", test.url, err, test.err)
			}
		} else if err != nil || got != test.want {
			t.Errorf("%s: %+v, %v, want %+v", test.url, got, err, test.want)
		}
	}
}

// The vendor's own vector (trtc.io/document/34354).
func TestSignatureIsTheVendors(t *testing.T) {
	const want = "17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061"
	if got := signature([]byte("xxxxyyyy"), 1669872112); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParseMix(t *testing.T) {
	mix, err := parseMix("alarm=3,State.StateChange=1")
	if err != nil || len(mix) != 2 || mix[0] != (weighted{schema.CommandQuotaAlarm, 0.75}) || mix[1] != (weighted{"State.StateChange", 1}) {
		t.Errorf("mix %v, %v", mix, err)
	}
	for _, bad := range []string{"", "alarm", "alarm=0", "alarm=-1", "=1", "alarm=1,", "alarm=x", "alarm=NaN"} {
		if _, err := parseMix(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func newRecipe(t testing.TB, change func(*recipe)) *recipe {
	t.Helper()
	where, err := parseTarget("http://127.0.0.1:8080/in")
	if err != nil {
		t.Fatal(err)
	}
	r := &recipe{target: where, mix: []weighted{{schema.CommandQuotaAlarm, 1}}, signed: 1, eventForm: "string", seed: 1}
	if change != nil {
		change(r)
	}
	return r
}

func sampleFleet(t testing.TB, count int) *fleet {
	t.Helper()
	f, err := newFleet("", count, 1)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// parsed is a composed request as an HTTP server sees it.
type parsed struct {
	path  string
	query url.Values
	body  []byte
}

func parse(t testing.TB, request []byte) parsed {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
	if err != nil {
		t.Fatalf("%v in %q", err, request)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost {
		t.Fatalf("method %s, %v in %q", r.Method, err, request)
	}
	return parsed{path: r.URL.Path, query: r.URL.Query(), body: body}
}

func TestComposedAlarmIsWhatTheVendorSends(t *testing.T) {
	now := time.UnixMilli(1_670_574_414_123)
	request, e := newComposer(newRecipe(t, nil), sampleFleet(t, 1)).compose(1, nil, now)
	got := parse(t, request)
	var body struct {
		CallbackCommand    string
		QuotaUsed, Quota   int64
		EventTime          string
		CallbackUnexpected *string `json:"Number"`
	}
	if err := json.Unmarshal(got.body, &body); err != nil {
		t.Fatal(err)
	}
	want := signature([]byte(sampleToken(firstSampleApp)), now.Unix())
	if got.path != "/in" || got.query.Get("SdkAppid") != "1400000001" || got.query.Get("CallbackCommand") != schema.CommandQuotaAlarm ||
		got.query.Get("Sign") != want || got.query.Get("RequestTime") != "1670574414" {
		t.Errorf("request %+v", got)
	}
	if body.CallbackCommand != schema.CommandQuotaAlarm || body.EventTime != "1670574414123" || body.Quota != 10_000 || body.QuotaUsed <= 7000 || body.CallbackUnexpected != nil {
		t.Errorf("body %s", got.body)
	}
	if e.Kind != ledger.KindAlarm || e.EventTime != now.UnixMilli() || e.Used != body.QuotaUsed || e.Digest != ledger.Digest(got.body) {
		t.Errorf("entry %+v", e)
	}
}

func TestEventTimeForms(t *testing.T) {
	for _, test := range []struct {
		form  string
		wants []string // one of them in each body, all of them in some
	}{
		{"integer", []string{`"EventTime":16`}},
		{"string", []string{`"EventTime":"16`}},
		{"mixed", []string{`"EventTime":"16`, `"EventTime":16`}},
		{"absent", []string{`"Number":`}},
	} {
		c := newComposer(newRecipe(t, func(r *recipe) { r.eventForm = test.form }), sampleFleet(t, 1))
		seen := map[string]int{}
		for seq := range int64(10) {
			request, e := c.compose(seq, nil, time.UnixMilli(1_670_574_414_123))
			for _, want := range test.wants {
				if bytes.Contains(request, []byte(want)) {
					seen[want]++
				}
			}
			if (e.EventTime == 0) != (test.form == "absent") {
				t.Errorf("%s: entry's event time %d", test.form, e.EventTime)
			}
		}
		total := 0
		for _, n := range seen {
			total += n
		}
		if len(seen) != len(test.wants) || total != 10 {
			t.Errorf("%s: saw %v", test.form, seen)
		}
	}
}

// However fast they are made and whatever is mixed in, an app's alarms differ in
// (EventTime, QuotaUsed), its event times never fall, and all bodies differ.
func TestFactsAndBodiesAreUnique(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &fleet{climb: rapid.SampledFrom([]float64{0, 0.5, 7}).Draw(t, "climb"), history: rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "history")}
		f.senders = []*sender{{id: 1, quota: 100, used: 71}, {id: 2, quota: 10_000, used: 7100, token: []byte("t")}}
		where := target{path: "/", host: "h"}
		c := newComposer(&recipe{
			target: where, signed: 0.5, malformed: 0.3, seed: rapid.Uint64().Draw(t, "seed"),
			mix:       []weighted{{schema.CommandQuotaAlarm, 0.8}, {"State.StateChange", 1}},
			eventForm: rapid.SampledFrom([]string{"integer", "string", "mixed"}).Draw(t, "form"),
			bodyMax:   rapid.SampledFrom([]int{0, 400}).Draw(t, "max"),
		}, f)
		type fact struct{ app, event, used int64 }
		facts, bodies, last := map[fact]bool{}, map[string]bool{}, map[int64]int64{}
		now := time.UnixMilli(1_670_574_414_123)
		for seq := range int64(300) {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 300}).Draw(t, "ms")) * time.Millisecond)
			_, e := c.compose(seq, nil, now)
			if bodies[e.Digest] {
				t.Fatalf("body twice: %s", c.body)
			}
			bodies[e.Digest] = true
			if e.Command != schema.CommandQuotaAlarm {
				continue
			}
			key := fact{e.App, e.EventTime, e.Used}
			if facts[key] {
				t.Fatalf("facts twice: %+v", key)
			}
			if e.EventTime < last[e.App] {
				t.Fatalf("event time fell to %d from %d", e.EventTime, last[e.App])
			}
			facts[key], last[e.App] = true, e.EventTime
		}
	})
}

// Every malformation is refused by a strict reader, and every other body is taken.
func TestMalformedBodiesAreMalformed(t *testing.T) {
	now := time.UnixMilli(1_670_574_414_123)
	for i, malform := range malformations {
		good := appendAlarm(nil, &ledger.Entry{Command: schema.CommandQuotaAlarm, Used: 7321, Quota: 10_000, EventTime: now.UnixMilli()}, "string", false)
		if why := wrong(good); why != "" {
			t.Fatalf("good body: %s", why)
		}
		if body := malform(bytes.Clone(good)); wrong(body) == "" {
			t.Errorf("malformation %d is no such thing: %q", i, body)
		}
	}
}

// wrong is a small strict reader: what is wrong with a body, empty where nothing is.
func wrong(body []byte) string {
	var a struct {
		CallbackCommand  string
		QuotaUsed, Quota *int64
	}
	switch err := json.Unmarshal(body, &a); {
	case err != nil:
		return err.Error()
	case !utf8.Valid(body):
		return "not UTF-8"
	case bytes.Count(body, []byte(`"Quota":`)) > 1:
		return "key twice"
	case a.CallbackCommand != schema.CommandQuotaAlarm:
		return "another command"
	case a.QuotaUsed == nil || *a.QuotaUsed < 0 || a.Quota == nil || *a.Quota < 1:
		return "fields"
	}
	return ""
}

func TestBodySizesAndShares(t *testing.T) {
	const n = 4000
	c := newComposer(newRecipe(t, func(r *recipe) {
		r.bodyMin, r.bodyMax, r.signed, r.malformed = 300, 500, 0.75, 0.1
		r.mix = []weighted{{schema.CommandQuotaAlarm, 0.6}, {"Group.CallbackAfterSendMsg", 1}}
	}), sampleFleet(t, 3))
	counts := map[string]int{}
	for seq := range int64(n) {
		request, e := c.compose(seq, nil, time.Now())
		got := parse(t, request)
		if e.Kind == ledger.KindAlarm || e.Kind == ledger.KindCallback {
			if len(got.body) < 300 || len(got.body) > 500 || !json.Valid(got.body) {
				t.Fatalf("body of %d bytes: %s", len(got.body), got.body)
			}
		}
		counts[e.Command]++
		counts[string(e.Kind)]++
		if got.query.Has("Sign") {
			counts["signed"]++
		}
	}
	for what, share := range map[string]float64{schema.CommandQuotaAlarm: 0.6, "signed": 0.75, "unsigned": 0.25, "malformed": 0.6 * 0.1 * 0.75} {
		if got := float64(counts[what]) / n; got < share-0.04 || got > share+0.04 {
			t.Errorf("share of %s is %.3f, want about %.3f", what, got, share)
		}
	}
}

func TestTheSameSeedMakesTheSameChoices(t *testing.T) {
	now := time.UnixMilli(1_670_574_414_123)
	run := func(seed uint64) (text string) {
		c := newComposer(newRecipe(t, func(r *recipe) { r.seed, r.malformed = seed, 0.5 }), sampleFleet(t, 4))
		for seq := range int64(50) {
			request, _ := c.compose(seq, nil, now)
			text += string(request)
		}
		return text
	}
	if first, second := run(1), run(1); first != second {
		t.Error("one seed, two runs")
	}
	if run(1) == run(2) {
		t.Error("two seeds, one run")
	}
}

func TestQuotaUsedClimbsAndBeginsAnew(t *testing.T) {
	f := sampleFleet(t, 1)
	f.climb, f.history = 5, 8*time.Minute
	now := time.UnixMilli(1_670_574_414_123)
	var percents, ages []float64
	for range 12 {
		x := f.next(f.senders[0], true, now)
		percents = append(percents, float64(x.used)/100)
		ages = append(ages, now.Sub(time.UnixMilli(x.eventTime)).Minutes())
	}
	falls := 0
	for i := range percents {
		if percents[i] < 70 || percents[i] > usedTop {
			t.Errorf("percent %g", percents[i])
		}
		if i > 0 && percents[i] < percents[i-1] {
			falls++
		}
	}
	if falls != 1 {
		t.Errorf("%d falls in %v, want one", falls, percents)
	}
	if ages[0] != 8 || ages[1] != 6 || ages[3] != 2 || ages[4] > 0 {
		t.Errorf("ages in minutes %v, want 8 6 4 2 0 ...", ages)
	}
}

func TestFleetFromAFile(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("LOAD_TEST_TOKEN", "from-env")
	if err := os.WriteFile(filepath.Join(folder, "token"), []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "apps.yaml")
	text := `apps:
  - {sdk_app_id: 7, name: A7, tokens: ["plain:first", "plain:second"]}
  - {sdk_app_id: 8, name: A8, tokens: ["env:LOAD_TEST_TOKEN"]}
  - {sdk_app_id: 9, name: A9, tokens: ["file:` + filepath.Join(folder, "token") + `"]}
  - {sdk_app_id: 10, name: A10}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := newFleet(path, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, s := range f.senders {
		got += strconv.FormatInt(s.id, 10) + "=" + string(s.token) + " "
	}
	if want := "7=first 8=from-env 9=from-file 10= "; got != want {
		t.Errorf("senders %q, want %q", got, want)
	}
	if f, err = newFleet(path, 2, 1); err != nil || len(f.senders) != 2 {
		t.Errorf("limited to 2: %v, %v", f, err)
	}
	if _, err = newFleet(path, 5, 1); err == nil || !strings.Contains(err.Error(), "has 4 apps") {
		t.Errorf("more than there are: %v", err)
	}
	if _, err = newFleet(filepath.Join(folder, "none"), 0, 1); err == nil || !strings.Contains(err.Error(), "load apps") {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte("apps:\n  - {sdk_app_id: x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = newFleet(path, 0, 1); err == nil {
		t.Error("a bad file is taken")
	}
}

func TestSampleAppsAreThoseThatLoadSignsFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "apps.yaml")
	var out bytes.Buffer
	if err := execute(t.Context(), []string{"apps", "--apps-file", path, "--app-count", "9"}, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "1400000001 to 1400000009") {
		t.Errorf("said %q", out.String())
	}
	file, err := newFleet(path, 9, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range sampleFleet(t, 9).senders {
		if other := file.senders[i]; other.id != s.id || string(other.token) != string(s.token) {
			t.Errorf("app %d: file says %d %q, samples say %d %q", i, other.id, other.token, s.id, s.token)
		}
	}
	if err := execute(t.Context(), []string{"apps", "--apps-file", path}, io.Discard); err == nil {
		t.Error("an existing file was replaced")
	}
}
