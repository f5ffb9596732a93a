package forward

import (
	"encoding/binary"
	"fmt"

	"github.com/tidegate/tidegate/schema"
)

// An entry of the parked journal is the payload of the main one in an envelope, little-endian:
//
//	0   version     1
//	1   kind        why it is here: 1 its topic refused, 2 Kafka refused this record
//	2   code        uint16, Kafka's error code
//	4   journal id  uint64 \ the callback's identity for ever,
//	12  LSN         uint64 / whatever becomes of the main journal
//	20  payload
const (
	envelopeVersion = 1

	// EnvelopeBytes is by how much the parked journal's entries are longer than the main one's:
	// its MaxPayload has to be larger by that.
	EnvelopeBytes = 20
)

// kind says why an entry is parked.
type kind uint8

const (
	kindTopic  kind = 1 // its topic refused: goes out, in order, when the topic answers
	kindRecord kind = 2 // Kafka refused this record: tried on its own, now and then
)

func (k kind) String() string {
	if k == kindRecord {
		return "record"
	}
	return "topic"
}

// envelope is what stands before a parked payload.
type envelope struct {
	kind kind
	code int16
	id   schema.CallbackID
}

// append appends the envelope and the payload to dst.
func (e envelope) append(dst, payload []byte) []byte {
	dst = append(dst, envelopeVersion, byte(e.kind))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(e.code))
	dst = binary.LittleEndian.AppendUint64(dst, e.id.Journal)
	dst = binary.LittleEndian.AppendUint64(dst, e.id.LSN)
	return append(dst, payload...)
}

// parseEnvelope splits a parked entry; payload is a view. Errors wrap ErrEnvelope.
func parseEnvelope(b []byte) (e envelope, payload []byte, err error) {
	if len(b) < EnvelopeBytes || b[0] != envelopeVersion {
		return e, nil, fmt.Errorf("%d bytes: %w", len(b), ErrEnvelope)
	}
	e.kind = kind(b[1])
	e.code = int16(binary.LittleEndian.Uint16(b[2:]))
	e.id.Journal = binary.LittleEndian.Uint64(b[4:])
	e.id.LSN = binary.LittleEndian.Uint64(b[12:])
	if e.kind != kindTopic && e.kind != kindRecord {
		return e, nil, fmt.Errorf("kind %d: %w", b[1], ErrEnvelope)
	}
	return e, b[EnvelopeBytes:], nil
}
