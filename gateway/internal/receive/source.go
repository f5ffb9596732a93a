package receive

import (
	"bytes"
	"net"
	"net/netip"
	"unsafe"

	"github.com/valyala/fasthttp"

	"github.com/tidegate/tidegate/gateway/internal/edge"
	"github.com/tidegate/tidegate/internal/reload"
)

// headerForwarded is where proxies name who they speak for, each the one before it at the end.
const headerForwarded = "x-forwarded-for"

// sources says where requests come from and who may send any.
type sources struct {
	trusted edge.Networks               // the proxies whose X-Forwarded-For is believed
	allowed *reload.File[edge.Networks] // nil: everybody
}

// source returns the address that q comes from: the connection's other end (behind a PROXY
// header, the one that it names), or, where that is a trusted proxy, who the proxies say it
// is. It is what /apps shows, and what is allowed and limited by source. It is computed once
// per request, and without an allocation; the zero address is one that is not known.
func (r *Receiver) source(q *request) netip.Addr {
	switch {
	case q.from.IsValid():
	case q.ctx != nil:
		q.from = r.sources.of(q.ctx)
	default:
		q.from = r.sources.behind(q.conn.RemoteAddr(), func() [][]byte {
			q.forwarded = appendValues(q.forwarded[:0], q.block, headerForwarded)
			return q.forwarded
		})
	}
	return q.from
}

// of returns the source of a request of fasthttp's that may have been read only in part.
func (s *sources) of(ctx *fasthttp.RequestCtx) netip.Addr {
	return s.behind(ctx.RemoteAddr(), func() [][]byte { return ctx.Request.Header.PeekAll(headerForwarded) })
}

// behind returns the source of a request that came from other, where lines gives the values of its
// X-Forwarded-For.
func (s *sources) behind(other net.Addr, lines func() [][]byte) netip.Addr {
	peer := edge.Peer(other)
	if !s.trusted.Contains(peer) {
		return peer
	}
	return s.forwarded(peer, lines())
}

// appendValues appends the values of a header, whose name is in lower case, in a block as sent: with their
// blanks and line ends.
func appendValues(dst [][]byte, block []byte, lower string) [][]byte {
	for line := range bytes.Lines(block) {
		if name, value, _ := bytes.Cut(line, []byte{':'}); equalFold(name, lower) {
			dst = append(dst, value)
		}
	}
	return dst
}

// forwarded walks X-Forwarded-For from its end, which is what the nearest proxy wrote, to the
// first address that is not a trusted proxy: what stands before it anybody could have written.
// What is no address ends the walk at the proxy that passed it on.
func (s *sources) forwarded(peer netip.Addr, lines [][]byte) netip.Addr {
	hop := peer
	for i := len(lines) - 1; i >= 0; i-- {
		for list, more := lines[i], true; more; {
			last := list
			comma := bytes.LastIndexByte(list, ',')
			if more = comma >= 0; more {
				list, last = list[:comma], list[comma+1:]
			}
			addr, ok := parseHop(bytes.TrimSpace(last))
			if !ok {
				return hop
			}
			if hop = addr; !s.trusted.Contains(hop) {
				return hop
			}
		}
	}
	return hop
}

// parseHop reads an address as proxies write it: 192.0.2.1, 192.0.2.1:443, 2001:db8::1,
// [2001:db8::1] or [2001:db8::1]:443.
func parseHop(text []byte) (netip.Addr, bool) {
	if len(text) > 0 && text[0] == '[' {
		end := bytes.IndexByte(text, ']')
		if end < 0 || end+1 < len(text) && text[end+1] != ':' {
			return netip.Addr{}, false
		}
		text = text[1:end]
	} else if colon := bytes.IndexByte(text, ':'); colon >= 0 && bytes.LastIndexByte(text, ':') == colon {
		text = text[:colon] // IPv6 has at least two
	}
	if len(text) == 0 || len(text) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") || bytes.IndexByte(text, '%') >= 0 {
		return netip.Addr{}, false
	}
	// A view: ParseAddr keeps a string only as a zone, which there is none, or in its error.
	addr, err := netip.ParseAddr(unsafe.String(&text[0], len(text)))
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

// refuses says whether nothing that comes over a connection may be sent, whatever its header says.
func (s *sources) refuses(peer net.Addr) bool {
	if s.allowed == nil {
		return false
	}
	addr := edge.Peer(peer)
	return !s.trusted.Contains(addr) && !s.allowed.Get().Contains(addr)
}

// checkSource refuses a request of a source that may not send any. A source that is not known is
// nobody's.
func (r *Receiver) checkSource(q *request) refusal {
	if r.sources.allowed != nil && !r.sources.allowed.Get().Contains(r.source(q)) {
		return refusedSource
	}
	return notRefused
}
