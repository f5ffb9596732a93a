package receive

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// newLogging returns a Receiver whose log the test sees.
func newLogging(t testing.TB, level zapcore.Level, change func(*Options)) (*gate, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(level)
	g := newGate(t, func(o *Options) {
		o.Log, o.AuthFailuresPerSecond = zap.New(core), -1
		if change != nil {
			change(o)
		}
	})
	logs.TakeAll() // what is said at the start is not the point
	return g, logs
}

// take gives the gateway one request.
func (g *gate) take(raw string) int {
	ctx := newContext(raw)
	g.Handler(ctx)
	return ctx.Response.StatusCode()
}

// lines are the entries as text: level, message, fields by name.
func lines(entries []observer.LoggedEntry) (list []string) {
	for _, e := range entries {
		list = append(list, fmt.Sprintf("%s %s %v", e.Level, e.Message, e.ContextMap()))
	}
	return list
}

func wantLines(t testing.TB, logs *observer.ObservedLogs, want ...string) {
	t.Helper()
	if got := lines(logs.TakeAll()); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("logged\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestFloodIsOneLine: of a flood the first of each reason and app is a line with its facts, and
// the next one, a minute later, says how many were between.
func TestFloodIsOneLine(t *testing.T) {
	g, logs := newLogging(t, zap.DebugLevel, nil)
	wrong := post(target(signedApp, alarm)+"&RequestTime=1&Sign="+vectorSign, "{}")
	missing := post(target(signedApp, alarm), "{}")
	for range 1000 {
		g.take(wrong)
		g.take(missing)
		g.clock.add(time.Millisecond)
	}
	wantLines(t, logs,
		"warn callback refused map[command:"+alarm+" left_out:0 reason:sign_wrong result:refused sdk_app_id:1400000001 source:192.0.2.7 status:401]",
		"warn callback refused map[command:"+alarm+" left_out:0 reason:sign_missing result:refused sdk_app_id:1400000001 source:192.0.2.7 status:401]")
	g.take(post(target(rotatingApp, alarm), "{}")) // another app's is not left out for it
	wantLines(t, logs, "warn callback refused map[command:"+alarm+" left_out:0 reason:sign_missing result:refused sdk_app_id:1400000003 source:192.0.2.7 status:401]")
	g.clock.add(lineEvery - time.Second) // to the minute's end
	g.take(wrong)
	g.take(wrong)
	wantLines(t, logs, "warn callback refused map[command:"+alarm+" left_out:999 reason:sign_wrong result:refused sdk_app_id:1400000001 source:192.0.2.7 status:401]")
}

// TestInventedAppsAreOneLine: who invents apps cannot invent lines, and what is malformed is in
// none of them.
func TestInventedAppsAreOneLine(t *testing.T) {
	g, logs := newLogging(t, zap.DebugLevel, nil)
	for i := range int64(1000) {
		g.take(post(target(2000000000+i, alarm), "{}"))
		g.take(post("/?SdkAppid=x-s3cret&CallbackCommand=Made.Up", "s3cret"))
		g.take(post(fmt.Sprintf("/?SdkAppid=%d&CallbackCommand=no+s3cret", 3000000000+i), "{}"))
	}
	wantLines(t, logs,
		"warn callback refused map[command:"+alarm+" left_out:0 reason:app_unknown result:refused sdk_app_id:2000000000 source:192.0.2.7 status:403]",
		"info callback refused map[command:Made.Up left_out:0 reason:app_malformed result:refused source:192.0.2.7 status:400]",
		"info callback refused map[left_out:0 reason:command_malformed result:refused sdk_app_id:3000000000 source:192.0.2.7 status:400]")
}

// TestEndedFloodIsTold: what no later line can tell has a line of its own, once; at a stop it
// does not wait for the minute.
func TestEndedFloodIsTold(t *testing.T) {
	g, logs := newLogging(t, zap.DebugLevel, nil)
	for range 5 {
		g.take(post(target(signedApp, alarm), "{}"))
		g.take(post(target(unknownApp, alarm), "{}"))
	}
	logs.TakeAll()
	g.clock.add(lineEvery - 1)
	g.logLeftOut(false)
	wantLines(t, logs) // too early
	g.clock.add(1)
	g.logLeftOut(false)
	signedLine := "warn callbacks refused, without a line for each map[left_out:4 reason:sign_missing result:refused sdk_app_id:1400000001 status:401]"
	unknownLine := "warn callbacks refused, without a line for each map[left_out:4 reason:app_unknown result:refused status:403]"
	wantLines(t, logs, signedLine, unknownLine)
	g.clock.add(lineEvery)
	g.logLeftOut(false)
	wantLines(t, logs) // it was told
	for range 5 {
		g.take(post(target(signedApp, alarm), "{}"))
	}
	logs.TakeAll()
	if err := g.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLines(t, logs, signedLine)
}

// TestLeftOutIsWhole: whatever the order of things, lines and what they left out are all that
// was refused; also where the log itself takes nothing for a while.
func TestLeftOutIsWhole(t *testing.T) {
	level := zap.NewAtomicLevelAt(zap.DebugLevel)
	core, logs := observer.New(level)
	g := newGate(t, func(o *Options) { o.Log = zap.New(core) })
	logs.TakeAll()
	const senders, each = 4, 500
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for i := range each {
				g.take(post(target(signedApp, alarm), "{}"))
				g.clock.add(lineEvery / 100)
				if i%100 == 50 {
					g.logLeftOut(i%200 == 50)
				}
				level.SetLevel([]zapcore.Level{zap.DebugLevel, zap.DPanicLevel}[i/50%2])
			}
		})
	}
	all.Wait()
	level.SetLevel(zap.DebugLevel)
	g.logLeftOut(true)
	told, written := uint64(0), logs.TakeAll()
	for _, e := range written {
		told += e.ContextMap()["left_out"].(uint64)
		if e.Message == "callback refused" {
			told++
		}
	}
	if told != senders*each {
		t.Errorf("%d lines tell of %d refusals, there were %d", len(written), told, senders*each)
	}
	if len(written) > 2*senders*each/100+10 {
		t.Errorf("%d lines for %d refusals", len(written), senders*each)
	}
}

