package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
)

// connection is one kept-alive connection to the target. It is a client for this one
// purpose, without the buffers, maps and goroutines of a general one, because every
// microsecond that it uses is taken from the server on the same two cores. It belongs to
// one goroutine.
type connection struct {
	target  target
	timeout time.Duration // for one whole exchange, the connecting aside
	conn    net.Conn      // nil: to be made
	until   time.Time     // the deadline that conn has
	n       int64         // exchanges that conn has begun
	in      []byte        // the answer as far as it came
}

// connectTimeout bounds the making of a connection on this machine.
const connectTimeout = 2 * time.Second

// maxAnswer bounds an answer: the envelope is 54 bytes.
const maxAnswer = 64 << 10

// result is what came of one request.
type result struct {
	status, code int
	failure      ledger.Failure
	exchange     int64 // which one of its connection, from 1; 0: there was none
	last         bool  // the answer said that its connection has no further one
	retryAfter   int   // seconds of its Retry-After, 0: it had none
}

// exchange sends one whole request and waits for its answer. It never retries: what
// happened to a request is a fact for the ledger.
func (c *connection) exchange(ctx context.Context, request []byte, now time.Time) (got result) {
	if c.conn == nil {
		dialer := net.Dialer{Timeout: connectTimeout}
		conn, err := dialer.DialContext(ctx, "tcp", c.target.addr)
		if err != nil {
			return result{failure: ledger.FailureConnect}
		}
		c.conn, c.until, c.n = conn, time.Time{}, 0
	}
	c.n++
	defer func() { got.exchange = c.n }()
	c.in = c.in[:0]
	if c.until.Sub(now) < c.timeout { // moving a deadline costs: it is moved once a second
		c.until = now.Add(c.timeout + time.Second)
		if err := c.conn.SetDeadline(c.until); err != nil {
			return c.failed(err)
		}
	}
	if _, err := c.conn.Write(request); err != nil {
		return c.failed(err)
	}
	return c.answer()
}

// answer reads one answer.
func (c *connection) answer() result {
	var parsed answer
	for {
		if len(c.in) == cap(c.in) {
			c.in = append(c.in, make([]byte, 4096)...)[:len(c.in)]
		}
		n, err := c.conn.Read(c.in[len(c.in):cap(c.in)])
		c.in = c.in[:len(c.in)+n]
		if n > 0 {
			whole, parseErr := parsed.parse(c.in)
			if parseErr != nil || len(c.in) > maxAnswer {
				c.close()
				return result{failure: ledger.FailureBadAnswer}
			}
			if whole {
				if parsed.last {
					c.close()
				}
				return result{status: parsed.status, code: parsed.code, last: parsed.last, retryAfter: parsed.retryAfter}
			}
		}
		if err != nil {
			return c.failed(err)
		}
	}
}

// failed gives the connection up and says how it ended. A server's kernel resets a connection
// that is closed with bytes unread and just closes one without, also when it is killed: that
// tells a request that nobody read from one whose answer is missing.
func (c *connection) failed(err error) result {
	c.close()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return result{failure: ledger.FailureTimeout}
	case len(c.in) > 0:
		return result{failure: ledger.FailureCut}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return result{failure: ledger.FailureReset}
	}
	return result{failure: ledger.FailureClosed}
}

func (c *connection) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// answer is an HTTP answer with the vendor's envelope.
type answer struct {
	status, code int
	last         bool // the server closes the connection after it
	retryAfter   int  // seconds, 0: not said
}

var errBadAnswer = errors.New("not an HTTP/1.1 answer with a Content-Length and the vendor's envelope")

// parse looks at what has come so far. It returns false, without an error, when more is
// needed. Bytes after the answer are an error: nothing was asked that would explain them.
func (a *answer) parse(in []byte) (whole bool, err error) {
	end := bytes.Index(in, []byte("\r\n\r\n"))
	if end < 0 {
		return false, nil
	}
	line, headers, _ := bytes.Cut(in[:end+2], []byte("\r\n"))
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return false, errBadAnswer
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return false, errBadAnswer
	}
	length := -1
	for len(headers) > 0 {
		var header []byte
		header, headers, _ = bytes.Cut(headers, []byte("\r\n"))
		name, value, _ := bytes.Cut(header, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 {
				return false, errBadAnswer
			}
		case bytes.EqualFold(name, []byte("Connection")):
			a.last = bytes.EqualFold(value, []byte("close"))
		case bytes.EqualFold(name, []byte("Retry-After")):
			if a.retryAfter, err = strconv.Atoi(string(value)); err != nil {
				return false, errBadAnswer
			}
		}
	}
	body := in[end+4:]
	switch {
	case length < 0 || len(body) > length:
		return false, errBadAnswer
	case len(body) < length:
		return false, nil
	}
	return true, a.envelope(body)
}

// envelope finds the ErrorCode.
func (a *answer) envelope(body []byte) error {
	const field = `"ErrorCode":`
	at := bytes.Index(body, []byte(field))
	if at < 0 || body[len(body)-1] != '}' {
		return errBadAnswer
	}
	digits := bytes.TrimLeft(body[at+len(field):], " ")
	n := 0
	for n < len(digits) && (digits[n] >= '0' && digits[n] <= '9' || n == 0 && digits[n] == '-') {
		n++
	}
	code, err := strconv.Atoi(string(digits[:n]))
	if err != nil {
		return errBadAnswer
	}
	a.code = code
	return nil
}
