package receive

import (
	"errors"
	"sync/atomic"
)

// A body is in memory before anybody knows whose it is, and a connection may take its time to send
// it. So what all of them together may hold is bounded, and each connection takes its share before
// it reads. What fits into the reader's buffer, which a connection has anyway, takes no share: that
// is nearly every callback, and every quota alarm, so that those who fill the bound with large
// bodies keep no alarm out. The share is given back when the request was handled.
//
// What a share covers is what fasthttp has allocated: for a body of known length all of it, from
// its first byte on, for a chunked one what has come so far.

// errNoRoom ends a read for which there is no share. The request is refused as busy.
var errNoRoom = errors.New("too many bytes of bodies are waiting")

// errTooLong ends a chunked request that has become long without its body becoming so.
var errTooLong = errors.New("request is too long")

// keptBytes is the largest buffer for bodies that an idle connection keeps for its next request.
const keptBytes = 16 << 10

// waiting counts the bytes of bodies that are being read and were not handled yet. It may be used
// by any number of goroutines.
type waiting struct {
	limit int64
	now   atomic.Int64
}

// take takes n bytes, which give gives back, or says that there is no room for them.
func (w *waiting) take(n int64) bool {
	if w.now.Add(n) > w.limit {
		w.now.Add(-n)
		return false
	}
	return true
}

func (w *waiting) give(n int64) { w.now.Add(-n) }

// room says whether n bytes would fit at this moment, for those who may have the given share of
// the limit in percent.
func (w *waiting) room(n, percent int64) bool { return w.now.Load()+n <= w.limit/100*percent }

// share is a connection's part of waiting. It is owned by the connection's goroutine.
type share struct {
	read  int64 // of this request so far
	taken int64 // from waiting
	none  bool  // there was no room
	alien bool  // there is none for who may not send at all
}

// reserve makes sure of room for c's reading n more bytes. For what a request may have without it costs
// nothing.
func (s *share) reserve(c *conn, n int64) bool {
	need, r := s.read+n, c.receiver
	if need <= max(r.freeBytes, s.taken) {
		return true
	}
	if s.alien = r.sources.refuses(c.RemoteAddr()); s.alien || !r.waiting.take(need-s.taken) {
		s.none = true
		return false
	}
	s.taken = need
	return true
}

// giveBack ends the request.
func (s *share) giveBack(w *waiting) {
	if s.taken > 0 {
		w.give(s.taken)
	}
	s.read, s.taken = 0, 0
}
