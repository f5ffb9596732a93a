package receive

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"github.com/tidegate/tidegate/schema"
)

// The query parameters, exactly so spelled (trtc.io/document/34354).
const (
	parameterApp         = "SdkAppid"
	parameterCommand     = "CallbackCommand"
	parameterContentType = "contenttype"
	parameterClientIP    = "ClientIP"
	parameterOptPlatform = "OptPlatform"
	parameterRequestTime = "RequestTime"
	parameterSign        = "Sign"
)

// splitTarget cuts a request target into path and query, both as sent. ok is false where
// the target is neither a path nor an absolute URL of http or https (RFC 9112, 3.2), or holds a
// fragment, which no client may send, or broken percent-encoding in the path.
func splitTarget(target []byte) (path, query []byte, ok bool) {
	if bytes.IndexByte(target, '#') >= 0 {
		return nil, nil, false
	}
	if len(target) == 0 || target[0] != '/' {
		scheme, rest, absolute := bytes.Cut(target, []byte("://"))
		if !absolute || !equalFold(scheme, "http") && !equalFold(scheme, "https") {
			return nil, nil, false
		}
		end := bytes.IndexAny(rest, "/?")
		if end < 0 {
			return nil, nil, validHost(rest)
		}
		if !validHost(rest[:end]) {
			return nil, nil, false
		}
		target = rest[end:]
	}
	path, query, _ = bytes.Cut(target, []byte("?"))
	return path, query, validPath(path)
}

// validPath says whether the percent-encoding of a path is whole. It is not decoded: --path has
// none.
func validPath(path []byte) bool {
	for {
		i := bytes.IndexByte(path, '%')
		if i < 0 {
			return true
		}
		if i+2 >= len(path) || unhex[path[i+1]] < 0 || unhex[path[i+2]] < 0 {
			return false
		}
		path = path[i+3:]
	}
}

// query is a parsed query string. Its slices are views into the string or, where a value
// was percent-encoded, into scratch: they live until the next parse. It is for one
// goroutine at a time and is kept for its buffers.
type query struct {
	appID      int64             // of the first SdkAppid, 0 where it is malformed: known even when the query is refused
	validApp   bool              // appID is one
	command    []byte            // of the first CallbackCommand, as sent
	attributes schema.Attributes // those that come from the URL; nil where absent or empty
	sign       []byte            // nil where absent
	encoded    bool              // there is percent-encoding, or a plus sign, somewhere
	seen       uint8             // bits of the parameters that may be there only once

	scratch []byte // decoded names and values; never grows while views into it exist
	other   []byte // every other parameter, as sent
}

// Bits of query.seen.
const (
	seenApp uint8 = 1 << iota
	seenCommand
	seenRequestTime
	seenSign
)

// parse reads raw, a query string as sent, and allocates only while its buffers grow to the
// longest query. It is stricter than net/url: what is ambiguous is refused, never guessed.
func (q *query) parse(raw []byte) refusal {
	q.forget()
	q.scratch, q.other = slices.Grow(q.scratch, len(raw)), slices.Grow(q.other, len(raw))
	var ok bool
	if q.encoded, ok = scanQuery(raw); !ok {
		return refusedQuery
	}
	for len(raw) > 0 {
		pair := raw
		if i := bytes.IndexByte(raw, '&'); i >= 0 {
			pair, raw = raw[:i], raw[i+1:]
		} else {
			raw = nil
		}
		if f := q.pair(pair); f != notRefused {
			return f
		}
	}
	if len(q.other) > 0 {
		q.attributes[schema.AttributeQuery] = q.other
	}
	return q.check()
}

// forget drops all views and keeps the buffers.
func (q *query) forget() { *q = query{scratch: q.scratch[:0], other: q.other[:0]} }

