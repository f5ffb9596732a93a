package receive

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/reload"
)

// TestPlainRequests: what is one, so that what clients really send does not take the long way, and what is
// left to fasthttp.
func TestPlainRequests(t *testing.T) {
	const line = "POST /?a=b HTTP/1.1\r\n"
	headers := func(lines ...string) string {
		return line + strings.Join(append(lines, "Content-Length: 2", "", "{}"), "\r\n")
	}
	for _, tt := range []struct {
		name, input string
		plain       bool
	}{
		{"what must be there", headers("Host: h"), true},
		{"Go", headers("Host: gw.example:8080", "User-Agent: Go-http-client/1.1", "Content-Type: application/json", "Accept-Encoding: gzip"), true},
		{"curl", headers("Host: 127.0.0.1:8080", "User-Agent: curl/8.5.0", "Accept: */*", "Content-Type: application/x-www-form-urlencoded"), true},
		{"nginx", headers("Host: gw", "X-Forwarded-For: 192.0.2.1, 10.0.0.1", "X-Real-IP: 192.0.2.1", "Connection: keep-alive"), true},
		{"names in any case", headers("hOST:h", "coNNection:\tKeep-Alive "), true},
		{"traced", headers("Host: h", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), true},
		{"a long path", strings.Replace(headers("Host: h"), "/?", "/tim/call_back.v4/?", 1), true},

		{"nothing", "", false},
		{"GET", strings.Replace(headers("Host: h"), "POST", "GET", 1), false},
		{"HTTP/1.0", strings.Replace(headers("Host: h"), "1.1", "1.0", 1), false},
		{"no target", "POST  HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}", false},
		{"a query alone", strings.Replace(headers("Host: h"), "/?", "?", 1), false},
		{"an absolute target", strings.Replace(headers("Host: h"), "/?", "http://h/?", 1), false},
		{"a target that may be a host", strings.Replace(headers("Host: h"), "/?", "//h/?", 1), false},
		{"percent-encoding in the path", strings.Replace(headers("Host: h"), "/?", "/%41?", 1), false},
		{"not ASCII", strings.Replace(headers("Host: h"), "a=b", "a=ü", 1), false},
		{"an empty line before it", "\r\n" + headers("Host: h"), false},
		{"a bare LF", strings.Replace(headers("Host: h"), "h\r\n", "h\n", 1), false},
		{"a bare CR in a value", headers("Host: h", "X: a\rb"), false},
		{"NUL in a value", headers("Host: h", "X: a\x00b"), false},
		{"a blank before the colon", headers("Host : h"), false},
		{"a line that goes on", headers("Host: h", "X: a", " b"), false},
		{"a line without a colon", headers("Host: h", "X"), false},
		{"no Host", headers("X: a"), false},
		{"an empty Host", headers("Host:"), false},
		{"two Hosts", headers("Host: h", "Host: h"), false},
		{"a Host that is none", headers("Host: a/b"), false},
		{"a Host of IPv6", headers("Host: [::1]"), false},
		{"two lengths", headers("Host: h", "Content-Length: 2"), false},
		{"a signed length", line + "Host: h\r\nContent-Length: +2\r\n\r\n{}", false},
		{"no length", line + "Host: h\r\n\r\n", false},
		{"no body", line + "Host: h\r\nContent-Length: 0\r\n\r\n", false},
		{"chunked", headers("Host: h", "Transfer-Encoding: chunked"), false},
		{"the last one", headers("Host: h", "Connection: close"), false},
		{"more than keep-alive", headers("Host: h", "Connection: keep-alive, x"), false},
		{"asks first", headers("Host: h", "Expect: 100-continue"), false},
		{"trailers", headers("Host: h", "Trailer: X"), false},
		{"half a body", strings.TrimSuffix(headers("Host: h"), "}"), false},
		{"more behind it", headers("Host: h") + "P", false},
		{"the longest body", line + "Host: h\r\nContent-Length: 4096\r\n\r\n" + strings.Repeat("x", earlyBytes), true},
		{"a longer body", line + "Host: h\r\nContent-Length: 4097\r\n\r\n" + strings.Repeat("x", earlyBytes+1), false},
	} {
		var p plainRequest
		if got := p.read([]byte(tt.input)); got != tt.plain {
			t.Errorf("%s: %t, want %t: %q", tt.name, got, tt.plain, tt.input)
		}
	}
}

// datePattern is what of an answer is not the same each time.
var datePattern = regexp.MustCompile(`Date: [^\r]*`)

// comparison is two gates that are given the same: one whole, so that it may be plain, and one in pieces, so
// that it is fasthttp's.
type comparison struct {
	whole, pieces *gate
	all           *connections
}