// TestSamplerClockSetBack: a clock that is set back by a day does not silence the log for one.
func TestSamplerClockSetBack(t *testing.T) {
	var s sampler
	if !s.pass(vectorNow) || s.pass(vectorNow.Add(time.Second)) {
		t.Fatal("the first passes, the second does not")
	}
	if !s.pass(vectorNow.Add(-24*time.Hour)) || s.pass(vectorNow.Add(-24*time.Hour+time.Second)) {
		t.Error("after the clock was set back: want one line a minute again")
	}
}

// TestLevels holds what operators are woken by: every reason is one or the other on purpose.
func TestLevels(t *testing.T) {
	warn := map[string]bool{
		"sign_missing": true, "sign_wrong": true, "request_time": true, "app_unknown": true, "rate": true, "journal_full": true,
		"busy": true, "parked_full": true, "connections": true, "not_confirmed": true, "parked": true, "guessing": true, "source": true,
	}
	for f := notRefused + 1; f < numRefusals; f++ {
		if got := levelOf(f) == zap.WarnLevel; got != warn[refusals[f].reason] {
			t.Errorf("%s: warn is %v", refusals[f].reason, got)
		}
	}
}

// TestFullJournalIsInTheLog: nobody has to ask for it.
func TestFullJournalIsInTheLog(t *testing.T) {
	g, logs := newLogging(t, zap.DebugLevel, nil)
	g.journal.appendErr = journal.ErrFull
	for range 3 {
		if status := g.take(post(signed(alarm), alarmBody)); status != 503 {
			t.Fatalf("status %d", status)
		}
	}
	wantLines(t, logs, "warn callback refused map[command:"+alarm+" left_out:0 reason:journal_full result:refused sdk_app_id:1400000001 source:192.0.2.7 status:503]")
	g.journal.appendErr = errors.New("what no journal says")
	for range 3 {
		g.take(post(signed(alarm), alarmBody))
	}
	wantLines(t, logs, "error journal refused an entry for an unknown reason map[error:what no journal says left_out:0]")
}

