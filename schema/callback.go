package schema

import (
	"strconv"
	"time"
)

// Callback is one POST of the vendor that was accepted. All slices are views: they
// belong to whoever filled it (the HTTP request, the journal's reader, the Kafka
// record) and live as long as that says.
type Callback struct {
	ID            CallbackID // set by the journal: zero until appended
	Gateway       []byte     // --gateway-name of the gateway that took it, never empty
	AppID         int64      // SdkAppid, 1 to MaxAppID
	Command       []byte     // CallbackCommand as sent, of an open set
	ReceivedAt    time.Time  // UTC, whole milliseconds
	Authenticated Authenticated
	Attributes    Attributes
	Body          []byte // exactly as received, any bytes
}

// Values that are the same in every record. They are handed out as header values and
// are never written to.
var (
	contentTypeValue = []byte("application/json")
	specVersionValue = []byte("1.0")
)

// sequenceDigits is the width of ce_sequence: that of the largest LSN, so that it sorts
// as text.
const sequenceDigits = 20

// numFixedHeaders counts the headers that every raw record has.
const numFixedHeaders = 10

// AppendKey appends the key of c's raw record to dst and returns it: SdkAppid in
// decimal, so that one app's records share a partition. It allocates only where dst has
// no room.
func (c *Callback) AppendKey(dst []byte) []byte {
	return strconv.AppendInt(dst, c.AppID, 10)
}

// AppendHeaders appends the headers of c's raw record to headers, in the contract's
// order, and returns it. Values that have to be formatted are appended to buf, which is
// returned too; all other values are c's own. Nothing is allocated while both slices
// have room. The header values are views into buf and c and must not be written to.
func (c *Callback) AppendHeaders(headers []Header, buf []byte) ([]Header, []byte) {
	from := len(buf)
	cut := func() []byte { // what was appended since the last cut
		value := buf[from:len(buf):len(buf)]
		from = len(buf)
		return value
	}
	buf = c.ID.Append(buf)
	id := cut()
	buf = append(buf, RawSourcePrefix...)
	buf = c.AppendKey(buf)
	source := cut()
	buf = append(buf, RawTypePrefix...)
	buf = append(buf, c.Command...)
	ceType := cut()
	buf = AppendTime(buf, c.ReceivedAt)
	received := cut()
	buf = appendPadded(buf, c.ID.LSN, sequenceDigits)
	sequence := cut()

	headers = append(headers,
		Header{HeaderContentType, contentTypeValue},
		Header{HeaderSpecVersion, specVersionValue},
		Header{HeaderID, id},
		Header{HeaderSource, source},
		Header{HeaderType, ceType},
		Header{HeaderSubject, source[len(RawSourcePrefix):]},
		Header{HeaderTime, received},
		Header{HeaderSequence, sequence},
		Header{HeaderGateway, c.Gateway},
		Header{HeaderAuthenticated, c.Authenticated.text()},
	)
	for a, value := range c.Attributes {
		if len(value) > 0 {
			headers = append(headers, Header{attributes[a].header, value})
		}
	}
	return headers, buf
}

// Record returns c as a raw record of topic. The body is c's own. It allocates; the
// forwarder uses AppendHeaders instead.
func (c *Callback) Record(topic string) Record {
	headers, _ := c.AppendHeaders(make([]Header, 0, numFixedHeaders+int(NumAttributes)), nil)
	return Record{Topic: topic, Key: c.AppendKey(nil), Value: c.Body, Headers: headers}
}