func newComparison(t testing.TB, change func(o *Options)) *comparison {
	return &comparison{newGate(t, change), newGate(t, change), newConnections(timeouts{})}
}

// differ says in which way the two differ after input.
func (p *comparison) differ(t *testing.T, input []byte) string {
	t.Helper()
	var texts [2][]byte
	for i, g := range []*gate{p.whole, p.pieces} {
		g.journal.payloads, g.journal.reserves, g.journal.levels = nil, nil, nil
		texts[i] = datePattern.ReplaceAll(g.inMemory(p.all, bytes.Clone(input), []int{0, len(input) - 1}[i]), []byte("Date"))
	}
	w, o := p.whole, p.pieces
	switch {
	case !bytes.Equal(texts[0], texts[1]):
		return fmt.Sprintf("answered %q, by fasthttp %q", texts[0], texts[1])
	case !slices.EqualFunc(w.journal.payloads, o.journal.payloads, bytes.Equal) ||
		!slices.Equal(w.journal.reserves, o.journal.reserves) || !slices.Equal(w.journal.levels, o.journal.levels):
		return fmt.Sprintf("appended %q, by fasthttp %q", w.journal.payloads, o.journal.payloads)
	}
	if a, b := counted(t, w), counted(t, o); a != b {
		return fmt.Sprintf("counted\n%s\nby fasthttp\n%s", a, b)
	}
	return ""
}

// counted is what /apps and the metrics say.
func counted(t *testing.T, g *gate) string {
	t.Helper()
	page, err := json.Marshal(g.page())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(string(page), gather(t, g, "tidegate_gateway_callbacks_total"))
}

// plainish returns a request that is plain, or nearly.
func plainish(random *rand.Rand) []byte {
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	sometimes := func(one string, of ...string) string {
		if random.IntN(4) > 0 {
			return one
		}
		return pick(of...)
	}
	path := sometimes("/", "/tim", "/a/b.c_d-e~", "//h", "/%41", "", "*", "/tim/")
	command := sometimes(alarm, otherCommand, "Memory.X", "Broker.X", "State.Dropped", "C2C.CallbackBeforeSendMsg",
		"Group.CallbackBeforeKept", "", "a b", "a%20b", "x;y", "\xff")
	app := sometimes(fmt.Sprint(unsignedApp), fmt.Sprint(signedApp), fmt.Sprint(rotatingApp), fmt.Sprint(unknownApp), "0", "", "x", "1&SdkAppid=2")
	query := "SdkAppid=" + app + "&CallbackCommand=" + command
	query += sometimes("", "&Sign="+vectorSign+"&RequestTime="+vectorRequestTime, "&Sign="+vectorSign+"&RequestTime=1", "&Sign=x",
		"&Sign="+strings.Repeat("0", 64)+"&RequestTime="+vectorRequestTime, "&Sign="+sign("xxxxyyyy", "1")+"&RequestTime=1")
	query += sometimes("&contenttype=json&ClientIP=10.0.0.1&OptPlatform=RESTAPI", "&ClientIP=%00", "&a=%zz", "&a=1+2&ClientIP=a%20b", "#x", "&ü=ü")
	body := sometimes(alarmBody, "{}", "", strings.Repeat("x", 4096), strings.Repeat("x", 5000))
	lines := []string{
		sometimes("Host: h", "Host: gw.example:8080", "host:h ", "Host: ", "Host: a/b", "Host: [::1]:80", "Host: a:b", "Host: h\r\nHost: h", "X: y"),
		sometimes(fmt.Sprintf("Content-Length: %d", len(body)), fmt.Sprintf("content-length:%03d\t", len(body)),
			fmt.Sprintf("Content-Length: +%d", len(body)), "Content-Length: x", "Content-Length: 2", "Transfer-Encoding: chunked"),
	}
	for range random.IntN(4) {
		lines = append(lines, pick("User-Agent: curl/8.5.0", "Accept: */*", "X-Forwarded-For: 192.0.2.200, 192.0.2.7", "x-forwarded-for: 192.0.2.201:80",
			"Connection: keep-alive", "Connection: close", "Connection: upgrade", "Connection:", "Upgrade: h2c", "Expect: 100-continue", "Trailer: X",
			"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Traceparent: 00-0", "Cookie: a=b; c", "Content-Encoding: gzip",
			"Content-Type: multipart/form-data; boundary=x", "Content-Type: ", ":x", "X", "X : y", " x: y", "X: \xff", "X: a\tb", "X_Y: z", "X: \x7f"))
	}
	random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	return []byte("POST " + path + "?" + query + " HTTP/1.1\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n" + body)
}

