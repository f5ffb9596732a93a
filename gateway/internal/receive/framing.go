package receive

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// Where a request ends must not be a matter of opinion. What stands before the gateway may read a
// message otherwise than we do, and what one of the two takes for the end of a body is for the
// other a request that nobody has looked at (request smuggling; RFC 9112, 11.2). fasthttp repairs
// a good deal that the RFC permits a server to repair; here that is refused, and the connection
// closed. net/http is the yardstick: TestDifferences holds that we take nothing that it does not.

// strict says whether a request is what it says in one way only. It is called before anything of
// it is used, allocates nothing, and looks at the header block as it was sent.
func strict(h *fasthttp.RequestHeader) (b headerBlock, ok bool) {
	if !h.IsHTTP11() && string(h.Protocol()) != "HTTP/1.0" {
		return b, false
	}
	if h.IsConnect() {
		// What comes behind it is for the other end of a tunnel, which there is none of, and fasthttp
		// takes other targets for it than it may have.
		return b, false
	}
	b, ok = scanHeaders(h.RawHeaders())
	b.http11 = h.IsHTTP11()
	return b, ok && len(h.PeekTrailerKeys()) == 0
}

// headerBlock is what is seen of a header block while it is scanned.
type headerBlock struct {
	// last: the connection ends with this request. It says so, in any of its Connection headers; or
	// its body is chunked, of which how it ended (trailers, line ends) cannot be seen any more.
	last bool

	http11 bool // and not 1.0; set by strict and by plainRequest.read

	traceparent []byte // the first one, as sent; a view
}

// scanHeaders goes through a header block as sent, up to and with its empty line. It refuses line
// ends other than CR LF, continued lines (obs-fold), blanks in a name, Content-Length together with
// Transfer-Encoding, a coding other than chunked, an expectation other than 100-continue, trailers,
// a Connection that is no list of tokens, and a Host that is none. What fasthttp has refused already is not looked for: other bytes that may not
// stand in names or values, a second Content-Length, Transfer-Encoding or Host, a length that is
// no number.
func scanHeaders(raw []byte) (b headerBlock, ok bool) {
	sized, chunked := false, false
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n')
		if end < 1 || raw[end-1] != '\r' {
			return b, false
		}
		line := raw[:end-1]
		raw = raw[end+1:]
		if len(line) == 0 {
			return b, len(raw) == 0 && (!sized || !chunked)
		}
		// One pass to the colon: a name holds no blank, so a line that goes on is none either.
		colon := 0
		for colon < len(line) && line[colon] != ':' {
			if line[colon] <= ' ' {
				return b, false
			}
			colon++
		}
		if colon == 0 || colon == len(line) {
			return b, false
		}
		name, value := line[:colon], line[colon+1:]
		switch {
		case colon == len("Host") && equalFold(name, "host"):
			if !validHost(trimBlanks(value)) {
				return b, false
			}
		case colon == len("Expect") && equalFold(name, "expect"):
			if !equalFold(trimBlanks(value), "100-continue") {
				return b, false
			}
		case colon == len("Content-Length") && equalFold(name, "content-length"):
			sized = true
		case colon == len("Transfer-Encoding") && equalFold(name, "transfer-encoding"):
			if !equalFold(trimBlanks(value), "chunked") {
				return b, false
			}
			chunked, b.last = true, true
		case colon == len("Connection") && equalFold(name, "connection"):
			last, ok := connectionOptions(value)
			if !ok {
				return b, false
			}
			b.last = b.last || last
		case colon == len("Trailer") && equalFold(name, "trailer"):
			return b, false
		case colon == len("Traceparent") && b.traceparent == nil && equalFold(name, "traceparent"):
			b.traceparent = trimBlanks(value)
		}
	}
	return b, true // no header at all
}

// connectionOptions reads the value of a Connection header, a list of tokens with empty places
// (RFC 9110, 7.6.1); last: close is one of them. What has a blank within is refused: net/http takes
// "a close" for close, fasthttp does not, and the two would not agree on whether more can follow.
func connectionOptions(list []byte) (last, ok bool) {
	for more := true; more; {
		var option []byte
		option, list, more = bytes.Cut(list, []byte{','})
		option = trimBlanks(option)
		if bytes.ContainsAny(option, " \t") {
			return false, false
		}
		last = last || equalFold(option, "close")
	}
	return last, true
}

