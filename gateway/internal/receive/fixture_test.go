package receive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/reload"
)

// The vendor's vector: token, RequestTime and the Sign that follows (protocol: Signature).
const (
	vectorToken       = "xxxxyyyy"
	vectorRequestTime = "1669872112"
	vectorSign        = "17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061"
)

// vectorNow is a second after the vector's RequestTime.
var vectorNow = time.Unix(1669872113, 0).UTC()

const (
	signedApp   = 1400000001 // token: the vector's
	unsignedApp = 1400000002
	rotatingApp = 1400000003 // two tokens
	unknownApp  = 1499999999
)

const testApps = `
apps:
  - {sdk_app_id: 1400000001, name: Harbor Chat, owner: team-harbor, tokens: ["plain:xxxxyyyy"]}
  - {sdk_app_id: 1400000002, name: Open, owner: team-open, rate_limit: {per_second: 10, burst: 2}}
  - {sdk_app_id: 1400000003, name: Rotating, owner: team-rotate, tokens: ["plain:new-token", "plain:old-token"]}
`

const testRoutes = `
routes:
  - {command: "Group.CallbackAfter*", topic: im.callbacks.raw}
  - {command: "Memory.*", topic: im.callbacks.raw, ack: memory}
  - {command: "Broker.*", topic: im.callbacks.raw, ack: broker}
  - {command: C2C.CallbackBeforeSendMsg, drop: true, answer: {ErrorCode: 1, ErrorInfo: "no"}}
  - {command: Group.CallbackBeforeKept, topic: im.callbacks.raw}
`

const (
	okAnswer     = `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`
	alarm        = "Group.CallbackOnDailyGroupQuotaAlarm"
	alarmBody    = `{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":7321,"Quota":10000,"EventTime":"1670574414123"}`
	otherCommand = "Group.CallbackAfterGroupInfoChanged"
)

// fakeJournal is a journal in memory that does as it is told.
type fakeJournal struct {
	mu        sync.Mutex
	payloads  [][]byte
	reserves  []bool
	levels    []journal.Level
	appendErr error
	tries     int   // TryAppends
	tryErr    error // of TryAppend
	waitErr   error
	waiting   chan struct{} // receives one value per Wait, if not nil
	gate      chan struct{} // Wait returns when it is closed, if not nil
}

func (j *fakeJournal) Append(reserve bool, fill func([]byte) []byte) (journal.Ticket, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.appendErr != nil {
		return journal.Ticket{}, j.appendErr
	}
	j.payloads = append(j.payloads, fill(nil))
	j.reserves = append(j.reserves, reserve)
	return journal.Ticket{LSN: journal.LSN(len(j.payloads))}, nil
}

// TryAppend is Append, but where appends that may wait would.
func (j *fakeJournal) TryAppend(reserve bool, fill func([]byte) []byte) (journal.Ticket, error) {
	j.mu.Lock()
	j.tries++
	err := j.tryErr
	j.mu.Unlock()
	if err != nil {
		return journal.Ticket{}, err
	}
	return j.Append(reserve, fill)
}

func (j *fakeJournal) Wait(_ journal.Ticket, level journal.Level) error {
	if j.waiting != nil {
		j.waiting <- struct{}{}
	}
	if j.gate != nil {
		<-j.gate
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.levels = append(j.levels, level)
	return j.waitErr
}

// Notify tells w what Wait returns, when it does.
func (j *fakeJournal) Notify(t journal.Ticket, w *journal.Waiter) bool {
	go func() { w.Tell(j.Wait(t, journal.Disk)) }()
	return true
}

// entries returns what was appended so far.
func (j *fakeJournal) entries(t *testing.T) []entry.Entry {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []entry.Entry
	for _, p := range j.payloads {
		e, err := entry.Parse(p)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func parseApps(t testing.TB, text string) *apps.Snapshot {
	t.Helper()
	snapshot, problems := apps.Parser(apps.Options{ResolveTokens: true})([]byte(text))
	if len(problems.Errors()) > 0 {
		t.Fatalf("apps: %v", problems)
	}
	return snapshot
}

func parseRoutes(t testing.TB, text string) *Routes {
	t.Helper()
	routes, problems := ParseRoutes(RouteOptions{Ack: journal.Disk})([]byte(text))
	if len(problems) > 0 {
		t.Fatalf("routes: %v", problems)
	}
	return routes
}

// clock is a time that a test sets.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// gate is a Receiver with everything that a test looks at.
type gate struct {
	*Receiver
	journal *fakeJournal
	clock   *clock
	metrics *prometheus.Registry
	addr    string // of Serve, see serve
}

// newGate returns a Receiver over a fakeJournal at the vector's time. change may be nil.
func newGate(t testing.TB, change func(o *Options)) *gate {
	t.Helper()
	g := &gate{journal: new(fakeJournal), clock: &clock{t: vectorNow}, metrics: prometheus.NewPedanticRegistry()}
	o := Options{
		Journal:     g.journal,
		Apps:        reload.Fixed("apps", parseApps(t, testApps)),
		Routes:      reload.Fixed("routes", parseRoutes(t, testRoutes)),
		GatewayName: "gw-test",
		Now:         g.clock.now,
		Metrics:     g.metrics,
	}
	if change != nil {
		change(&o)
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	g.Receiver = r
	return g
}

// serve starts the Receiver on a loopback port until the test ends.
func (g *gate) serve(t testing.TB) *gate {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return g.serveOn(t, ln)
}

// serveOn is serve for a listener, which it owns.
func (g *gate) serveOn(t testing.TB, ln net.Listener) *gate {
	t.Helper()
	g.addr = ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- g.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := g.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return g
}

func newServing(t testing.TB, change func(o *Options)) *gate {
	t.Helper()
	return newGate(t, change).serve(t)
}

// reply is one answer as it came over the wire.
type reply struct {
	status int
	header http.Header
	body   string
	close  bool
}

// client is one connection to a gate.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func (g *gate) dial(t testing.TB) *client {
	t.Helper()
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, conn: conn, r: bufio.NewReader(conn)}
}

func (c *client) send(raw string) {
	c.t.Helper()
	// The gateway may answer and close before it has read everything.
	_, _ = io.WriteString(c.conn, raw)
}

// read reads one answer to a request of method.
func (c *client) read(method string) reply {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("answer does not parse as HTTP: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("body of the answer: %v", err)
	}
	return reply{resp.StatusCode, resp.Header, string(body), resp.Close}
}

// closed fails the test unless the gateway has ended the connection without a further byte.
func (c *client) closed() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		rest, _ := io.ReadAll(c.r)
		c.t.Errorf("after the answer came %q", append([]byte{b}, rest...))
	}
}