// TestPlainIsFasthttp: the answers, the journal and the counters are the same to the byte whether a
// plain request was answered as one, or by fasthttp; with a byte changed, too. The connection is one in memory,
// which holds no answers.
func TestPlainIsFasthttp(t *testing.T) {
	limited := func(o *Options) {
		o.TrustedProxies = networks(t, "192.0.2.7/32")
		o.AuthFailuresPerSecond = 0.5
	}
	for name, change := range map[string]func(o *Options){
		"any path, no limits": func(o *Options) { j, now := o.Journal, o.Now; unlimited(t)(o); o.Journal, o.Now = j, now },
		"limits and proxies":  limited,
		"one path":            func(o *Options) { o.Path = "/tim" },
		"journal full":        func(o *Options) { o.Journal.(*fakeJournal).appendErr = journal.ErrFull },
		"journal closed":      func(o *Options) { o.Journal.(*fakeJournal).appendErr = journal.ErrClosed },
		"not confirmed":       func(o *Options) { o.Journal.(*fakeJournal).waitErr = journal.ErrParked },
		"small bodies":        func(o *Options) { o.MaxBodyBytes = 50 },
		"topic full":          func(o *Options) { o.TopicFull = func(string) bool { return true } },
		"few sources": func(o *Options) {
			limited(o)
			o.AllowedSources = reload.Fixed("sources", networks(t, "192.0.2.200/32"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 0)) //nolint:gosec // repeatable on purpose
			p := newComparison(t, change)
			plain, left := 0, 0
			handler := p.whole.server.Handler
			p.whole.server.Handler = func(ctx *fasthttp.RequestCtx) { left++; handler(ctx) }
			for n := 0; n < 3000 || plain-left < 50 && n < 30000; n++ {
				input := plainish(random)
				if n%4 == 3 {
					input[random.IntN(len(input))] = oddBytes[random.IntN(len(oddBytes))]
				}
				var one plainRequest
				if !one.read(input) {
					continue
				}
				plain++
				passed := time.Duration(random.IntN(2)) * time.Millisecond * 100
				p.whole.clock.add(passed)
				p.pieces.clock.add(passed)
				if text := p.differ(t, input); text != "" {
					t.Fatalf("after %d: %q: %s", n, input, text)
				}
			}
			t.Logf("%d inputs were plain, %d of them were left to fasthttp all the same", plain, left)
			if plain-left < 50 {
				t.Errorf("only %d inputs were answered as plain", plain-left)
			}
		})
	}
}

// TestPlainThenAny: what fasthttp reads after plain requests, on the same connection, it reads as if they had
// not been.
func TestPlainThenAny(t *testing.T) {
	b, g, all := newBreeder(t, 1), newWire(t), newConnections(timeouts{})
	first := []byte(post(target(unsignedApp, "First.X"), alarmBody))
	for range 3000 {
		input := append(bytes.Clone(first), b.next()...)
		g.journal.payloads, g.journal.reserves, g.journal.levels = nil, nil, nil
		output := g.inMemory(all, bytes.Clone(input), len(first))
		if answers, err := checkWire(input, output, g.journal.entries(t)); err != nil || len(answers) == 0 || answers[0].status != http.StatusOK {
			t.Fatalf("%q: answers %v, %v", input, answers, err)
		}
	}
}

// TestPlainConnection: a connection on which fasthttp has seen no request ends as others do: without a
// word when it was silent for too long, at once when the client ends its side after its first request (a later one: TestHalfClosedLater).
func TestPlainConnection(t *testing.T) {
	g := newServing(t, func(o *Options) {
		j := o.Journal
		unlimited(t)(o)
		o.Journal, o.IdleTimeout = j, 300*time.Millisecond
	})
	one := post(target(unsignedApp, alarm), "{}")

	c := g.dial(t)
	for range 3 {
		c.send(one)
		c.read("POST").wantOK(t)
	}
	c.closed()

	patient := newServing(t, nil).dial(t) // its gate waits for two minutes
	patient.send(one)
	if err := patient.conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	patient.read("POST").wantOK(t)
	if _, err := patient.r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection ends with %v", err)
	}

	if n := gather(t, g, "tidegate_gateway_callbacks_total")["timeout refused "]; n != 0 {
		t.Errorf("%v requests were counted that never came", n)
	}
}