// pair takes one name=value.
func (q *query) pair(pair []byte) refusal {
	if len(pair) == 0 {
		return notRefused
	}
	rawName, rawValue := pair, []byte(nil)
	if i := bytes.IndexByte(pair, '='); i >= 0 {
		rawName, rawValue = pair[:i], pair[i+1:]
	}
	name, value := rawName, rawValue
	if q.encoded {
		var named, valued bool
		if name, named = q.decode(rawName); !named {
			return refusedQuery
		}
		if value, valued = q.decode(rawValue); !valued {
			return refusedQuery
		}
	}
	switch string(name) {
	case parameterApp:
		if q.seen&seenApp == 0 {
			q.appID, q.validApp = parseAppID(value)
		}
		return q.once(seenApp, refusedAppDoubled)
	case parameterCommand:
		if q.seen&seenCommand == 0 {
			q.command = value
		}
		return q.once(seenCommand, refusedCommandDoubled)
	case parameterSign:
		q.sign = value
		return q.once(seenSign, refusedQuery)
	case parameterRequestTime:
		if f := q.once(seenRequestTime, refusedQuery); f != notRefused {
			return f
		}
		return q.attribute(schema.AttributeRequestTime, pair, value)
	case parameterContentType:
		return q.attribute(schema.AttributeContentType, pair, value)
	case parameterClientIP:
		return q.attribute(schema.AttributeClientIP, pair, value)
	case parameterOptPlatform:
		return q.attribute(schema.AttributeOptPlatform, pair, value)
	}
	// A front end that changes the case of names must not make us keep a Sign.
	if !bytes.EqualFold(name, []byte(parameterSign)) {
		q.keep(pair)
	}
	return notRefused
}

// once notes that a parameter is there, and refuses its second time.
func (q *query) once(bit uint8, doubled refusal) refusal {
	if q.seen&bit != 0 {
		return doubled
	}
	q.seen |= bit
	return notRefused
}

// attribute keeps the first value of an optional parameter; any further one is kept as it
// was sent, with the parameters that we do not know.
func (q *query) attribute(a schema.Attribute, pair, value []byte) refusal {
	if q.encoded && slices.ContainsFunc(value, isControl) {
		return refusedQuery // the value becomes a header of the record; scanQuery has seen what was not encoded
	}
	switch {
	case len(value) == 0:
	case q.attributes[a] == nil:
		q.attributes[a] = value
	default:
		q.keep(pair)
	}
	return notRefused
}

func isControl(c byte) bool { return c < ' ' || c == 0x7f }

func (q *query) keep(pair []byte) {
	if len(q.other) > 0 {
		q.other = append(q.other, '&')
	}
	q.other = append(q.other, pair...)
}

// check looks at what must be there once all parameters were read.
func (q *query) check() refusal {
	if q.seen&seenApp == 0 {
		return refusedAppMissing
	}
	if !q.validApp {
		return refusedAppMalformed
	}
	if q.seen&seenCommand == 0 {
		return refusedCommandMissing
	}
	if !validCommand(q.command) {
		return refusedCommandMalformed
	}
	return notRefused
}

// decode resolves percent-encoding and plus signs, as application/x-www-form-urlencoded
// has them. ok is false where the encoding is broken or hides a NUL or invalid UTF-8.
func (q *query) decode(s []byte) (decoded []byte, ok bool) {
	i := bytes.IndexAny(s, "%+")
	if i < 0 {
		return s, true
	}
	from := len(q.scratch)
	q.scratch = append(q.scratch, s[:i]...)
	for ; i < len(s); i++ {
		c := s[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(s) || unhex[s[i+1]] < 0 || unhex[s[i+2]] < 0 {
				return nil, false
			}
			c = byte(unhex[s[i+1]])<<4 | byte(unhex[s[i+2]])
			i += 2
		}
		if c == 0 {
			return nil, false
		}
		q.scratch = append(q.scratch, c)
	}
	decoded = q.scratch[from:len(q.scratch):len(q.scratch)]
	return decoded, utf8.Valid(decoded)
}
