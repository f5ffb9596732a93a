package receive

import (
	"bytes"
	"fmt"
	"io"
	"net"
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
//	fasthttp     conn.Read: the first byte of the next request
//	next         reads into fasthttp's empty buffer
//	plainRequest one of those? else fasthttp has the bytes, as if nothing had been
//	servePlain   handler.go's stages, the answer; and next reads again
//
// Nothing is decided here about what is a request: whatever has anything that two readers could read
// differently, or that could be refused before its app is known, is no plain one, and fasthttp's and
// framing.go's to decide upon. TestPlainIsFasthttp holds that both ways give the same.

// plainRequest is a request as it was sent: views.
type plainRequest struct {
	path, query []byte
	head        []byte // the header block, up to and with its empty line
	body        []byte
	header      headerBlock
}

// read reads p and says whether it is one plain request, whole, and nothing else.
func (w *plainRequest) read(p []byte) bool {
	const method, protocol = "POST ", " HTTP/1.1\r\n"
	if len(p) < len(method) || string(p[:len(method)]) != method {
		return false
	}
	p = p[len(method):]
	end := bytes.IndexByte(p, ' ')
	if end < 1 || len(p) < end+len(protocol) || string(p[end:end+len(protocol)]) != protocol {
		return false
	}
	if !w.target(p[:end]) {
		return false
	}
	p = p[end+len(protocol):]
	size, length, ok := w.headers(p)
	if !ok || size+length != len(p) {
		return false
	}
	w.head, w.body = p[:size], p[size:]
	return true
}

// target takes a path and a query. Their bytes are looked at by whoever knows what they mean; what
// only ASCII may be is left to fasthttp.
func (w *plainRequest) target(target []byte) bool {
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
	w.path, w.query = path, query
	return true
}

// headers reads a header block at the start of p, and returns its size and the length of the body.
func (w *plainRequest) headers(p []byte) (size, length int, ok bool) {
	sized, named := false, false
	for {
		end := bytes.IndexByte(p[size:], '\n')
		if end < 1 || p[size+end-1] != '\r' {
			return 0, 0, false
		}
		line := p[size : size+end-1]
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
		switch colon {
		case len("Host"):
			if !equalFold(name, "host") {
				break
			}
			if named || !plainHost(value) {
				return 0, 0, false
			}
			named = true
		case len("Content-Length"):
			if !equalFold(name, "content-length") {
				break
			}
			if length, ok = plainLength(value); !ok || sized {
				return 0, 0, false
			}
			sized = true
		case len("Connection"):
			if equalFold(name, "connection") && !equalFold(value, "keep-alive") {
				return 0, 0, false
			}
		case len("Expect"):
			if equalFold(name, "expect") {
				return 0, 0, false
			}
		case len("Transfer-Encoding"):
			if equalFold(name, "transfer-encoding") {
				return 0, 0, false
			}
		case len("Trailer"):
			if equalFold(name, "trailer") {
				return 0, 0, false
			}
		case len("Traceparent"):
			if w.header.traceparent == nil && equalFold(name, "traceparent") {
				w.header.traceparent = value
			}
		}
	}
}

// plainLength reads the length of a body that is there, and short enough to be taken without a look at what
// it would cost (early.go).
func plainLength(s []byte) (length int, ok bool) {
	if len(s) == 0 || len(s) > len("4096") {
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
	if c.held.socket != nil && c.Conn == net.Conn(c.held.socket) {
		n, err = c.held.socket.ReadEach(p, c.plain)
	} else {
		for {
			if n, err = c.Conn.Read(p); n == 0 || err != nil || !c.plain(n) {
				break
			}
		}
	}
	c.piece = nil
	if c.over {
		return 0, io.EOF
	}
	if n == 0 && c.line.used > 0 {
		return 0, io.EOF // for fasthttp it may be the first that did not come, which it would answer
	}
	c.share.read += int64(n)
	c.line.arrived(p[:n])
	return n, err
}

// servePlain answers the first n bytes of piece where they are a plain request. more: they were, and the
// connection waits for the next.
func (c *conn) servePlain(n int) (more bool) {
	r := c.receiver
	var w plainRequest
	if r.leaving.Load() || !w.read(c.piece[:n]) || len(w.body) > r.server.MaxRequestBodySize ||
		r.path != "" && string(w.path) != r.path {
		return false
	}
	q := r.requests.Get().(*request) //nolint:forcetypeassert // the pool has one maker
	defer r.release(q)
	q.conn, q.head, q.raw, q.body, q.header = c, w.head, w.query, w.body, w.header
	q.header.http11 = true
	if r.checkSource(q) != notRefused || q.query.parse(q.raw) != notRefused {
		return false
	}
	q.now = r.clockTime()
	c.begin()
	result := r.serve(q)
	c.line.got, c.line.used = c.line.got+int64(n), c.line.used+int64(n)
	if result == outcomeHeld {
		c.held.due = false
		c.held.text = r.appendOK(c.held.text[:0], q.decision, q.now)
		c.notify()
	} else {
		r.count(q, result)
		c.over = !c.answerPlain(q, result)
	}
	c.end(result)
	c.rests()
	return !c.over
}

// answerPlain writes the answer to q. more: a further request may follow it.
func (c *conn) answerPlain(q *request, result outcome) (more bool) {
	r := c.receiver
	text, leaving := c.held.text[:0], r.leaving.Load()
	more = !leaving
	switch {
	case result != outcomeAccepted && result != outcomeDropped:
		text = r.compose(text, nil, refusal(result), q.retry, leaving)
		more = more && !refusals[result].close
	case leaving:
		text = r.compose(text, q.decision, notRefused, 0, leaving)
	default:
		text = r.appendOK(text, q.decision, q.now)
	}
	if cap(text) <= 2*maxHeldBytes {
		c.held.text = text // else it is a route's own long answer, which an idle connection does not keep
	}
	_, err := c.writeInTime(text)
	return more && err == nil
}

// appendOK appends a 200 of d as fasthttp would write it.
func (r *Receiver) appendOK(dst []byte, d *decision, now time.Time) []byte {
	date := r.date.Load()
	if second := now.Unix(); date == nil || date.second != second {
		date = &dateLine{second, "HTTP/1.1 200 OK\r\nDate: " + string(fasthttp.AppendHTTPDate(nil, now)) + "\r\n"}
		r.date.Store(date)
	}
	return append(append(dst, date.text...), d.rest...)
}

// dateLine is what an answer of that second begins with.
type dateLine struct {
	second int64
	text   string
}

// restOf is what follows the date in a 200 with body.
func restOf(body []byte) []byte {
	return fmt.Appendf(nil, "Content-Type: %s\r\nContent-Length: %d\r\n\r\n%s", contentTypeJSON, len(body), body)
}