// TestPlainAndOthers: on one connection, both kinds take turns, each is answered, and each callback comes
// once, in the order sent.
func TestPlainAndOthers(t *testing.T) {
	g := newServing(t, func(o *Options) { j := o.Journal; unlimited(t)(o); o.Journal = j })
	c := g.dial(t)
	var sent []string
	for n := range 400 {
		text := func(body string) string {
			sent = append(sent, body)
			return post(target(unsignedApp, []string{alarm, "Memory.X", "Broker.X"}[n%3]), body)
		}
		malformed := post("/?SdkAppid=x", "{}")
		raw := text(fmt.Sprint(n + 1000))
		switch n % 5 {
		case 1: // not plain
			c.send(strings.Replace(raw, "Host: h", "Host: h\r\nConnection: x", 1))
			c.read("POST").wantOK(t)
		case 2: // two at once
			c.send(raw + malformed)
			c.read("POST").wantOK(t)
			c.read("POST").wantRefusal(t, refusedAppMalformed)
		case 3: // each before the answer to the one before
			c.send(raw)
			c.send(malformed)
			c.send(text(fmt.Sprint(n + 2000)))
			c.read("POST").wantOK(t)
			c.read("POST").wantRefusal(t, refusedAppMalformed)
			c.read("POST").wantOK(t)
		default:
			c.send(raw)
			c.read("POST").wantOK(t)
		}
	}
	entries := g.journal.entries(t)
	if len(entries) != len(sent) {
		t.Fatalf("%d callbacks came, %d were sent", len(entries), len(sent))
	}
	for i, e := range entries {
		if string(e.Callback.Body) != sent[i] {
			t.Fatalf("callback %d is %s, want %s", i, e.Callback.Body, sent[i])
		}
	}
}

// TestPlainHeldIsFasthttp: a held answer is the same to the byte, confirmed or not, and so is one that is too long
// to be held.
func TestPlainHeldIsFasthttp(t *testing.T) {
	for name, change := range map[string]func(o *Options){
		"confirmed":     func(o *Options) {},
		"not confirmed": func(o *Options) { o.Journal.(*fakeJournal).waitErr = journal.ErrParked },
		"a long answer": func(o *Options) {
			o.Routes = reload.Fixed("routes", parseRoutes(t, `routes: [{command: "*", topic: im.callbacks.raw, answer: {ErrorInfo: "`+strings.Repeat("long ", 2000)+`"}}]`))
		},
	} {
		g := newServing(t, change)
		fasthttps := 0
		handler := g.server.Handler
		g.server.Handler = func(ctx *fasthttp.RequestCtx) { fasthttps++; handler(ctx) }
		plain := post(target(signedApp, alarm)+"&Sign="+vectorSign+"&RequestTime="+vectorRequestTime, alarmBody)
		texts := [2]string{}
		for i, raw := range []string{plain, strings.Replace(plain, "Host: h", "Host: h\r\nConnection: x", 1)} {
			c := g.dial(t)
			for range 2 {
				c.send(raw)
				var text bytes.Buffer
				resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(c.conn, &text)), nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadAll(resp.Body); err != nil {
					t.Fatal(err)
				}
				texts[i] += datePattern.ReplaceAllString(text.String(), "Date")
			}
			if fasthttps != 2*i {
				t.Errorf("%s: fasthttp had %d requests, want %d", name, fasthttps, 2*i)
			}
		}
		if texts[0] != texts[1] {
			t.Errorf("%s: answered %q, by fasthttp %q", name, texts[0], texts[1])
		}
	}
}