// TestHeldAnswerIsLogged: a callback whose 200 was held and became not_confirmed has its line too.
func TestHeldAnswerIsLogged(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	g := newServing(t, func(o *Options) {
		o.Log = zap.New(core)
		o.Journal.(*fakeJournal).waitErr = journal.ErrNotConfirmed
	})
	logs.TakeAll()
	g.exchange(t, post(target(unsignedApp, alarm), "{}")).wantRefusal(t, unconfirmed)
	wantLines(t, logs, "warn callback refused map[command:"+alarm+" left_out:0 reason:not_confirmed result:unconfirmed sdk_app_id:1400000002 source:127.0.0.1 status:503]")
}

// TestConnectionFloodIsOneLine: so are connections that are one too many, and accepts that fail.
func TestConnectionFloodIsOneLine(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	g := newGate(t, func(o *Options) { o.Log, o.MaxConnections = zap.New(core), 1 })
	logs.TakeAll()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.addr = ln.Addr().String()
	done := make(chan error, 1)
	go func() {
		done <- g.Serve(&failingListener{Listener: ln, errs: []error{syscall.EMFILE, syscall.EMFILE, syscall.EMFILE}})
	}()
	c := g.dial(t)
	c.send(post(target(unsignedApp, "Drop.X"), "{}"))
	c.read("POST").wantOK(t)
	for range 3 {
		g.dial(t).read("POST")
	}
	if err := g.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	wantLines(t, logs,
		"warn connection cannot be accepted, trying again map[error:accept tcp: accept4: too many open files left_out:0 pause:5ms]",
		"warn callback refused map[left_out:0 reason:connections result:refused source:127.0.0.1 status:503]",
		"warn callbacks refused, without a line for each map[left_out:2 reason:connections result:refused status:503]")
}

// TestNoAllocationForWhatIsLeftOut holds what a flood costs when there is a log.
func TestNoAllocationForWhatIsLeftOut(t *testing.T) {
	skipUnderRace(t)
	g, logs := newLogging(t, zap.DebugLevel, nil)
	for _, raw := range []string{post(target(signedApp, alarm), "{}"), post(target(unknownApp, alarm), "{}"), post("/?SdkAppid=x", "{}")} {
		ctx := newContext(raw)
		g.Handler(ctx)
		ctx.Response.Reset()
		if n := testing.AllocsPerRun(200, func() {
			g.Handler(ctx)
			ctx.Response.Reset()
		}); n != 0 {
			t.Errorf("%.40s: %v allocations", raw, n)
		}
	}
	if n := logs.Len(); n != 3 {
		t.Errorf("%d lines, want 3", n)
	}
}

// fileless is a listener for which there is no file before each connection.
type fileless struct {
	net.Listener
	failed bool
}

func (l *fileless) Accept() (net.Conn, error) {
	if l.failed = !l.failed; l.failed {
		return nil, syscall.EMFILE
	}
	return l.Listener.Accept()
}

// TestFloodWithoutFilesIsOneLine: that no file is left is said once, not for each connection.
func TestFloodWithoutFilesIsOneLine(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	g := newGate(t, func(o *Options) { o.Log = zap.New(core) })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.serveOn(t, &fileless{Listener: ln})
	for range 5 {
		g.exchange(t, post(target(unsignedApp, "Drop.X"), "{}")).wantOK(t)
	}
	if n := logs.FilterMessage("no file is left, connections are refused").Len(); n != 1 {
		t.Errorf("%d lines", n)
	}
}

// TestSampledLogHidesNoApp: a log that drops equal messages, as the gateway's does, and a flood in other
// names do not keep another's refusals out of it.
func TestSampledLogHidesNoApp(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	g := newGate(t, func(o *Options) { o.Log = zap.New(zapcore.NewSamplerWithOptions(core, time.Hour, 1, 5)) })
	logs.TakeAll()
	g.Handler(newContext(post(target(unknownApp, alarm), "{}"))) // the one line that is let pass
	for range 10 {
		g.Handler(newContext(post(target(signedApp, alarm), "{}")))
	}
	lines := logs.FilterMessage("callback refused").FilterField(zap.Int64("sdk_app_id", signedApp)).All()
	if len(lines) != 1 || lines[0].ContextMap()["left_out"] == uint64(0) {
		t.Errorf("%v", lines)
	}
}
