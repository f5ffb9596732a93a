package receive

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/valyala/fasthttp"
)

// Plain requests. Nearly every callback is a short POST that arrives in one piece, with nothing before
// or behind it, in the one form that all readers of HTTP read in the same way. What fasthttp does for one
// beyond what it means, copying its header, resetting and filling a context, putting an answer
// together, is most of what it costs. So where fasthttp waits for the first byte of a request, the
// connection looks at what came, and answers a plain request itself, by the same stages, with the same
// bytes. fasthttp does not learn of it and goes on waiting.
//
//	fasthttp      conn.Read: the first byte of the next request
//	next          reads into fasthttp's empty buffer
//	plainRequest  one of those? else fasthttp has the bytes, as if nothing had been
//	servePlain    handler.go's stages, the answer; and next reads again
//
// Nothing is decided here about what is a request: whatever has anything that two readers could read
// differently, or that could be refused before its app is known, is no plain one, and fasthttp's and
// framing.go's to decide upon. TestPlainIsFasthttp holds that both ways give the same.

// plainRequest is a request as it was sent: views.
type plainRequest struct {
	path, query []byte
	block       []byte      // of headers, up to and with the empty line
	header      headerBlock // what is seen in it
	body        []byte
}

// read reads raw and says whether it is one plain request, whole, and nothing else.
func (p *plainRequest) read(raw []byte) bool {
	const method, protocol = "POST ", " HTTP/1.1\r\n"
	if len(raw) < len(method) || string(raw[:len(method)]) != method {
		return false
	}
	raw = raw[len(method):]
	end := bytes.IndexByte(raw, ' ')
	if end < 1 || len(raw) < end+len(protocol) || string(raw[end:end+len(protocol)]) != protocol {
		return false
	}
	if !p.target(raw[:end]) {
		return false
	}
	raw = raw[end+len(protocol):]
	size, length, ok := p.headers(raw)
	if !ok || size+length != len(raw) {
		return false
	}
	p.block, p.body = raw[:size], raw[size:]
	p.header.http11 = true
	return true
}

// target cuts a target into path and query. The path may hold only what nobody decodes or normalizes; of
// the query, only that it is ASCII is asked here, and query.parse looks at the rest.
func (p *plainRequest) target(target []byte) bool {
	if !visible(target) {
		return false
	}
	path, query := target, []byte(nil)
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		path, query = target[:i], target[i+1:]
	}
	if len(path) == 0 || path[0] != '/' || len(path) > 1 && path[1] == '/' {
		return false
	}
	for _, c := range path[1:] {
		if c != '/' && !nameBytes[c] {
			return false
		}
	}
	p.path, p.query = path, query
	return true
}

// headers reads a header block at the start of raw, and returns its size and the length of the body. It is
// not scanHeaders, as that does without what fasthttp has refused; here nothing has been.
func (p *plainRequest) headers(raw []byte) (size, length int, ok bool) {
	sized, named := false, false
	for {
		end := bytes.IndexByte(raw[size:], '\n')
		if end < 1 || raw[size+end-1] != '\r' {
			return 0, 0, false
		}
		line := raw[size : size+end-1]
		size += end + 1
		if len(line) == 0 {
			return size, length, sized && named
		}
		colon := 0
		for colon < len(line) && tokenBytes[line[colon]] {
			colon++
		}
		if colon == 0 || colon == len(line) || line[colon] != ':' {
			return 0, 0, false
		}
		name, value := line[:colon], trimBlanks(line[colon+1:])
		if !visible(value) {
			return 0, 0, false
		}
		switch {
		case colon == len("Host") && equalFold(name, "host"):
			if named || !plainHost(value) {
				return 0, 0, false
			}
			named = true
		case colon == len("Content-Length") && equalFold(name, "content-length"):
			if length, ok = plainLength(value); !ok || sized {
				return 0, 0, false
			}
			sized = true
		case colon == len("Connection") && equalFold(name, "connection"):
			if !equalFold(value, "keep-alive") {
				return 0, 0, false
			}
		case colon == len("Expect") && equalFold(name, "expect"),
			colon == len("Transfer-Encoding") && equalFold(name, "transfer-encoding"),
			colon == len("Trailer") && equalFold(name, "trailer"):
			return 0, 0, false
		case colon == len("Traceparent") && p.header.traceparent == nil && equalFold(name, "traceparent"):
			p.header.traceparent = value
		}
	}
}

// plainLength reads the length of a body that is there, and short enough to be taken without a look at what
// it would cost (early.go).
func plainLength(s []byte) (length int, ok bool) {
	const digits = len("4096") // of earlyBytes
	if len(s) == 0 || len(s) > digits {
		return 0, false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		length = 10*length + int(c-'0')
	}
	return length, 0 < length && length <= earlyBytes
}