// equalFold compares s with lower, which is in lower case, without regard to the case of letters.
func equalFold(s []byte, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i, c := range s {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// trimBlanks cuts blanks and tabs off both ends.
func trimBlanks(s []byte) []byte {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// validHost says whether s is a host name or an address, with or without a port (RFC 9110, 7.2).
// It is never used for anything.
func validHost(s []byte) bool {
	if len(s) > 0 && s[0] == '[' {
		end := bytes.IndexByte(s, ']')
		if end < 0 {
			return false
		}
		for _, c := range s[1:end] {
			if unhex[c] < 0 && c != ':' && c != '.' {
				return false
			}
		}
		return end > 1 && validPort(s[end+1:])
	}
	port := bytes.IndexByte(s, ':')
	if port < 0 {
		port = len(s)
	}
	for _, c := range s[:port] {
		if !nameBytes[c] {
			return false
		}
	}
	return port > 0 && validPort(s[port:])
}

// nameBytes are the bytes of a host name, of a command, and of a plain request's path but for slashes.
var nameBytes = func() (table [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") {
		table[c] = true
	}
	return table
}()

// validPort says whether s is nothing, or a colon and digits.
func validPort(s []byte) bool {
	if len(s) == 0 {
		return true
	}
	for _, c := range s[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s[0] == ':'
}

// requestLine watches over what cannot be seen of a parsed request: that its first line begins at
// once, where fasthttp skips empty lines, and ends with CR LF, where it takes a bare LF. It is
// owned by the connection's goroutine.
type requestLine struct {
	got, used int64  // bytes read from the connection; bytes of the requests that were handled
	last      []byte // what was read last; in fasthttp's buffer, where it stays until the next read; nil: nothing ahead
	passed    bool   // the line is over
	begun     bool   // at least one byte of it was read
	end       byte   // the last of these
	odd       bool   // it is not as it should be
}

// arrived takes over what was read.
func (l *requestLine) arrived(p []byte) {
	l.got += int64(len(p))
	l.last = p
	if !l.passed {
		l.look(p)
	}
}

// look looks at p, which continues the line.
func (l *requestLine) look(p []byte) {
	if len(p) == 0 {
		return
	}
	if !l.begun {
		l.begun = true
		l.odd = p[0] == '\r' || p[0] == '\n'
	}
	switch i := bytes.IndexByte(p, '\n'); {
	case i < 0:
		l.end = p[len(p)-1]
		return
	case i > 0:
		l.odd = l.odd || p[i-1] != '\r'
	default:
		l.odd = l.odd || l.end != '\r'
	}
	l.passed = true
}

// skipped is told of a whole request that was answered without being looked at here.
func (l *requestLine) skipped(size int64) { l.got, l.used = l.got+size, l.used+size }

// handled is told how many bytes a request had whose line was as it should be. It returns whether
// it was, and goes on to the next request, of which a client that does not wait has sent some.
//
// The bytes of a chunked body cannot be told, but nothing comes after it, see strict.
func (l *requestLine) handled(size int64) (ok bool) {
	l.used += size
	ok = !l.odd
	l.passed, l.begun, l.odd, l.end = false, false, false, 0
	if ahead := l.got - l.used; ahead > 0 {
		l.look(l.last[max(0, int64(len(l.last))-ahead):])
	} else {
		l.last = nil // it may be the body's buffer
	}
	return ok
}

// padded says whether a chunked request, of which so many bytes were read, is mostly chunk sizes and
// extensions: a bounded body can be sent in any number of bytes (RFC 9112, 7.1.1). What was read
// beyond its end counts, too, which is nothing, or never looked at.
func padded(r *fasthttp.Request, read int64) bool {
	return r.Header.ContentLength() == chunkedLength && read-sizeOf(r) > maxPadding+int64(len(r.Body()))/2
}

// maxPadding is how much of a chunked request may be anything but its body, beside half of that.
const maxPadding = 2 << 10

// sizeOf is how many bytes a request has whose body is not chunked.
func sizeOf(r *fasthttp.Request) int64 {
	h := &r.Header
	size := len(h.Method()) + len(" ") + len(h.RequestURI()) + len(" ") + len(h.Protocol()) + len("\r\n")
	return int64(size + max(len(h.RawHeaders()), len("\r\n")) + len(r.Body()))
}
