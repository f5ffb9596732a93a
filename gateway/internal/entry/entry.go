// Package entry is the payload of a journal entry: the topic and the callback, as bytes.
//
// The first byte is the version of the layout; a version is written only by releases
// after the one that can read it. Numbers are little-endian, lengths are uvarints in
// their shortest form and are checked against what is left before anything is sliced.
// Parse returns views. The callback's id is not in the payload: the journal gives it.
//
// Version 1:
//
//	offset  size
//	0       1     version, 1
//	1       1     schema.Authenticated
//	2       8     time of receipt, Unix milliseconds, signed
//	10      8     SdkAppid
//	18      ...   topic, gateway, command: each a uvarint length and its bytes
//	        1     number of attributes that are present
//	        ...   each attribute: its number (1 byte), a uvarint length, its bytes;
//	              in the order of their numbers
//	        ...   body: a uvarint length and its bytes, to the end of the payload
//
// Every callback has exactly one encoding, so equal payloads and equal entries are the
// same thing. An attribute that is absent (nil) is not written; an empty one is.
package entry

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/schema"
)

// version is the layout that Append writes.
const version = 1

// Sizes and places of the fixed part, as the package's documentation draws it.
const (
	offsetAuthenticated = 1
	offsetReceivedAt    = 2
	offsetAppID         = 10
	fixedSize           = 18
)

// Entry is one journal entry, decoded.
type Entry struct {
	Topic    []byte // Kafka topic that the route chose, complete with its prefix
	Callback schema.Callback
}

// Append appends the encoding of topic and c to dst and returns it. It allocates only
// when dst has no room. c.ID is not written, and of c.ReceivedAt only the milliseconds.
// Neither dst nor c is kept.
func Append(dst []byte, topic string, c *schema.Callback) []byte {
	dst = append(dst, version, byte(c.Authenticated))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(c.ReceivedAt.UnixMilli()))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(c.AppID))
	dst = binary.AppendUvarint(dst, uint64(len(topic)))
	dst = append(dst, topic...)
	dst = appendBytes(dst, c.Gateway)
	dst = appendBytes(dst, c.Command)
	dst = appendAttributes(dst, &c.Attributes)
	return appendBytes(dst, c.Body)
}

func appendAttributes(dst []byte, attributes *schema.Attributes) []byte {
	count := len(dst)
	dst = append(dst, 0)
	for i, value := range attributes {
		if value == nil {
			continue
		}
		dst[count]++
		dst = append(dst, byte(i))
		dst = appendBytes(dst, value)
	}
	return dst
}

func appendBytes(dst, value []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// Parse decodes one payload into a new Entry, as Decode does.
func Parse(payload []byte) (Entry, error) {
	var e Entry
	if err := e.Decode(payload); err != nil {
		return Entry{}, err
	}
	return e, nil
}

// Decode decodes one payload into e, over whatever was in it. The slices are views into payload
// and are capped, so that appending to one cannot reach the next. It allocates nothing unless it
// fails. ErrVersion: a newer release wrote it. ErrCorrupt: nobody did; either way the caller
// stops and says so, and e is not to be used.
func (e *Entry) Decode(payload []byte) error {
	*e = Entry{}
	if len(payload) == 0 {
		return fmt.Errorf("empty payload: %w", ErrCorrupt)
	}
	if payload[0] != version {
		return fmt.Errorf("layout version %d, this release reads %d: %w", payload[0], version, ErrVersion)
	}
	if len(payload) < fixedSize {
		return fmt.Errorf("payload of %d bytes, at least %d: %w", len(payload), fixedSize, ErrCorrupt)
	}
	if err := parseFixed(payload, &e.Callback); err != nil {
		return err
	}
	r := reader{rest: payload[fixedSize:]}
	e.Topic = r.bytes()
	e.Callback.Gateway = r.bytes()
	e.Callback.Command = r.bytes()
	r.attributes(&e.Callback.Attributes)
	e.Callback.Body = r.bytes()
	if r.err == nil && len(r.rest) != 0 {
		r.err = fmt.Errorf("%d bytes after the body: %w", len(r.rest), ErrCorrupt)
	}
	return r.err
}

// ReceivedAt returns the time of receipt in a payload, of which nothing else is looked at; ok is false where
// there is none that this release can read.
func ReceivedAt(payload []byte) (at time.Time, ok bool) {
	if len(payload) < fixedSize || payload[0] != version {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.LittleEndian.Uint64(payload[offsetReceivedAt:]))).UTC(), true
}

// parseFixed reads the part before the first length, which payload is known to hold.
func parseFixed(payload []byte, c *schema.Callback) error {
	c.Authenticated = schema.Authenticated(payload[offsetAuthenticated])
	if c.Authenticated > schema.AuthenticatedSign {
		return fmt.Errorf("way of authentication %d: %w", c.Authenticated, ErrVersion)
	}
	c.ReceivedAt, _ = ReceivedAt(payload)
	app := binary.LittleEndian.Uint64(payload[offsetAppID:])
	if app == 0 || app > schema.MaxAppID {
		return fmt.Errorf("app id %d: %w", app, ErrCorrupt)
	}
	c.AppID = int64(app)
	return nil
}

// reader takes lengths and bytes off the front of a payload. After the first error it
// returns nothing more.
type reader struct {
	rest []byte
	err  error
}

// bytes takes one length and so many bytes. The result is never nil unless r.err is set.
func (r *reader) bytes() []byte {
	if r.err != nil {
		return nil
	}
	size, n := binary.Uvarint(r.rest)
	// A length in more bytes than it needs would give one entry several encodings.
	if n <= 0 || n > 1 && r.rest[n-1] == 0 {
		r.err = fmt.Errorf("length with %d bytes left: %w", len(r.rest), ErrCorrupt)
		return nil
	}
	r.rest = r.rest[n:]
	if size > uint64(len(r.rest)) {
		r.err = fmt.Errorf("length %d with %d bytes left: %w", size, len(r.rest), ErrCorrupt)
		return nil
	}
	value := r.rest[:size:size]
	r.rest = r.rest[size:]
	return value
}

// byte takes one byte.
func (r *reader) byte() byte {
	if r.err != nil {
		return 0
	}
	if len(r.rest) == 0 {
		r.err = fmt.Errorf("payload ends early: %w", ErrCorrupt)
		return 0
	}
	value := r.rest[0]
	r.rest = r.rest[1:]
	return value
}

func (r *reader) attributes(attributes *schema.Attributes) {
	next := schema.Attribute(0)
	for range r.byte() {
		number := schema.Attribute(r.byte())
		if r.err != nil {
			return
		}
		if number >= schema.NumAttributes {
			r.err = fmt.Errorf("attribute %d: %w", number, ErrVersion)
			return
		}
		if number < next {
			r.err = fmt.Errorf("attribute %d where %d or more is due: %w", number, next, ErrCorrupt)
			return
		}
		attributes[number] = r.bytes()
		next = number + 1
	}
}
