package receive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// drip sends raw byte by byte until the gateway has had enough, and returns how long that took.
// Between two bytes there is less time than any timeout: only one for the whole ends it.
func (c *client) drip(raw string) time.Duration {
	c.t.Helper()
	began := time.Now()
	for i := range len(raw) {
		if err := c.conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			c.t.Fatal(err)
		}
		if _, err := c.r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
			break // answered, or ended
		}
		c.r.Reset(c.conn) // it keeps its error
		if _, err := c.conn.Write([]byte{raw[i]}); err != nil {
			break
		}
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
	return time.Since(began)
}

// TestSlowClients: the time for a request is for the whole of it, however steadily it drips, and
// others are answered meanwhile.
func TestSlowClients(t *testing.T) {
	const patience = 300 * time.Millisecond
	long := strings.Repeat("x", 3000)
	for name, raw := range map[string]string{
		"header":       "POST / HTTP/1.1\r\nHost: h\r\nX: " + long,
		"line":         "POST /" + long,
		"body":         head(signed(alarm), len(long), "") + long,
		"large body":   head(signed(alarm), 100_000, "") + long,
		"chunked body": "POST " + signed(alarm) + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n" + long,
		"chunk size":   "POST " + signed(alarm) + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;" + long,
		"trailer":      "POST " + signed(alarm) + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: " + long,
		"empty lines":  strings.Repeat("\r\n", 1500),
	} {
		t.Run(name, func(t *testing.T) {
			g := newServing(t, func(o *Options) {
				unlimited(t)(o)
				o.ReadTimeout = patience
			})
			slow := g.dial(t)
			done := make(chan time.Duration, 1)
			// What comes before the part that drips is sent at once.
			fast := len(raw) - len(long)
			slow.send(raw[:fast])
			go func() { done <- slow.drip(raw[fast:]) }()
			g.exchange(t, post(signed(alarm), alarmBody)).wantOK(t)
			if took := <-done; took < patience/2 || took > 15*time.Second {
				t.Errorf("it ended after %v, the time for a request is %v", took, patience)
			}
			resp, err := http.ReadResponse(slow.r, nil)
			if name == "empty lines" && errors.Is(err, io.ErrUnexpectedEOF) {
				return // nothing was asked, so nothing is answered
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusRequestTimeout && resp.StatusCode != http.StatusBadRequest || !resp.Close {
				t.Errorf("status %d, close %t", resp.StatusCode, resp.Close)
			}
			if now := g.waiting.now.Load(); now != 0 {
				t.Errorf("%d bytes are still waiting", now)
			}
		})
	}
}

// TestSilentConnections: they are told so in the end and are gone, and hold up nobody.
func TestSilentConnections(t *testing.T) {
	g := newServing(t, func(o *Options) {
		unlimited(t)(o)
		o.ReadTimeout = 200 * time.Millisecond
	})
	var silent []*client
	for range 100 {
		silent = append(silent, g.dial(t))
	}
	g.exchange(t, post(signed(alarm), alarmBody)).wantOK(t)
	for _, c := range silent {
		c.read("POST").wantRefusal(t, refusedTimeout)
		c.closed()
	}
	g.openIs(t, 1) // the listener
}

// TestClosingConnectionsAreBounded: a connection that lingers is open no more for fasthttp, and still has
// its file and its goroutine. With more of them than there are workers fasthttp would answer, in words of
// its own.
func TestClosingConnectionsAreBounded(t *testing.T) {
	g := newServing(t, func(o *Options) { o.MaxConnections = 4 })
	raw := post(signed(alarm), alarmBody)
	g.exchange(t, raw).wantOK(t)
	g.mu.Lock()
	all := g.listener.conns
	g.mu.Unlock()
	var closing []*conn
	for range g.maxConnections + SpareConnections {
		closing = append(closing, all.add(&memoryConn{}, nil))
	}
	got := g.exchange(t, raw)
	if got.body != string(refusals[refusedConnections].envelope) {
		t.Errorf("status %d, %s", got.status, got.body)
	}
	for _, c := range closing {
		all.remove(c)
	}
	g.exchange(t, raw).wantOK(t)
}

// openIs waits until so many connections are open.
func (g *gate) openIs(t testing.TB, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); int(g.server.GetOpenConnectionsCount()) > n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are open, want %d", g.server.GetOpenConnectionsCount(), n)
		}
	}
}

