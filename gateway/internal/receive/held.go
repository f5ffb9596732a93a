package receive

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tidegate/tidegate/gateway/internal/edge"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/gateway/internal/socket"
)

// Held answers. At ack level disk the answer has to wait for the batch. Waiting in the handler
// costs a goroutine switch for each callback, a third of what fasthttp needs for everything
// else. So 200 is decided on at once, and the connection holds the answer: nothing leaves before the
// journal says that the entry is durable, and then one goroutine sends the answers of the whole batch.
// The connection's own goroutine waits for the next request meanwhile, which it would have done anyway.
//
// The answer to a plain request the connection puts together itself (servePlain). That of any other
// fasthttp writes to it as always:
//
//	handler      Append, hold: takes the turn; the next bytes that are written are the answer
//	fasthttp     conn.Write: keeps the bytes, journal.Notify
//	             conn.Read: the next request
//	journal      sync, Tell: the bytes, or not_confirmed in their place; gives the turn back
//
// The turn is the order of answers on a connection. Whoever holds an answer or closes the connection
// needs it first, and whoever else writes to it waits until nobody has it. So a request that came
// without waiting for the answer to the one before, and the end of the connection, wait for the held
// answer.
//
// An answer is held where nobody can tell the difference: on a TCP connection without TLS that
// stays open for further requests, HTTP/1.1, an answer that is written in one piece. Everywhere
// else the handler waits. A pipelined request finds the answer before it still in fasthttp's
// buffer, not yet held by the connection: then the connection's goroutine waits for that first,
// and for its own answer too, as what fasthttp writes then is more than one answer and only one
// can be replaced. Nor does it read from the network before an answer in that buffer is decided:
// the rest of a request that lies behind it may be long in coming.

// maxHeldBytes bounds the body of an answer that may be held, so that fasthttp writes it and
// its header in one piece; its buffer has 4 KiB.
const maxHeldBytes = 2 << 10

// partOfHeld is the part of the histograms for answers that were held: mostly one goroutine at a time
// tells them.
const partOfHeld = 0

// held is a connection's answer that waits for the journal.
type held struct {
	// Owned by the connection's goroutine.
	due    bool // hold was called, and the journal was not given the answer yet
	lent   bool // somebody else may have the turn
	broken bool // an answer in fasthttp's buffer must not leave

	cut atomic.Bool // the client did not take an answer in time: nothing more is read or written

	socket *socket.Conn // where answers are sent as they are; nil: there is none, and no answer can be held

	turn sync.Mutex // see above; tell unlocks what hold has locked

	// Owned by who has the turn: what tell needs first, as it is a connection that nobody has looked at for
	// a while.
	waiter   journal.Waiter
	decision *decision
	ledger   *ledger
	now      time.Time // of the request
	text     []byte    // the answer; kept for its memory, and for those of plain requests that are not held
	rest     []byte    // what of an answer is still to be sent
	ticket   journal.Ticket
	app      int64
	source   netip.Addr // the zero address: the connection's other end
	command  []byte     // a copy
}

// over reports whether no answer can leave any more. The connection's goroutine asks.
func (h *held) over() bool { return h.broken || h.cut.Load() }

// prepare makes the connection ready to hold answers, where it can.
func (c *conn) prepare(r *Receiver) {
	c.receiver = r
	switch under := c.Conn.(type) {
	case *net.TCPConn:
		if s, err := socket.Of(under); err == nil {
			c.Conn, c.held.socket, c.direct = s, s, true
		}
	case *edge.Conn:
		c.held.socket = under.Socket()
	}
	c.held.waiter.Tell = c.tell
	c.plain = c.servePlain
}

// holder returns the connection that can hold the answer to q, or nil.
func (r *Receiver) holder(q *request) *conn {
	d, c := q.decision, q.conn
	if c == nil || c.held.socket == nil || d.Ack != journal.Disk || len(d.Answer) > maxHeldBytes || q.header.last || !q.header.http11 || r.leaving.Load() {
		return nil
	}
	return c
}

// begin waits for the answer before, for a client that did not wait for it, and reports whether a
// further one can leave. Called before anything is taken for a request: a client that takes no answers
// has nothing more in flight.
func (c *conn) begin() bool {
	c.settle()
	c.awaitTurn()
	return !c.held.over()
}

// awaitTurn waits until nobody else has the turn. Only hold gives it away again.
func (c *conn) awaitTurn() {
	if h := &c.held; h.lent {
		h.turn.Lock()
		h.lent = false
		h.turn.Unlock()
	}
}

// hold has the answer to q wait for t. Called by keep, after begin, so that it does
// not block.
func (c *conn) hold(t journal.Ticket, q *request, source netip.Addr) {
	h := &c.held
	h.turn.Lock()
	h.ticket, h.decision, h.ledger, h.now, h.app, h.source = t, q.decision, q.account.ledger, q.now, q.query.appID, source
	h.command = append(h.command[:0], q.query.command...)
	h.due, h.lent = true, true
}

