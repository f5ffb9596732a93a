package schema

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Reason says why a record became a dead letter. The set is closed within a version.
type Reason string

// The reasons.
const (
	ReasonBadHeaders      Reason = "bad_headers"      // a header of the contract is missing or malformed
	ReasonBadJSON         Reason = "bad_json"         // the body is not one JSON object
	ReasonDuplicateKey    Reason = "duplicate_key"    // a key stands twice in an object of the body
	ReasonBadUTF8         Reason = "bad_utf8"         // the body is not UTF-8
	ReasonBadField        Reason = "bad_field"        // a field is missing, of the wrong type or out of range
	ReasonCommandMismatch Reason = "command_mismatch" // header and body name different commands
	ReasonUnknownCommand  Reason = "unknown_command"  // not a command that this topic is for
	ReasonTooLarge        Reason = "too_large"        // over the limit of the body's size or depth
	ReasonStoreRefused    Reason = "store_refused"    // the database refused its data, or Kafka its event; the message says which
	ReasonPanic           Reason = "panic"            // our own fault on this record
)

// Reasons returns every reason, in the order of the contract.
func Reasons() []Reason {
	return []Reason{
		ReasonBadHeaders, ReasonBadJSON, ReasonDuplicateKey, ReasonBadUTF8, ReasonBadField,
		ReasonCommandMismatch, ReasonUnknownCommand, ReasonTooLarge, ReasonStoreRefused, ReasonPanic,
	}
}

// DeadLetter is a record that the consumer cannot use, and why.
type DeadLetter struct {
	Record   Record // as it was fetched: bytes, key and headers unchanged
	Group    string // consumer group that failed
	Reason   Reason
	Message  string // for a person; every problem found, bounded to MaxDeadLetterMessage bytes
	FailedAt time.Time
}

// MaxDeadLetterMessage bounds DeadLetter.Message, in bytes.
const MaxDeadLetterMessage = 1024

// NewDeadLetter returns the letter of r. A message that is too long, or holds bytes that
// are no text, is cut and mended so that it can stand in a header, a row and JSON. The
// letter shares r's slices.
func NewDeadLetter(r Record, group string, reason Reason, message string, failedAt time.Time) DeadLetter {
	return DeadLetter{Record: r, Group: group, Reason: reason, Message: boundMessage(message), FailedAt: failedAt}
}

// boundMessage returns message as text of at most MaxDeadLetterMessage bytes.
func boundMessage(message string) string {
	const replacement, ellipsis = "\uFFFD", "..."
	message = strings.ReplaceAll(strings.ToValidUTF8(message, replacement), "\x00", replacement)
	if len(message) <= MaxDeadLetterMessage {
		return message
	}
	end := MaxDeadLetterMessage - len(ellipsis)
	for !utf8.RuneStart(message[end]) {
		end--
	}
	return message[:end] + ellipsis
}

// What Kafka's record batch adds at most to a batch of one record and to each header:
// the batch's 61 bytes, the record's own fields, and lengths as varints (KIP-98).
const (
	batchOverhead  = 61 + 40
	headerOverhead = 5 + 5
)

// DeadRecord returns the letter as a record of topic: bytes, key and headers unchanged,
// and the letter's own headers after them. A reader takes the last header of a name, so
// a record that came with such headers cannot speak for us.
//
// Where the record in its batch would pass maxBytes (the topic's max.message.bytes), the
// value is left out and its SHA-256 stands in a header: the bytes are in the database.
// Only where that is not enough the record's own headers, then its key, are left out
// too. The result shares the record's slices.
func (d *DeadLetter) DeadRecord(topic string, maxBytes int) Record {
	own := d.headers()
	r := Record{
		Topic:   topic,
		Key:     d.Record.Key,
		Value:   d.Record.Value,
		Headers: slices.Concat(d.Record.Headers, own),
	}
	if batchSize(&r) <= maxBytes {
		return r
	}
	sum := sha256.Sum256(d.Record.Value)
	own = append(own, Header{HeaderDeadSHA256, []byte(hex.EncodeToString(sum[:]))})
	r.Value, r.Headers = nil, slices.Concat(d.Record.Headers, own)
	if batchSize(&r) > maxBytes {
		r.Headers = own
	}
	if batchSize(&r) > maxBytes {
		r.Key = nil
	}
	return r
}

// headers returns the letter's own headers, in the contract's order.
func (d *DeadLetter) headers() []Header {
	return []Header{
		{HeaderDeadTopic, []byte(d.Record.Topic)},
		{HeaderDeadPartition, strconv.AppendInt(nil, int64(d.Record.Partition), 10)},
		{HeaderDeadOffset, strconv.AppendInt(nil, d.Record.Offset, 10)},
		{HeaderDeadGroup, []byte(d.Group)},
		{HeaderDeadMessage, []byte(boundMessage(d.Message))},
		{HeaderDeadReason, []byte(d.Reason)},
		{HeaderDeadFailedAt, AppendTime(nil, d.FailedAt)},
	}
}

// batchSize returns the most bytes that r takes as the only record of a batch, before
// compression.
func batchSize(r *Record) int {
	size := batchOverhead + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		size += headerOverhead + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return size
}