// exchange sends raw on a new connection and returns the first answer.
func (g *gate) exchange(t testing.TB, raw string) reply {
	t.Helper()
	c := g.dial(t)
	c.send(raw)
	method, _, _ := strings.Cut(raw, " ")
	return c.read(method)
}

// wantRefusal fails the test unless r is exactly the answer of f.
func (r reply) wantRefusal(t testing.TB, f refusal) {
	t.Helper()
	row := &refusals[f]
	if r.status != row.status {
		t.Errorf("status %d, want %d", r.status, row.status)
	}
	if want := fmt.Sprintf(`{"ActionStatus":"FAIL","ErrorInfo":"%s","ErrorCode":%d}`, row.text, f); r.body != want {
		t.Errorf("body %s, want %s", r.body, want)
	}
	if (row.retryAfter > 0) != (r.header.Get("Retry-After") != "") {
		t.Errorf("Retry-After %q, the table says %d", r.header.Get("Retry-After"), row.retryAfter)
	}
	if row.close && !r.close {
		t.Error("the connection stays open")
	}
	r.wantEnvelope(t)
}

// wantOK fails the test unless r is the constant answer.
func (r reply) wantOK(t testing.TB) {
	t.Helper()
	if r.status != http.StatusOK || r.body != okAnswer {
		t.Errorf("status %d, body %s, want 200 and %s", r.status, r.body, okAnswer)
	}
	r.wantEnvelope(t)
}

// wantEnvelope checks what all answers have in common.
func (r reply) wantEnvelope(t testing.TB) {
	t.Helper()
	if got := r.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
	if got, ok := r.header["Server"]; ok {
		t.Errorf("Server %q is nobody's business", got)
	}
	if _, err := http.ParseTime(r.header.Get("Date")); err != nil {
		t.Errorf("Date %q", r.header.Get("Date"))
	}
	var envelope struct{ ActionStatus, ErrorInfo, ErrorCode *json.RawMessage }
	decoder := json.NewDecoder(bytes.NewReader([]byte(r.body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&envelope); err != nil || envelope.ActionStatus == nil || envelope.ErrorInfo == nil || envelope.ErrorCode == nil {
		t.Errorf("body %s is not the envelope: %v", r.body, err)
	}
}

// postedWith is a header that post sends, with its line end, or empty. See TestNotPlain. Tests that set it must
// not run beside others.
var postedWith string

// post writes a whole request as a client does that sends only what it must.
func post(target, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\n%sContent-Length: %d\r\n\r\n%s", target, postedWith, len(body), body)
}

// target is a URL of the vendor's for an app and a command.
func target(app int64, command string) string {
	return fmt.Sprintf("/?SdkAppid=%d&CallbackCommand=%s&contenttype=json&ClientIP=10.0.0.1&OptPlatform=RESTAPI", app, command)
}

// signed is a signed URL of signedApp.
func signed(command string) string {
	return target(signedApp, command) + "&Sign=" + vectorSign + "&RequestTime=" + vectorRequestTime
}

// sign computes a Sign.
func sign(token, requestTime string) string {
	sum := sha256.Sum256([]byte(token + requestTime))
	return hex.EncodeToString(sum[:])
}

func fixedApps(t testing.TB) *reload.File[*apps.Snapshot] {
	return reload.Fixed("apps", parseApps(t, testApps))
}
