package produce

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"time"

	"github.com/tidegate/tidegate/schema"
)

// The record batch of Kafka's message format v2 (KIP-98; the reference is
// org.apache.kafka.common.record.DefaultRecordBatch). All numbers are big-endian. kafka-go
// wants the batch's length as an int32 before it, which is why every offset below counts
// from byte 4 of the buffer:
//
//	-4 size of all that follows   int32   kafka-go's, the "bytes" length of the protocol
//	 0 base offset                int64   0: the broker assigns
//	 8 batch length               int32   of all after this field
//	12 partition leader epoch     int32   -1: the broker assigns
//	16 magic                      int8    2
//	17 crc                        uint32  CRC-32C of all after this field
//	21 attributes                 int16   the compression; create time, no transaction
//	23 last offset delta          int32   records - 1
//	27 first timestamp            int64   ms
//	35 max timestamp              int64   ms
//	43 producer id                int64
//	51 producer epoch             int16
//	53 base sequence              int32
//	57 records                    int32   their number
//	61 record ...                         compressed as one, where they are
//
// A record is: length (varint), attributes (int8, 0), timestamp delta (varint, 0), offset
// delta (varint), key (varint length, -1 for null, and bytes), value (the same), number of
// headers (varint), headers: key (varint length and bytes), value (as the record's).
// Varints are zigzag-encoded, as encoding/binary's are.
const (
	sizePrefix      = 4
	headerSize      = 61
	recordsStart    = sizePrefix + headerSize
	offsetLength    = sizePrefix + 8
	offsetEpoch     = sizePrefix + 12
	offsetMagic     = sizePrefix + 16
	offsetCRC       = sizePrefix + 17
	offsetAttrs     = sizePrefix + 21
	offsetLastDelta = sizePrefix + 23
	offsetFirstTime = sizePrefix + 27
	offsetMaxTime   = sizePrefix + 35
	offsetProducer  = sizePrefix + 43
	offsetPEpoch    = sizePrefix + 51
	offsetSequence  = sizePrefix + 53
	offsetCount     = sizePrefix + 57

	sequenceMask = 1<<31 - 1 // sequences are non-negative int32 and wrap to 0
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batch is one record batch under construction or in flight. It has one owner at a time:
// the lane's mutex while it fills, the lane's goroutine after.
type batch struct {
	buf    []byte   // size prefix, header (written by seal) and records; empty: no records yet
	tags   []uint64 // what the owner calls the records, one each
	sealed bool     // the header is complete: producer id, sequence, timestamp, crc
	stamp  time.Time

	wire   []byte       // what is sent, see pack; nil: not decided yet
	codec  Compression  // of wire's records
	packed bytes.Buffer // memory of a compressed wire
}

// add appends one record. The slices are copied. It allocates only when buf or tags have to
// grow.
func (b *batch) add(tag uint64, key, value []byte, headers []schema.Header) {
	if len(b.buf) == 0 {
		b.buf = append(b.buf[:0], blank[:]...)
	}
	delta := int64(len(b.tags))
	buf := binary.AppendVarint(b.buf, int64(recordSize(delta, key, value, headers)))
	buf = append(buf, 0, 0) // attributes; timestamp delta: all records bear the batch's time
	buf = binary.AppendVarint(buf, delta)
	buf = appendBytes(buf, key)
	buf = appendBytes(buf, value)
	buf = binary.AppendVarint(buf, int64(len(headers)))
	for i := range headers {
		h := &headers[i]
		buf = binary.AppendVarint(buf, int64(len(h.Key)))
		buf = append(buf, h.Key...)
		buf = appendBytes(buf, h.Value)
	}
	b.buf = buf
	b.tags = append(b.tags, tag)
}

// blank is the room for size and header of a batch.
var blank [recordsStart]byte

// appendBytes appends a nullable byte string: nil is null, empty is empty.
func appendBytes(dst, v []byte) []byte {
	if v == nil {
		return append(dst, 1) // zigzag of -1
	}
	dst = binary.AppendVarint(dst, int64(len(v)))
	return append(dst, v...)
}

// recordSize returns the length of a record after its length field.
func recordSize(delta int64, key, value []byte, headers []schema.Header) int {
	n := 2 + sizeVarint(delta) + sizeBytes(key) + sizeBytes(value) + sizeVarint(int64(len(headers)))
	for i := range headers {
		n += sizeVarint(int64(len(headers[i].Key))) + len(headers[i].Key) + sizeBytes(headers[i].Value)
	}
	return n
}

// sizeBytes returns the length of what appendBytes appends.
func sizeBytes(v []byte) int {
	if v == nil {
		return 1
	}
	return sizeVarint(int64(len(v))) + len(v)
}

// sizeVarint returns the length of what binary.AppendVarint appends.
func sizeVarint(x int64) int {
	zigzag := uint64(x)<<1 ^ uint64(x>>63)
	return (bits.Len64(zigzag|1) + 6) / 7
}

// size returns the batch's bytes, uncompressed: a broker counts no more against
// max.message.bytes.
func (b *batch) size() int { return max(0, len(b.buf)-sizePrefix) }

// seal completes the header, after which wire is what kafka-go's reader wants; a batch that was
// not packed goes as it is. The batch may be sealed again, with another producer id, sequence
// or time: its records stay as they are.
func (b *batch) seal(id int64, epoch int16, sequence int32, now time.Time) {
	if b.wire == nil {
		b.pack(NoCompression)
	}
	be, buf := binary.BigEndian, b.wire
	count := uint32(len(b.tags))
	be.PutUint32(buf, uint32(len(buf)-sizePrefix))
	be.PutUint64(buf[sizePrefix:], 0)
	be.PutUint32(buf[offsetLength:], uint32(len(buf)-offsetEpoch))
	be.PutUint32(buf[offsetEpoch:], ^uint32(0))
	buf[offsetMagic] = 2
	be.PutUint16(buf[offsetAttrs:], uint16(b.codec))
	be.PutUint32(buf[offsetLastDelta:], count-1)
	be.PutUint64(buf[offsetFirstTime:], uint64(now.UnixMilli()))
	be.PutUint64(buf[offsetMaxTime:], uint64(now.UnixMilli()))
	be.PutUint64(buf[offsetProducer:], uint64(id))
	be.PutUint16(buf[offsetPEpoch:], uint16(epoch))
	be.PutUint32(buf[offsetSequence:], uint32(sequence))
	be.PutUint32(buf[offsetCount:], count)
	be.PutUint32(buf[offsetCRC:], crc32.Checksum(buf[offsetAttrs:], castagnoli))
	b.sealed, b.stamp = true, now
}

// pick returns a new batch of the records for which keep says yes, in order, unsealed. It
// serves refusals only, which are rare: it allocates.
func (b *batch) pick(keep func(i int) bool) *batch {
	part := &batch{buf: append(make([]byte, 0, len(b.buf)), blank[:]...)}
	rest := b.buf[recordsStart:]
	for i, tag := range b.tags {
		length, n := binary.Varint(rest)
		record := rest[n : n+int(length)]
		rest = rest[n+int(length):]
		if !keep(i) {
			continue
		}
		// Only the offset delta changes, and with it the length.
		_, old := binary.Varint(record[2:])
		delta := int64(len(part.tags))
		part.buf = binary.AppendVarint(part.buf, length-int64(old)+int64(sizeVarint(delta)))
		part.buf = append(part.buf, record[:2]...)
		part.buf = binary.AppendVarint(part.buf, delta)
		part.buf = append(part.buf, record[2+old:]...)
		part.tags = append(part.tags, tag)
	}
	return part
}

// reset empties b and keeps its memory, unless one large record made that larger than keep.
func (b *batch) reset(keep int) {
	b.buf, b.tags, b.sealed = b.buf[:0], b.tags[:0], false
	b.unpacked(keep)
	if cap(b.buf) > keep {
		b.buf = nil
	}
}

// nextSequence returns the sequence after n records from s.
func nextSequence(s int32, n int) int32 {
	return int32((int64(s) + int64(n)) & sequenceMask)
}
