package acceptance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/deploy/local/stack"
)

// draining is the gateway's ErrorCode (gateway/internal/receive/refusal.go) of a callback
// that came when it was about to end, and that it did not take.
const draining = 23

// noticed bounds how long after SIGTERM an answer may still not say that its connection is
// closed: the signal has to arrive, on two cores under load.
const noticed = 500 * time.Millisecond

// leaveWith starts a gateway that goes on for delay after SIGTERM, stops it under load over
// connections that are kept open, and returns the ledger and when SIGTERM was sent.
func leaveWith(t *testing.T, delay time.Duration) (*scene, []ledger.Entry, time.Time) {
	t.Helper()
	s := newScene(t, 64, func(o *stack.Options) {
		o.GatewayFlags = append(o.GatewayFlags, "--shutdown-delay="+delay.String())
	})
	perSecond := 4 * rate(t) // so that some are in flight at every moment
	load := s.load("--rate="+fmt.Sprint(perSecond), "--duration=0s", "--connections=64", withoutAnswer)
	load.progress(2 * perSecond)
	slow := s.slowClient()
	asked := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- s.stack.Gateway().Stop(t.Context()) }()
	slow.finish(s)
	if err := <-ended; err != nil {
		t.Fatalf("stop: %v", err) // an exit status other than 0 is one too
	}
	load.failures(64, ledger.FailureConnect) // nobody listens, on any connection
	return s, load.end(), asked
}

// slowClient has a connection that was used before, and half of a request on it.
type slowClient struct {
	conn    net.Conn
	answers *bufio.Reader
	host    string
	rest    string // of the request
}

func (s *scene) slowClient() *slowClient {
	s.t.Helper()
	host := addressOf(s.t, s.stack.GatewayURL())
	conn, err := net.Dial("tcp", host)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	c := &slowClient{conn: conn, answers: bufio.NewReader(conn), host: host}
	// Dropped by the default routes: the ledger knows nothing of it.
	request := fmt.Sprintf("POST /?SdkAppid=%d&CallbackCommand=State.StateChange HTTP/1.1\r\nHost: %s\r\nContent-Length: 2\r\n\r\n{}", s.unsignedApp(), host)
	c.write(s, request)
	if got, body := c.answer(s); got.StatusCode != 200 || got.Close {
		s.t.Fatalf("answer %s %s, closes %v, want a 200 that keeps the connection", got.Status, body, got.Close)
	}
	half := len(request) / 2
	c.write(s, request[:half])
	c.rest = request[half:]
	return c
}

// finish sends the rest once nobody listens any more: the request is answered all the same.
func (c *slowClient) finish(s *scene) {
	s.t.Helper()
	s.eventually("the port is closed", func() error {
		conn, err := net.Dial("tcp", c.host)
		if err != nil {
			return nil //nolint:nilerr // this is what is waited for
		}
		return errors.Join(errors.New("it takes connections"), conn.Close())
	})
	c.write(s, c.rest)
	got, body := c.answer(s)
	want := fmt.Sprintf(`"ErrorCode":%d`, draining)
	if got.StatusCode != 503 || !got.Close || got.Header.Get("Retry-After") == "" || !strings.Contains(body, `"ActionStatus":"FAIL"`) || !strings.Contains(body, want) {
		s.t.Errorf("a request that was half there when the port closed is answered %s %v %s, want 503 draining", got.Status, got.Header, body)
	}
}

func (c *slowClient) write(s *scene, text string) {
	s.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		s.t.Fatal(err)
	}
}

func (c *slowClient) answer(s *scene) (got *http.Response, body string) {
	s.t.Helper()
	got, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		s.t.Fatalf("a request was cut: %v", err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		s.t.Fatalf("an answer was cut: %v", err)
	}
	return got, string(text)
}

// Promise: a gateway that gets SIGTERM under load cuts no request: each that was sent on a
// live connection is answered whole, 200 or 503 draining, answers send their connections
// elsewhere from then on, and every 200 is in Kafka when the process has ended.
func TestProofLeavingCutsNoRequest(t *testing.T) {
	for name, delay := range map[string]time.Duration{"with a shutdown delay": 2 * time.Second, "at once": 0} {
		t.Run(name, func(t *testing.T) {
			s, entries, asked := leaveWith(t, delay)
			answeredWhole(t, entries, asked.Add(delay))
			sentElsewhere(t, entries, asked, delay)
			// The gateway is gone: what is not in Kafka now would be there only after its next start.
			s.row.Faults = 1
			s.atMost(0)
			report := s.proof("gateway stopped (SIGTERM) under load, "+name, entries)
			if report.UnansweredFound > 0 {
				t.Errorf("%d callbacks were taken and not answered", report.UnansweredFound)
			}
			s.consumed(entries)
		})
	}
}

// answeredWhole fails the test for every request that was cut. There are two ends without
// an answer that cost nobody a callback that he believes delivered:
//
//   - connect: nobody listened any more, so only after closing.
//   - reset of the first request of a connection that the kernel had made and the gateway had
//     not accepted when it closed the port. There is no way to close a port that spares the
//     connections in its queue; nobody has read the request, and it is not in Kafka
//     (UnansweredFound). A load balancer sends no new connection by then.
//
// A reset on a connection that had an answer before is none of these: the gateway closes such
// a connection only when it was silent for a while, and under this load none is.
func answeredWhole(t *testing.T, entries []ledger.Entry, closing time.Time) {
	t.Helper()
	queued := 0
	for i := range entries {
		e := &entries[i]
		late := time.UnixMicro(e.Done).After(closing)
		switch {
		case e.Status == 200:
		case e.Status == 503 && e.Code == draining && e.Close && late:
		case e.Failure == ledger.FailureConnect && late:
		case e.Failure == ledger.FailureReset && e.Exchange == 1 && late && queued < inQueue:
			queued++
		default:
			t.Errorf("%s after the port was to close: %s", time.UnixMicro(e.Done).Sub(closing), e.String())
		}
	}
	t.Logf("%d connections were in the queue of the port when it closed", queued)
}

// inQueue bounds the connections that may have been in the port's queue: what comes in the
// moment between its last accept and its end.
const inQueue = 3

// sentElsewhere fails the test unless answers keep connections open before the gateway was
// asked to end, and close them afterwards.
func sentElsewhere(t *testing.T, entries []ledger.Entry, asked time.Time, delay time.Duration) {
	t.Helper()
	kept, closed := 0, 0
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Failure != "":
		case time.UnixMicro(e.Done).Before(asked):
			kept++
			if e.Close {
				t.Errorf("closed before there was a reason: %s", e.String())
			}
		case time.UnixMicro(e.Sent).After(asked.Add(noticed)):
			closed++
			if !e.Close {
				t.Errorf("%s after SIGTERM its connection is kept: %s", time.UnixMicro(e.Sent).Sub(asked), e.String())
			}
		}
	}
	if kept == 0 || delay > noticed && closed == 0 {
		t.Errorf("%d answers before SIGTERM, %d well after it: too few to prove anything", kept, closed)
	}
	if n := count(entries, func(e *ledger.Entry) bool { return e.Exchange > 1 }); n < kept/2 {
		t.Errorf("%d of %d requests were on kept connections", n, kept)
	}
}