// TestPlainNoAllocation is TestNoAllocation for a plain request, from its bytes to those of its answer. None is held.
func TestPlainNoAllocation(t *testing.T) {
	skipUnderRace(t)
	g := newGate(t, func(o *Options) {
		unlimited(t)(o)
		o.Quarantine = func(*Refused) {}
		o.TrustedProxies = networks(t, "192.0.2.7/32")
		o.AllowedSources = reload.Fixed("sources", networks(t, "192.0.2.7/32,192.0.2.8/32"))
	})
	all := newConnections(timeouts{read: time.Hour, idle: time.Hour, write: time.Hour})
	for _, tt := range []struct{ name, raw, want string }{
		{"memory", post(target(unsignedApp, "Memory.X"), alarmBody), " 200 "},
		{"signed alarm", post(signed(alarm), alarmBody), " 200 "},
		{"for another", strings.Replace(post(signed(alarm), alarmBody), "Host", "X-Forwarded-For: 192.0.2.8\r\nHost", 1), " 200 "},
		{"dropped", post(signed("State.StateChange"), "{}"), " 200 "},
		{"wrong Sign", post(target(signedApp, alarm)+"&RequestTime=1&Sign="+vectorSign, "{}"), " 401 "},
		{"unknown app", post(target(unknownApp, alarm), "{}"), " 403 "},
	} {
		under := &memoryConn{}
		c := all.add(under, g.Receiver)
		c.piece = []byte(tt.raw)
		if n := testing.AllocsPerRun(200, func() {
			under.output.Reset()
			if !c.servePlain(len(tt.raw)) {
				t.Fatalf("%s: not plain", tt.name)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
		if !strings.Contains(under.output.String(), tt.want) {
			t.Errorf("%s: %q", tt.name, under.output.String())
		}
	}
}

// TestNotPlain is the tests of held answers and of how connections end once more, with requests that are not
// plain: fasthttp takes these, as it does whatever comes in pieces.
func TestNotPlain(t *testing.T) {
	postedWith = "Connection: x\r\n"
	defer func() { postedWith = "" }()
	for name, test := range map[string]func(t *testing.T){
		"HeldAnswer":             TestHeldAnswer,
		"HeldAnswerNotConfirmed": TestHeldAnswerNotConfirmed,
		"HeldOneAtATime":         TestHeldOneAtATime,
		"HeldClientGone":         TestHeldClientGone,
		"HeldWhileLeaving":       TestHeldWhileLeaving,
		"HeldForNobody":          TestHeldForNobody,
		"HeldForADeafClient":     TestHeldForADeafClient,
		"LastWords":              TestLastWords,
		"ShutdownCutsNobody":     TestShutdownCutsNobody,
		"Shutdown":               TestShutdown,
		"Leave":                  TestLeave,
		"IdleTimeout":            TestIdleTimeout,
		"RestIsEarned":           TestRestIsEarned,
		"DeafClient":             TestDeafClient,
		"CutTakesNoMore":         TestCutTakesNoMore,
	} {
		t.Run(name, test)
	}
}

// TestHalfClosedLater: a client that ends its side together with a request which is not its first is seen to have
// done so soon, also where a connection may rest for ever.
func TestHalfClosedLater(t *testing.T) {
	for _, idle := range []time.Duration{time.Hour, -1} {
		g := newServing(t, func(o *Options) { o.IdleTimeout, o.ReadTimeout = idle, time.Second })
		for n := range 20 {
			c := g.dial(t)
			one := post(target(unsignedApp, "Drop.X"), "{}")
			for range 3 {
				c.send(one)
				c.read("POST").wantOK(t)
			}
			if n == 0 {
				time.Sleep(400 * time.Millisecond) // three sweeps: it was asked once in this rest
			}
			c.send(one)
			if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			c.read("POST").wantOK(t)
			if _, err := c.r.ReadByte(); !errors.Is(err, io.EOF) {
				t.Fatalf("the connection ends with %v", err)
			}
		}
	}
}

// TestCutTakesNoMore: of a client that did not take an answer in time nothing more is taken, whole or in part,
// although it lies in the kernel's buffer.
func TestCutTakesNoMore(t *testing.T) {
	one := post(target(unsignedApp, alarm), "{}")
	const padded = "Host: h\r\nX: "
	for name, behind := range map[string]string{
		"whole": strings.Replace(one, "Host: h", padded+strings.Repeat("x", DefaultMaxHeaderBytes-len(one)-len(padded)+len("Host: h")), 1),
		"part":  one[:40],
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, func(o *Options) {
				j := o.Journal
				unlimited(t)(o)
				o.Journal, o.WriteTimeout = j, 300*time.Millisecond
			})
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			g.serveOn(t, narrow{ln})
			deaf := deafTo(t, g.addr)
			taken := func() int { return len(g.journal.entries(t)) }
			sent := 0
			for stuck := false; !stuck; sent++ {
				if _, err := deaf.Write([]byte(one)); err != nil {
					t.Fatal(err)
				}
				for began := time.Now(); taken() <= sent && !stuck; time.Sleep(100 * time.Microsecond) {
					stuck = time.Since(began) > 40*time.Millisecond
				}
			}
			for range 20 {
				_, _ = deaf.Write([]byte(behind))
			}
			before := taken()
			for began := time.Now(); g.server.GetOpenConnectionsCount() > 0; time.Sleep(time.Millisecond) {
				if time.Since(began) > 10*time.Second {
					t.Fatal("the connection stays")
				}
			}
			if now := taken(); now != before {
				t.Errorf("%d callbacks were taken behind the cut", now-before)
			}
			if n := gather(t, g, "tidegate_gateway_callbacks_total")["http refused "]; n != 0 {
				t.Errorf("%v requests were refused that nobody can be told of", n)
			}
		})
	}
}
