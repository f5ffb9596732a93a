package receive

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/tidegate/tidegate/gateway/internal/edge"
	"github.com/tidegate/tidegate/internal/reload"
)

func networks(t testing.TB, text string) edge.Networks {
	t.Helper()
	var n edge.Networks
	if err := n.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return n
}

// contextFrom is newContext for a request of peer with these lines of X-Forwarded-For.
func contextFrom(peer, raw string, lines ...string) *fasthttp.RequestCtx {
	ctx := newContext(raw)
	ctx.SetRemoteAddr(&net.TCPAddr{IP: net.ParseIP(peer), Port: 40000})
	for _, line := range lines {
		ctx.Request.Header.Add(headerForwarded, line)
	}
	return ctx
}

// TestSource: X-Forwarded-For says where a request comes from as far as trusted proxies wrote
// it, and no further.
func TestSource(t *testing.T) {
	s := sources{trusted: networks(t, "10.0.0.0/8,2001:db8:1::/48")}
	for _, c := range []struct {
		name  string
		peer  string
		lines []string
		want  string
	}{
		{"no proxy", "203.0.113.7", nil, "203.0.113.7"},
		{"forged by one who is no proxy", "203.0.113.7", []string{"192.0.2.1"}, "203.0.113.7"},
		{"forged proxies too", "203.0.113.7", []string{"192.0.2.1, 10.0.0.1"}, "203.0.113.7"},
		{"one proxy", "10.0.0.1", []string{"203.0.113.7"}, "203.0.113.7"},
		{"one proxy, which says nothing", "10.0.0.1", nil, "10.0.0.1"},
		{"one proxy, IPv4 in IPv6", "::ffff:10.0.0.1", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		{"two proxies", "10.0.0.1", []string{"203.0.113.7, 10.0.0.2"}, "203.0.113.7"},
		{"two proxies, a line each", "10.0.0.1", []string{"203.0.113.7", "10.0.0.2"}, "203.0.113.7"},
		{"forged behind a proxy", "10.0.0.1", []string{"192.0.2.1, 203.0.113.7"}, "203.0.113.7"},
		{"forged in a line of its own", "10.0.0.1", []string{"192.0.2.1", "203.0.113.7"}, "203.0.113.7"},
		{"a proxy's address forged", "10.0.0.1", []string{"10.9.9.9, 203.0.113.7"}, "203.0.113.7"},
		{"only proxies", "10.0.0.1", []string{"10.0.0.3,10.0.0.2"}, "10.0.0.3"},
		{"garbage from the client", "10.0.0.1", []string{"';--, 203.0.113.7"}, "203.0.113.7"},
		{"garbage before a proxy", "10.0.0.1", []string{"192.0.2.1, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"garbage alone", "10.0.0.1", []string{"unknown"}, "10.0.0.1"},
		{"nothing behind the comma", "10.0.0.1", []string{"203.0.113.7,"}, "10.0.0.1"},
		{"an empty line", "10.0.0.1", []string{"203.0.113.7", ""}, "10.0.0.1"},
		{"with a port", "10.0.0.1", []string{"203.0.113.7:4711"}, "203.0.113.7"},
		{"IPv6", "2001:db8:1::1", []string{"2001:db8:2::7"}, "2001:db8:2::7"},
		{"IPv6 in brackets", "10.0.0.1", []string{"[2001:db8:2::7]"}, "2001:db8:2::7"},
		{"IPv6 with a port", "10.0.0.1", []string{"[2001:db8:2::7]:4711, 2001:db8:1::2"}, "2001:db8:2::7"},
		{"IPv6 and something behind it", "10.0.0.1", []string{"[2001:db8:2::7]x"}, "10.0.0.1"},
		{"IPv6 with a bracket open", "10.0.0.1", []string{"[2001:db8:2::7"}, "10.0.0.1"},
		{"a zone", "10.0.0.1", []string{"fe80::1%eth0"}, "10.0.0.1"},
		{"very long", "10.0.0.1", []string{strings.Repeat("1", 2000)}, "10.0.0.1"},
		{"an octal address", "10.0.0.1", []string{"0313.0.113.7"}, "10.0.0.1"},
	} {
		ctx := contextFrom(c.peer, post("/", "{}"), c.lines...)
		if got := s.of(ctx); got.String() != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if got := (&sources{}).of(contextFrom("10.0.0.1", post("/", "{}"), "203.0.113.7")); got.String() != "10.0.0.1" {
		t.Errorf("without trusted proxies: %s", got)
	}
}

// TestSourceIsShown: /apps shows the source that the proxy named.
func TestSourceIsShown(t *testing.T) {
	g := newGate(t, func(o *Options) { o.TrustedProxies = networks(t, "10.0.0.0/8") })
	for i, source := range []string{"203.0.113.7", "203.0.113.8"} { // of one pooled request after the other
		g.Handler(contextFrom("10.0.0.1", post(target(signedApp, alarm), "{}"), source))
		if got := g.sourcesShown(t); len(got) != i+1 || got[0] != source {
			t.Errorf("shown are %v, want %s first", got, source)
		}
	}
}

// sourcesShown returns the sources of the refusals of the first app on /apps, newest first.
func (g *gate) sourcesShown(t *testing.T) (list []string) {
	t.Helper()
	w := httptest.NewRecorder()
	g.AppsPage().ServeHTTP(w, httptest.NewRequest("GET", "/apps?format=json", nil))
	var p page
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	for _, r := range p.Apps[0].Refusals {
		list = append(list, r.Source)
	}
	return list
}

// TestAllowedSources: others are refused before it is looked at what they send, the list is
// replaced whole or not at all, and no header gets anyone in.
func TestAllowedSources(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sources.yaml")
	write(t, path, "sources: [203.0.113.0/24]")
	file, err := reload.Open("sources", path, edge.ParseSources, reload.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, func(o *Options) {
		unlimited(t)(o)
		o.TrustedProxies, o.AllowedSources = networks(t, "10.0.0.0/8"), file
	})
	raw := post(target(unsignedApp, alarm), "{}")
	want := func(peer, forwarded string, f refusal) {
		t.Helper()
		var lines []string
		if forwarded != "" {
			lines = []string{forwarded}
		}
		ctx := contextFrom(peer, raw, lines...)
		g.Handler(ctx)
		envelope := okEnvelope
		if f != notRefused {
			envelope = refusals[f].envelope
		}
		if got := string(ctx.Response.Body()); got != string(envelope) {
			t.Errorf("%s, forwarded for %q: %s, want %s", peer, forwarded, got, envelope)
		}
	}
	want("203.0.113.7", "", notRefused)
	want("198.51.100.7", "", refusedSource)
	want("198.51.100.7", "203.0.113.7", refusedSource)
	want("10.0.0.1", "203.0.113.7", notRefused)
	want("10.0.0.1", "", refusedSource)
	want("10.0.0.1", "203.0.113.7, 198.51.100.7", refusedSource)

	for _, broken := range []string{"sources: []", "sources: [nonsense]", ""} {
		write(t, path, broken)
		if _, err := file.Reload(); err == nil {
			t.Fatalf("%q was taken", broken)
		}
		want("203.0.113.7", "", notRefused)
		want("198.51.100.7", "", refusedSource)
	}
	write(t, path, "sources: [198.51.100.7, 127.0.0.0/8]")
	reloadNow(t, file)
	want("203.0.113.7", "", refusedSource)
	want("198.51.100.7", "", notRefused)

	raw = post(target(signedApp, alarm)+"&RequestTime=1&Sign="+vectorSign, "{}")
	want("203.0.113.7", "", refusedSource)
	if got := g.sourcesShown(t); got != nil {
		t.Errorf("those who may not send fill the app's list: %v", got)
	}
}

// TestForbiddenSourceOverTCP: an operator who is not in the list sees why, in HTTP.
func TestForbiddenSourceOverTCP(t *testing.T) {
	g := newServing(t, func(o *Options) {
		o.AllowedSources = reload.Fixed("sources", networks(t, "203.0.113.0/24"))
	})
	c := g.dial(t)
	c.send(post(target(unsignedApp, alarm), "{}"))
	c.read("POST").wantRefusal(t, refusedSource)
	c.closed()
	if n := len(g.journal.entries(t)); n != 0 {
		t.Errorf("%d entries", n)
	}
}

// TestSourceNoAllocation: neither the one behind a proxy nor the one before it costs any.
func TestSourceNoAllocation(t *testing.T) {
	skipUnderRace(t)
	g := newGate(t, func(o *Options) {
		unlimited(t)(o)
		o.TrustedProxies = networks(t, "10.0.0.0/8")
		o.AllowedSources = reload.Fixed("sources", networks(t, "203.0.113.0/24,2001:db8::/32"))
	})
	raw := post(target(unsignedApp, otherCommand), "{}")
	for name, c := range map[string]struct {
		ctx  *fasthttp.RequestCtx
		want int
	}{
		"not a proxy":          {contextFrom("203.0.113.7", raw, "192.0.2.1"), 200},
		"a proxy":              {contextFrom("10.0.0.1", raw, "192.0.2.1, 203.0.113.7:4711"), 200},
		"a proxy, IPv6":        {contextFrom("10.0.0.1", raw, "192.0.2.1, 2001:db8::7"), 200},
		"a source not allowed": {contextFrom("198.51.100.7", raw), 403},
	} {
		if n := testing.AllocsPerRun(200, func() {
			g.Handler(c.ctx)
			if c.ctx.Response.StatusCode() != c.want {
				t.Fatalf("%s: status %d", name, c.ctx.Response.StatusCode())
			}
			c.ctx.Response.Reset()
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// FuzzForwarded: whatever stands in the header, what it says is an address that stands in it,
// or the peer; and nobody who may write only its beginning can change the outcome.
func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{"", "203.0.113.7", "192.0.2.1, 10.0.0.2", "[2001:db8::1]:443,", ",,,", "1.2.3.4:5:6", "fe80::1%1"} {
		f.Add(seed, "203.0.113.9, 10.0.0.2")
	}
	s := sources{trusted: networks(f, "10.0.0.0/8")}
	peer := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, forged, honest string) {
		alone := s.forwarded(peer, [][]byte{[]byte(honest)})
		if !alone.IsValid() || alone.Zone() != "" || alone.Is4In6() {
			t.Fatalf("%q: %v", honest, alone)
		}
		if s.trusted.Contains(alone) {
			return // the walk goes on
		}
		for _, lines := range [][][]byte{{[]byte(fmt.Sprintf("%s, %s", forged, honest))}, {[]byte(forged), []byte(honest)}} {
			if got := s.forwarded(peer, lines); got != alone {
				t.Fatalf("%q before %q makes it %v, was %v", forged, honest, got, alone)
			}
		}
	})
}