// TestRestIsEarned: a connection whose last request was refused waits for the next no longer than
// a new one for its first, and neither does any where connections are scarce.
func TestRestIsEarned(t *testing.T) {
	good, bad := post(target(unsignedApp, "Drop.X"), "{}"), post("/", "{}")
	for _, tt := range []struct {
		name   string
		sends  []string
		others int
		rests  bool
	}{
		{name: "answered 200", sends: []string{bad, good}, rests: true},
		{name: "refused", sends: []string{good, bad}},
		{name: "answered 200, few connections left", sends: []string{good}, others: 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newServing(t, func(o *Options) {
				o.ReadTimeout, o.IdleTimeout, o.MaxConnections = 100*time.Millisecond, time.Hour, 10
			})
			for range tt.others {
				g.dial(t)
			}
			c := g.dial(t)
			for _, raw := range tt.sends {
				c.send(raw)
				c.read("POST")
			}
			if err := c.conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			_, err := c.r.ReadByte()
			if rested := errors.Is(err, os.ErrDeadlineExceeded); tt.rests && !rested || !tt.rests && err == nil {
				t.Errorf("after ten times the time of a new connection: %v", err)
			} else if !tt.rests && rested {
				c.closed() // within 20 seconds on a slow machine
			}
		})
	}
}

// TestDeafClient: one that sends and never reads is ended, whatever it sends.
func TestDeafClient(t *testing.T) {
	for name, raw := range map[string]string{
		"refused":  post("/", "{}"),
		"accepted": post(target(unsignedApp, "Memory.X"), "{}"),
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, func(o *Options) {
				unlimited(t)(o)
				o.WriteTimeout = 200 * time.Millisecond
			})
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			g.addr = ln.Addr().String()
			done := make(chan error, 1)
			go func() { done <- g.Serve(narrow{ln}) }()
			deaf := g.dial(t)
			_ = deaf.conn.(*net.TCPConn).SetReadBuffer(1)
			for err == nil {
				_, err = io.WriteString(deaf.conn, raw)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("nobody ended it")
			}
			g.exchange(t, post(target(unsignedApp, "Memory.X"), "{}")).wantOK(t)
			g.openIs(t, 2)
			if err := errors.Join(g.Shutdown(t.Context()), <-done); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFewFiles runs a gateway in a process that may open few files: who comes when none is left is
// told so, and when some are free again everything is as before.
func TestFewFiles(t *testing.T) {
	if os.Getenv("TIDEGATE_FEW_FILES") != "" {
		serveFewFiles(t)
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestFewFiles$") //nolint:gosec // this test's own binary
	child.Env = append(os.Environ(), "TIDEGATE_FEW_FILES=1")
	child.Stderr = os.Stderr
	end, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	addr, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{addr: strings.TrimSpace(addr)}
	good := post(target(unsignedApp, "Drop.X"), "{}")
	taken, refused := 0, 0
	var open []*client
	for range 100 {
		c := g.dial(t)
		open = append(open, c)
		c.send(good)
		switch got := c.read("POST"); got.status {
		case http.StatusOK:
			taken++
		case http.StatusServiceUnavailable:
			refused++
			got.header.Set("Date", time.Now().UTC().Format(http.TimeFormat)) // nobody formats one here
			got.wantRefusal(t, refusedConnections)
		default:
			t.Errorf("status %d", got.status)
		}
	}
	if taken == 0 || refused == 0 {
		t.Errorf("%d connections were served and %d refused", taken, refused)
	}
	for _, c := range open {
		_ = c.conn.Close()
	}
	for deadline := time.Now().Add(20 * time.Second); g.exchange(t, good).status != http.StatusOK; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody is served although files are free")
		}
	}
	_ = end.Close()
	_, _ = io.Copy(io.Discard, lines)
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
}

// serveFewFiles is the process of TestFewFiles.
func serveFewFiles(t *testing.T) {
	few := syscall.Rlimit{Cur: 40, Max: 40}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	g := newServing(t, unlimited(t))
	fmt.Println(g.addr)
	_, _ = io.Copy(io.Discard, os.Stdin)
}