// settle waits for an answer that was decided and has not been written, or not by itself, as
// other requests lie in the same buffer. It is not held any more then; where it would have been
// the wrong one, the connection ends without it, and without what is written with it.
func (c *conn) settle() {
	h := &c.held
	if !h.due {
		return
	}
	h.due, h.lent = false, false
	defer h.turn.Unlock()
	if c.note(c.receiver.journal.Wait(h.ticket, journal.Disk)) != notRefused {
		h.broken = true
	}
}

// Read reads on behalf of fasthttp, once a decided answer in its buffer has been waited for, and answers
// plain requests before it returns any other.
func (c *conn) Read(p []byte) (n int, err error) {
	c.settle()
	if c.held.over() {
		return 0, net.ErrClosed
	}
	if c.receiver != nil && c.read.at.Load()&idleBit != 0 {
		n, err = c.next(p)
	} else {
		n, err = c.take(p)
	}
	if n == 0 && c.held.cut.Load() {
		return 0, net.ErrClosed // of which fasthttp makes no refusal
	}
	return n, err
}

// Write sends an answer, or holds it until the journal has told. p stays the caller's.
func (c *conn) Write(p []byte) (int, error) {
	h := &c.held
	if h.due && !isAnswer(p, h.decision.Answer) {
		c.settle() // other answers, a part of one, or 100 Continue are with it
	}
	if h.broken {
		return 0, net.ErrClosed
	}
	if !h.due {
		c.awaitTurn()
		return c.writeInTime(p)
	}
	h.due = false
	h.text = append(h.text[:0], p...)
	c.notify()
	return len(p), nil
}

// notify has the journal tell.
func (c *conn) notify() {
	h := &c.held
	if !c.receiver.journal.Notify(h.ticket, &h.waiter) {
		c.tell(c.receiver.journal.Wait(h.ticket, journal.Disk)) // decided already
	}
}

// isAnswer reports whether p is one whole answer with that body, and nothing else.
func isAnswer(p, body []byte) bool {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	return bytes.HasPrefix(p, []byte("HTTP/1.1 200 ")) && end+4+len(body) == len(p) && bytes.HasSuffix(p, body)
}

// tell sends the held answer, or not_confirmed in its place, and gives the turn back. It does
// not block: what the client does not take at once is left to a goroutine of its own.
func (c *conn) tell(err error) {
	h := &c.held
	f := c.note(err)
	if leaving := c.receiver.leaving.Load(); f != notRefused || leaving {
		h.text = c.receiver.compose(h.text[:0], h.decision, f, 0, leaving)
	}
	h.rest = h.text
	n, err := h.socket.TryWrite(h.rest)
	if h.rest = h.rest[n:]; err != nil {
		h.rest = nil // the connection was closed
	}
	if len(h.rest) > 0 {
		go c.sendRest()
		return
	}
	h.turn.Unlock()
}

// sendRest sends what is left of an answer to a client that is slow to take it, and ends the
// connection where it does not take it in time: nothing may come behind half an answer. The
// connection's goroutine waits for it where it needs the turn, and Shutdown for that.
func (c *conn) sendRest() {
	defer c.held.turn.Unlock()
	if _, err := c.writeInTime(c.held.rest); err != nil {
		// Its goroutine finds that and closes. Close here would wait for that, and that for the turn.
		c.held.cut.Store(true)
		_ = c.held.socket.CloseWrite()
		_ = c.held.socket.CloseRead()
	}
}

// note counts the held callback by what Wait would have returned, and ends its being in flight.
func (c *conn) note(err error) refusal {
	h, r := &c.held, c.receiver
	f := unconfirmedBy(err)
	r.metrics.answered(partOfHeld, h.decision, r.since(h.now))
	r.inFlight.leave()
	r.metrics.outcomes[f].Inc()
	h.ledger.note(outcome(f), h.now)
	if f != notRefused {
		if !h.source.IsValid() {
			h.source = edge.Peer(c.RemoteAddr())
		}
		r.refuse(h.ledger, f, h.now, h.app, h.source, h.command)
	}
	return f
}

// composer puts answers together. It is pooled.
type composer struct {
	ctx  fasthttp.RequestCtx
	text bytes.Buffer
	w    *bufio.Writer // to text
}

func newComposer() any {
	p := new(composer)
	p.w = bufio.NewWriter(&p.text)
	return p
}

// compose appends an answer from status line to body, for where fasthttp writes none, has written another
// one, or cannot know that the connection is to be closed by the client.
func (r *Receiver) compose(dst []byte, d *decision, f refusal, retry int, leaving bool) []byte {
	p := r.composers.Get().(*composer) //nolint:forcetypeassert // the pool has one maker
	defer func() {
		if p.text.Cap() <= keptBytes {
			r.composers.Put(p) // else of a route's own long answer
		}
	}()
	p.ctx.Response.Reset()
	p.ctx.Response.Header.SetNoDefaultContentType(true)
	p.text.Reset()
	p.w.Reset(&p.text)
	if f == notRefused {
		answer(&p.ctx, d.Answer)
	} else {
		answerRefusal(&p.ctx, f, retry)
	}
	if leaving {
		p.ctx.SetConnectionClose()
	}
	if p.ctx.Response.Write(p.w) != nil || p.w.Flush() != nil {
		panic("BUG: an answer cannot be written to memory")
	}
	return append(dst, p.text.Bytes()...)
}
