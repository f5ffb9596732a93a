package produce

import (
	"bytes"
	"fmt"

	"github.com/segmentio/kafka-go/compress"
)

// Compression is how the records of a batch are compressed. Its number is the codec's in the
// batch's attributes.
type Compression int8

// The compressions that are worth their time: gzip and snappy are beaten by these in both
// speed and size.
const (
	NoCompression   Compression = 0
	LZ4Compression  Compression = Compression(compress.Lz4)
	ZstdCompression Compression = Compression(compress.Zstd)
)

// Flags are the settings of producing that both binaries have, for their command lines.
type Flags struct {
	Compression Compression `name:"compression" enum:"none,lz4,zstd" placeholder:"CODEC" default:"none" help:"How what is sent to Kafka is compressed: none, lz4 or zstd. Batches of one record stay as they are unless that makes them shorter."`
}

// String returns none, lz4 or zstd.
func (c Compression) String() string {
	switch c {
	case LZ4Compression:
		return "lz4"
	case ZstdCompression:
		return "zstd"
	case NoCompression:
	}
	return "none"
}

// UnmarshalText reads what String returns; anything else is an error.
func (c *Compression) UnmarshalText(text []byte) error {
	for _, known := range []Compression{NoCompression, LZ4Compression, ZstdCompression} {
		if string(text) == known.String() {
			*c = known
			return nil
		}
	}
	return fmt.Errorf("want none, lz4 or zstd, have %q", text)
}

// MarshalText returns String, for help texts and logs.
func (c Compression) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// pack decides what is sent of b: the bytes as they are, or, where that is shorter, with the
// records compressed. It is done once: only the header may differ between attempts. What a
// batch may hold is counted before, so a compressed one is never larger than its limit.
func (b *batch) pack(c Compression) {
	b.wire, b.codec = b.buf, NoCompression
	if c == NoCompression {
		return
	}
	b.packed.Reset()
	b.packed.Write(blank[:])
	w := compress.Compression(c).Codec().NewWriter(&b.packed)
	_, err := w.Write(b.buf[recordsStart:])
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	// Writing to memory cannot fail; should a codec say so, its output is not trusted.
	if err == nil && b.packed.Len() < len(b.buf) {
		b.wire, b.codec = b.packed.Bytes(), c
	}
}

// unpacked forgets what is sent, and keeps its memory up to keep bytes.
func (b *batch) unpacked(keep int) {
	b.wire, b.codec = nil, NoCompression
	if b.packed.Cap() > keep {
		b.packed = bytes.Buffer{}
	}
}
