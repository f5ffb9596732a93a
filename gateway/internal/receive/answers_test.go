package receive

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/reload"
	"github.com/tidegate/tidegate/schema"
)

// TestAnswers sends one request per row over TCP and reads the answer off the wire. It has
// every row of the table of answers, most of them more than once.
func TestAnswers(t *testing.T) {
	good := target(unsignedApp, alarm)
	chunked := func(target, chunks string) string {
		return "POST " + target + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
	}
	const taken = notRefused
	tests := []struct {
		name   string
		raw    string
		want   refusal
		change func(o *Options)
	}{
		{name: "the alarm of an app without tokens", raw: post(good, alarmBody), want: taken},
		{name: "the alarm, signed: the vendor's vector", raw: post(signed(alarm), alarmBody), want: taken},
		{name: "another command, kept", raw: post(signed(otherCommand), "{}"), want: taken},
		{name: "another command, dropped", raw: post(signed("State.StateChange"), "{}"), want: taken},
		{name: "a command that nobody has heard of", raw: post(signed("New.Family_2031-x"), "{}"), want: taken},
		{name: "the vendor's sample with comments: the consumer's business", raw: post(good, "{ // used\n}"), want: taken},
		{name: "any bytes as a body", raw: post(good, "\x00\xff\xfe"), want: taken},
		{name: "parameters in another order", raw: post("/?OptPlatform=Web&CallbackCommand="+alarm+"&SdkAppid=1400000002", "{}"), want: taken},
		{name: "only the two parameters that must be there", raw: post("/?SdkAppid=1400000002&CallbackCommand="+alarm, "{}"), want: taken},
		{name: "absolute URL", raw: post("http://elsewhere/?SdkAppid=1400000002&CallbackCommand="+alarm, "{}"), want: taken},
		{name: "chunked body", raw: chunked(good, "5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n"), want: taken},
		{name: "HTTP/1.0", raw: "POST " + good + " HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", want: taken},
		{name: "multipart is bytes like any other", raw: "POST " + good + " HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 2\r\n\r\n{}", want: taken},
		{name: "lower-case hex or upper-case hex", raw: post(strings.Replace(signed(alarm), vectorSign, strings.ToUpper(vectorSign), 1), "{}"), want: taken},
		{name: "percent-encoded values", raw: post("/?SdkAppid=%31400000002&CallbackCommand=Group%2ECallbackOnDailyGroupQuotaAlarm", "{}"), want: taken},
		{name: "percent-encoded names", raw: post("/?%53dkAppid=1400000002&Callback%43ommand="+alarm, "{}"), want: taken},
		{name: "the configured path", raw: post("/im/cn?"+good[2:], "{}"), want: taken, change: func(o *Options) { o.Path = "/im/cn" }},
		{name: "an unknown app, accepted", raw: post(target(unknownApp, alarm), "{}"), want: taken, change: func(o *Options) { o.AcceptUnknown = true }},

		{name: "GET", raw: "GET " + good + " HTTP/1.1\r\nHost: h\r\n\r\n", want: refusedMethod},
		{name: "PUT with a body", raw: strings.Replace(post(good, "{}"), "POST", "PUT", 1), want: refusedMethod},
		{name: "OPTIONS", raw: "OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n", want: refusedMethod},
		{name: "a method in lower case", raw: strings.Replace(post(good, "{}"), "POST", "post", 1), want: refusedMethod},
		{name: "another path", raw: post(good, "{}"), want: refusedPath, change: func(o *Options) { o.Path = "/im/cn" }},
		{name: "the path with a slash too many", raw: post("/im/cn/?"+good[2:], "{}"), want: refusedPath, change: func(o *Options) { o.Path = "/im/cn" }},
		{name: "not HTTP", raw: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", want: refusedHTTP},
		{name: "no version", raw: "POST /\r\n\r\n", want: refusedHTTP},
		{name: "HTTP/1.1 without Host", raw: "POST " + good + " HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", want: refusedHTTP},
		{name: "fragment in the target", raw: post(good+"#x", "{}"), want: refusedHTTP},
		{name: "a broken chunk", raw: chunked(good, "zz\r\n{}\r\n0\r\n\r\n"), want: refusedHTTP},
		{name: "Content-Length and Transfer-Encoding", raw: "POST " + good + " HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", want: refusedHTTP},
		{name: "two different Content-Lengths", raw: "POST " + good + " HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", want: refusedHTTP},

		{name: "no query at all", raw: post("/", "{}"), want: refusedAppMissing},
		{name: "no SdkAppid", raw: post("/?CallbackCommand="+alarm, "{}"), want: refusedAppMissing},
		{name: "SdkAppid in another spelling", raw: post("/?SDKAppID=1400000002&CallbackCommand="+alarm, "{}"), want: refusedAppMissing},
		{name: "two SdkAppid", raw: post(good+"&SdkAppid=1400000001", "{}"), want: refusedAppDoubled},
		{name: "two equal SdkAppid", raw: post(good+"&SdkAppid=1400000002", "{}"), want: refusedAppDoubled},
		{name: "two SdkAppid, one with an encoded name", raw: post(good+"&SdkApp%69d=1400000001", "{}"), want: refusedAppDoubled},
		{name: "SdkAppid of words", raw: post("/?SdkAppid=abc&CallbackCommand="+alarm, "{}"), want: refusedAppMalformed},
		{name: "SdkAppid 0", raw: post("/?SdkAppid=0&CallbackCommand="+alarm, "{}"), want: refusedAppMalformed},
		{name: "negative SdkAppid", raw: post("/?SdkAppid=-1&CallbackCommand="+alarm, "{}"), want: refusedAppMalformed},
		{name: "SdkAppid above 2^53-1", raw: post("/?SdkAppid=9007199254740992&CallbackCommand="+alarm, "{}"), want: refusedAppMalformed},
		{name: "no CallbackCommand", raw: post("/?SdkAppid=1400000002", "{}"), want: refusedCommandMissing},
		{name: "two CallbackCommands", raw: post(good+"&CallbackCommand=A", "{}"), want: refusedCommandDoubled},
		{name: "two CallbackCommands, one with an encoded name", raw: post(good+"&%43allbackCommand=A", "{}"), want: refusedCommandDoubled},
		{name: "empty CallbackCommand", raw: post("/?SdkAppid=1400000002&CallbackCommand=", "{}"), want: refusedCommandMalformed},
		{name: "CallbackCommand of 129 bytes", raw: post(target(unsignedApp, strings.Repeat("a", 129)), "{}"), want: refusedCommandMalformed},
		{name: "CallbackCommand with a line break", raw: post(target(unsignedApp, "A%0AB"), "{}"), want: refusedCommandMalformed},
		{name: "NUL in the query", raw: post(good+"&x=a\x00b", "{}"), want: refusedHTTP},
		{name: "encoded NUL in a known value", raw: post(good+"&ClientIP=%00", "{}"), want: refusedQuery},
		{name: "encoded NUL in an unknown value", raw: post(good+"&x=%00", "{}"), want: refusedQuery},
		{name: "encoded NUL in a name", raw: post(good+"&a%00b=1", "{}"), want: refusedQuery},
		{name: "invalid UTF-8 in the query", raw: post(good+"&x=\xff", "{}"), want: refusedQuery},
		{name: "encoded invalid UTF-8", raw: post(good+"&x=%ff", "{}"), want: refusedQuery},
		{name: "an encoded surrogate", raw: post(good+"&x=%ED%A0%80", "{}"), want: refusedQuery},
		{name: "broken percent-encoding", raw: post(good+"&x=%4", "{}"), want: refusedQuery},
		{name: "two Signs", raw: post(signed(alarm)+"&Sign="+vectorSign, "{}"), want: refusedQuery},
		{name: "no body", raw: post(good, ""), want: refusedBodyEmpty},
		{name: "no Content-Length", raw: "POST " + good + " HTTP/1.1\r\nHost: h\r\n\r\n", want: refusedBodyEmpty},
		{name: "chunked and empty", raw: chunked(good, "0\r\n\r\n"), want: refusedBodyEmpty},

		{name: "no Sign", raw: post(target(signedApp, alarm)+"&RequestTime="+vectorRequestTime, "{}"), want: refusedSignMissing},
		{name: "no RequestTime", raw: post(target(signedApp, alarm)+"&Sign="+vectorSign, "{}"), want: refusedSignMissing},
		{name: "wrong Sign", raw: post(target(signedApp, alarm)+"&RequestTime="+vectorRequestTime+"&Sign="+sign("other", vectorRequestTime), "{}"), want: refusedSignWrong},
		{name: "Sign of another second", raw: post(target(signedApp, alarm)+"&RequestTime=1669872113&Sign="+vectorSign, "{}"), want: refusedSignWrong},
		{name: "Sign that is not hex", raw: post(target(signedApp, alarm)+"&RequestTime="+vectorRequestTime+"&Sign="+strings.Repeat("z", 64), "{}"), want: refusedSignWrong},
		{name: "right Sign, too old", raw: post(target(signedApp, alarm)+"&RequestTime=1669871812&Sign="+sign(vectorToken, "1669871812"), "{}"), want: refusedRequestTime},
		{name: "right Sign, too far in the future", raw: post(target(signedApp, alarm)+"&RequestTime=1669872414&Sign="+sign(vectorToken, "1669872414"), "{}"), want: refusedRequestTime},
		{name: "right Sign of something that is no time", raw: post(target(signedApp, alarm)+"&RequestTime=now&Sign="+sign(vectorToken, "now"), "{}"), want: refusedRequestTime},
		{name: "an unknown app", raw: post(target(unknownApp, alarm), "{}"), want: refusedAppUnknown},

		{name: "header block too large", raw: "POST " + good + " HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 9000) + "\r\n\r\n", want: refusedHeaderSize},
		{name: "request line too large", raw: post(good+"&x="+strings.Repeat("x", 9000), "{}"), want: refusedHeaderSize},
		{name: "body too large", raw: post(good, strings.Repeat("x", 257<<10)), want: refusedBodySize},
		{name: "chunked body too large", raw: chunked(good, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 300<<10, strings.Repeat("x", 300<<10))), want: refusedBodySize},
		{name: "body of 2 MiB, sent on while it is refused", raw: post(good, strings.Repeat("x", 2<<20)), want: refusedBodySize},
		{name: "half a request and silence", raw: "POST " + good + " HTTP/1.1\r\nHost: h\r\nContent-Le", want: refusedTimeout, change: shortRead},
		{name: "half a body and silence", raw: post(good, "{}")[:len(post(good, "{}"))-1], want: refusedTimeout, change: shortRead},

		{name: "journal full", raw: post(good, "{}"), want: refusedJournalFull, change: appendFails(journal.ErrFull)},
		{name: "journal slower than the appenders", raw: post(good, "{}"), want: refusedBusy, change: appendFails(journal.ErrBusy)},
		{name: "journal closed", raw: post(good, "{}"), want: refusedDraining, change: appendFails(journal.ErrClosed)},
		{name: "larger than the journal takes", raw: post(good, "{}"), want: refusedBodySize, change: appendFails(journal.ErrTooLarge)},
		{name: "journal fails in a way nobody thought of", raw: post(good, "{}"), want: refusedJournalFull, change: appendFails(errors.New("secret detail"))},
		{name: "not confirmed", raw: post(good, "{}"), want: unconfirmed, change: waitFails(journal.ErrNotConfirmed)},
		{name: "waiting fails in a way nobody thought of", raw: post(good, "{}"), want: unconfirmed, change: waitFails(errors.New("secret detail"))},
		{name: "parked, at broker", raw: post(target(unsignedApp, "Broker.X"), "{}"), want: unconfirmedParked, change: waitFails(journal.ErrParked)},
		{name: "no room to park for the topic", raw: post(good, "{}"), want: refusedParkedFull, change: func(o *Options) {
			o.TopicFull = func(topic string) bool { return topic == "im.alarms.raw" }
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newServing(t, tt.change)
			got := g.exchange(t, tt.raw)
			if tt.want == taken {
				got.wantOK(t)
				return
			}
			got.wantRefusal(t, tt.want)
			if got := len(g.journal.entries(t)); (got > 0) != (refusals[tt.want].result == resultUnconfirmed) {
				t.Errorf("%d entries in the journal after %q", got, refusals[tt.want].reason)
			}
		})
	}
}

func shortRead(o *Options) { o.ReadTimeout = 100 * time.Millisecond }

func appendFails(err error) func(*Options) {
	return func(o *Options) { o.Journal.(*fakeJournal).appendErr = err }
}

func waitFails(err error) func(*Options) {
	return func(o *Options) { o.Journal.(*fakeJournal).waitErr = err }
}

// TestRefusedHeaders checks the headers that some statuses ask for.
func TestRefusedHeaders(t *testing.T) {
	g := newServing(t, nil)
	if got := g.exchange(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").header.Get("Allow"); got != "POST" {
		t.Errorf("Allow %q", got)
	}
	if got := g.exchange(t, post(target(signedApp, alarm), "{}")).header.Get("WWW-Authenticate"); got != "Sign" {
		t.Errorf("WWW-Authenticate %q", got)
	}
	head := g.exchange(t, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
	if head.status != 405 || head.body != "" {
		t.Errorf("HEAD: status %d, body %q; want 405 and none", head.status, head.body)
	}
}

// TestEntry checks what of a request is in the journal.
func TestEntry(t *testing.T) {
	g := newServing(t, nil)
	g.clock.add(123456 * time.Microsecond)
	raw := "POST " + signed(alarm) + "&new=1%202&%6Eew=b&empty=&ClientIP=10.0.0.2&sign=s3cret HTTP/1.1\r\nHost: h\r\n" +
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(alarmBody), alarmBody)
	g.exchange(t, raw).wantOK(t)
	list := g.journal.entries(t)
	if len(list) != 1 {
		t.Fatalf("%d entries", len(list))
	}
	e := list[0]
	want := map[schema.Attribute]string{
		schema.AttributeClientIP:    "10.0.0.1",
		schema.AttributeOptPlatform: "RESTAPI",
		schema.AttributeContentType: "json",
		schema.AttributeRequestTime: vectorRequestTime,
		schema.AttributeQuery:       "new=1%202&%6Eew=b&empty=&ClientIP=10.0.0.2",
		schema.AttributeTraceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	for a := range schema.NumAttributes {
		if got := string(e.Callback.Attributes[a]); got != want[a] {
			t.Errorf("attribute %d is %q, want %q", a, got, want[a])
		}
		if (e.Callback.Attributes[a] == nil) != (want[a] == "") {
			t.Errorf("attribute %d: absent and empty are mixed up", a)
		}
	}
	c := &e.Callback
	if string(e.Topic) != "im.alarms.raw" || string(c.Gateway) != "gw-test" || c.AppID != signedApp || string(c.Command) != alarm ||
		c.Authenticated != schema.AuthenticatedSign || string(c.Body) != alarmBody {
		t.Errorf("entry %+v", e)
	}
	if want := vectorNow.Add(123 * time.Millisecond); !c.ReceivedAt.Equal(want) {
		t.Errorf("received at %v, want %v", c.ReceivedAt, want)
	}
}

// TestPipelined sends three requests in one write; each has its answer, in order, and the
// bytes of one do not leak into the next.
func TestPipelined(t *testing.T) {
	g := newServing(t, nil)
	c := g.dial(t)
	c.send(post(target(unsignedApp, alarm), `{"n":1}`) + post("/?SdkAppid=x", "{}") + post(target(unsignedApp, "Memory.X"), `{"n":3}`))
	c.read("POST").wantOK(t)
	c.read("POST").wantRefusal(t, refusedAppMalformed)
	c.read("POST").wantOK(t)
	list := g.journal.entries(t)
	if len(list) != 2 || string(list[0].Callback.Body) != `{"n":1}` || string(list[1].Callback.Body) != `{"n":3}` {
		t.Errorf("journal has %d entries: %+v", len(list), list)
	}
}

// TestExpectContinue holds back the body until the gateway asks for it.
func TestExpectContinue(t *testing.T) {
	g := newServing(t, nil)
	c := g.dial(t)
	c.send("POST " + target(unsignedApp, alarm) + " HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
	if line, err := c.r.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := c.r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	c.send("{}")
	c.read("POST").wantOK(t)
	t.Run("too large", func(t *testing.T) {
		c := g.dial(t)
		c.send("POST " + target(unsignedApp, alarm) + " HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
		c.read("POST").wantRefusal(t, refusedBodySize) // and no 100 before it
	})
}

// TestKeepAlive sends one refused and one accepted request on one connection, and HTTP/1.0
// closes it.
func TestKeepAlive(t *testing.T) {
	g := newServing(t, nil)
	c := g.dial(t)
	for range 3 {
		c.send(post("/", "{}"))
		c.read("POST").wantRefusal(t, refusedAppMissing)
		c.send(post(target(unsignedApp, "Drop.This"), "{}"))
		c.read("POST").wantOK(t)
	}
	c.send("POST " + target(unsignedApp, alarm) + " HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
	c.read("POST").wantOK(t)
	c.closed()
}

// TestBlocking checks static answers and that blocking callbacks wait for nothing.
func TestBlocking(t *testing.T) {
	g := newServing(t, nil)
	if got := g.exchange(t, post(signed("C2C.CallbackBeforeSendMsg"), "{}")); got.status != 200 || got.body != `{"ActionStatus":"OK","ErrorInfo":"no","ErrorCode":1}` {
		t.Errorf("static answer: %+v", got)
	}
	g.exchange(t, post(signed("Group.CallbackBeforeKept"), "{}")).wantOK(t)
	g.exchange(t, post(signed("C2C.CallbackPrevUnrouted"), "{}")).wantOK(t)
	if len(g.journal.levels) != 0 || g.journal.tries != 1 {
		t.Errorf("levels waited for: %v, %d appends that do not wait; want none, 1", g.journal.levels, g.journal.tries)
	}
	if n := sampleCount(t, g, "tidegate_gateway_blocking_answer_seconds"); n != 3 {
		t.Errorf("%d blocking answers were timed, want 3", n)
	}
}

// TestBlockingWaitsForNoRoom: while the disk stalls, a blocking callback that is kept is answered
// at once; one whose route waits for the disk waits for room too, as all others do, at any level.
func TestBlockingWaitsForNoRoom(t *testing.T) {
	g := newServing(t, func(o *Options) {
		o.Routes = reload.Fixed("routes", parseRoutes(t, testRoutes+"  - {command: Group.CallbackBeforeDurable, topic: im.callbacks.raw, ack: disk}\n"))
		o.Journal.(*fakeJournal).tryErr = fmt.Errorf("%w, %w", journal.ErrFull, journal.ErrBusy)
	})
	g.exchange(t, post(signed("Group.CallbackBeforeKept"), "{}")).wantRefusal(t, refusedBusy)
	g.exchange(t, post(signed("Group.CallbackBeforeDurable"), "{}")).wantOK(t)
	g.exchange(t, post(signed(alarm), "{}")).wantOK(t)
	g.exchange(t, post(signed("Memory.Quick"), "{}")).wantOK(t)
	if g.journal.tries != 2 {
		t.Errorf("%d appends tried without waiting, want 2", g.journal.tries)
	}
	if n := g.inFlight.now.Load(); n != 0 {
		t.Errorf("%d callbacks are in flight", n)
	}
}

// TestRefusedBlockingCallback: what is wrong with a blocking callback is told as with any other:
// a refusal is no verdict, only a 200 is.
func TestRefusedBlockingCallback(t *testing.T) {
	g := newServing(t, nil)
	const blocked = "C2C.CallbackBeforeSendMsg" // its route rejects
	g.exchange(t, post(target(signedApp, blocked), "{}")).wantRefusal(t, refusedSignMissing)
	g.exchange(t, post(target(unknownApp, blocked), "{}")).wantRefusal(t, refusedAppUnknown)
	g.exchange(t, post(target(signedApp, blocked)+"&RequestTime=1&Sign="+sign(vectorToken, "1"), "{}")).wantRefusal(t, refusedRequestTime)
	if n := sampleCount(t, g, "tidegate_gateway_blocking_answer_seconds"); n != 0 {
		t.Errorf("%d refusals were timed as answers", n)
	}
}