// plainHost says whether s is a name or an IPv4 address, with or without a port.
func plainHost(s []byte) bool { return len(s) > 0 && s[0] != '[' && validHost(s) }

// visible says whether s is of ASCII that can be seen, and blanks.
func visible(s []byte) bool {
	bad := byte(0)
	for _, c := range s {
		bad |= unseenBytes[c]
	}
	return bad == 0
}

// unseenBytes are not 0 for what is neither a character of ASCII that can be seen nor a blank.
var unseenBytes = func() (table [256]byte) {
	for c := range table {
		if c < ' ' || c > '~' {
			table[c] = 1
		}
	}
	return table
}()

// tokenBytes are the bytes of a header's name (RFC 9110, 5.6.2).
var tokenBytes = func() (table [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		table[c] = true
	}
	return table
}()

// next reads for fasthttp, which has nothing and waits for a request, into its buffer. It returns what is no
// plain request.
func (c *conn) next(p []byte) (n int, err error) {
	c.piece = p
	if c.direct {
		n, err = c.held.socket.ReadEach(p, c.plain)
	} else { // behind the edge, whose Read takes off what stands before HTTP
		for {
			if n, err = c.Conn.Read(p); n == 0 || err != nil || !c.plain(n) {
				break
			}
		}
	}
	c.piece = nil
	if c.ended || n == 0 && c.line.used > 0 {
		// Whatever it was that ended it: fasthttp, which may have seen no request of this connection, would
		// answer to one that did not come.
		return 0, io.EOF
	}
	c.came(p[:n])
	return n, err
}

// servePlain answers the first n bytes of piece where they are a plain request. more: they were, and the
// connection waits for the next.
func (c *conn) servePlain(n int) (more bool) {
	r := c.receiver
	var p plainRequest
	if r.leaving.Load() || !p.read(c.piece[:n]) || len(p.body) > r.server.MaxRequestBodySize || !r.takes(p.path) {
		return false
	}
	q := r.requests.Get().(*request) //nolint:forcetypeassert // the pool has one maker
	defer r.release(q)
	q.conn, q.block, q.raw, q.body, q.header = c, p.block, p.query, p.body, p.header
	if r.checkSource(q) != notRefused || q.query.parse(q.raw) != notRefused {
		return false
	}
	q.now = r.clockTime()
	if !c.begin() {
		c.ended = true
		return false
	}
	result := r.serve(q)
	c.line.skipped(int64(n))
	if result == outcomeHeld {
		c.held.due = false
		c.held.text = r.appendOK(c.held.text[:0], q.decision, q.now)
		c.notify()
	} else {
		r.count(q, result)
		c.ended = !c.answerPlain(q, result)
	}
	c.end(result)
	c.rests()
	return !c.ended
}

// answerPlain writes the answer to q. more: a further request may follow it.
func (c *conn) answerPlain(q *request, result outcome) (more bool) {
	r, h := c.receiver, &c.held
	leaving, alone := r.leaving.Load(), []byte(nil)
	more = !leaving
	switch {
	case result != outcomeAccepted && result != outcomeDropped:
		h.text = r.compose(h.text[:0], nil, refusal(result), q.retry, leaving)
		more = more && !refusals[result].close
	case leaving:
		h.text = r.compose(h.text[:0], q.decision, notRefused, 0, leaving)
	default:
		h.text = r.appendOK(h.text[:0], q.decision, q.now)
		if len(q.decision.Answer) > maxHeldBytes {
			alone = q.decision.Answer
		}
	}
	_, err := c.writeInTime(h.text)
	if err == nil && alone != nil {
		_, err = c.writeInTime(alone)
	}
	return more && err == nil
}

// appendOK appends a 200 of d as fasthttp would write it, of a long one all but the body, which is not copied.
func (r *Receiver) appendOK(dst []byte, d *decision, now time.Time) []byte {
	date := r.date.Load()
	if second := now.Unix(); date == nil || date.second != second {
		date = &dateLine{second, "HTTP/1.1 200 OK\r\nDate: " + string(fasthttp.AppendHTTPDate(nil, now)) + "\r\n"}
		r.date.Store(date)
	}
	return append(append(dst, date.text...), d.afterDate...)
}

// dateLine is what an answer of that second begins with.
type dateLine struct {
	second int64
	text   string
}

var afterOK = afterDate(okEnvelope)

// afterDate is what follows the date in a 200 with body, but for one that is long.
func afterDate(body []byte) []byte {
	text := fmt.Appendf(nil, "Content-Type: %s\r\nContent-Length: %d\r\n\r\n", contentTypeJSON, len(body))
	if len(body) > maxHeldBytes {
		return text
	}
	return append(text, body...)
}
