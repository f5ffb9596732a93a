package storetest

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// Road is a way to the server that a test can close: what goes over it is forwarded, until it
// is closed (connections end, new ones are refused), blocked (nothing arrives any more) or
// held at one piece. Its methods may be called from any goroutine.
type Road struct {
	listen net.Listener
	target func() (net.Conn, error)

	mu      sync.Mutex // guards all below
	cut     bool
	blocked chan struct{} // nil: forwarding; closed when the road is
	held    *Hold         // nil: none waits for its piece
	holding []*Hold       // that have theirs
	conns   []net.Conn
}

// Hold is a piece that is kept on the road.
type Hold struct {
	Reached chan struct{} // closed when the piece has come

	left     int // pieces up to the one to be held; guarded by the road
	release  sync.Once
	released chan struct{}
}

// Release lets the piece go on, to whoever is still there.
func (h *Hold) Release() { h.release.Do(func() { close(h.released) }) }

// NewRoad returns a road to the database of a --store value, and the value that takes it. It
// goes with the test.
func NewRoad(t testing.TB, store string) (*Road, string) {
	t.Helper()
	u, err := url.Parse(store)
	if err != nil {
		t.Fatal("not a URL")
	}
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	r := &Road{listen: listen}
	if socket := query.Get("host"); socket != "" {
		r.target = func() (net.Conn, error) { return net.Dial("unix", socket+"/.s.PGSQL.5432") }
		query.Del("host")
	} else {
		host := u.Host
		r.target = func() (net.Conn, error) { return net.Dial("tcp", host) }
	}
	query.Set("sslmode", "disable")
	u.Host, u.RawQuery = listen.Addr().String(), query.Encode()
	done := make(chan struct{})
	go func() { defer close(done); r.accept() }()
	t.Cleanup(func() { _ = listen.Close(); r.Close(); <-done })
	return r, u.String()
}

func (r *Road) accept() {
	var wait sync.WaitGroup
	defer wait.Wait()
	for {
		near, err := r.listen.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		if r.cut {
			r.mu.Unlock()
			_ = near.Close()
			continue
		}
		far, err := r.target()
		if err != nil {
			r.mu.Unlock()
			_ = near.Close()
			continue
		}
		r.conns = append(r.conns, near, far)
		r.mu.Unlock()
		wait.Go(func() { r.forward(far, near) })
		wait.Go(func() { r.forward(near, far) })
	}
}

// forward copies until an end closes.
func (r *Road) forward(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	chunk := make([]byte, 32<<10)
	for {
		n, err := from.Read(chunk)
		if n > 0 {
			r.wait()
		}
		if _, failed := to.Write(chunk[:n]); err != nil || failed != nil {
			return
		}
	}
}

// wait waits while a piece may not go on.
func (r *Road) wait() {
	r.mu.Lock()
	blocked, held := r.blocked, r.held
	if held != nil {
		if held.left--; held.left > 0 {
			held = nil
		} else {
			r.held = nil // others go on
			r.holding = append(r.holding, held)
		}
	}
	r.mu.Unlock()
	if blocked != nil {
		<-blocked
	}
	if held != nil {
		close(held.Reached)
		<-held.released
	}
}

// HoldAt has the nth piece from now on, of either direction, wait for its release, and what
// follows it on its connection. A piece is what one read finds: a question or an answer, as a
// rule. One that still waited for its piece does so no more.
func (r *Road) HoldAt(n int) *Hold {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = &Hold{Reached: make(chan struct{}), released: make(chan struct{}), left: n}
	return r.held
}

// Close ends all connections and refuses new ones until Open. What is held or blocked does not
// arrive.
func (r *Road) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = true
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
	for _, h := range r.holding {
		h.Release()
	}
	r.holding = nil
	if r.blocked != nil {
		close(r.blocked)
		r.blocked = nil
	}
}

// Open takes new connections again.
func (r *Road) Open() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = false
}

// Block lets nothing through any more, until Close.
func (r *Road) Block() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blocked = make(chan struct{})
}
