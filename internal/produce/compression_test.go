package produce

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// wireOf reads what would be sent.
func wireOf(t *testing.T, b *batch) kmsg.RecordBatch {
	t.Helper()
	if got := binary.BigEndian.Uint32(b.wire); int(got) != len(b.wire)-sizePrefix {
		t.Fatalf("size prefix %d, batch of %d bytes", got, len(b.wire)-sizePrefix)
	}
	var rb kmsg.RecordBatch
	if err := rb.ReadFrom(b.wire[sizePrefix:]); err != nil {
		t.Fatal(err)
	}
	if want := crc32.Checksum(b.wire[offsetAttrs:], castagnoli); uint32(rb.CRC) != want || int(rb.Length) != len(b.wire)-sizePrefix-12 {
		t.Fatalf("crc %x, want %x; length %d of %d", rb.CRC, want, rb.Length, len(b.wire))
	}
	return rb
}

// A packed batch holds the same records, says how they are compressed, and keeps its bytes when
// it is sealed again; one that would not become shorter goes as it is.
func TestCompressedBatch(t *testing.T) {
	for _, c := range []Compression{LZ4Compression, ZstdCompression} {
		t.Run(c.String(), func(t *testing.T) {
			b := &batch{}
			for i := range 100 {
				b.add(uint64(i), []byte("1400000001"), []byte(`{"QuotaUsed":7321,"Quota":10000}`), nil)
			}
			b.pack(c)
			b.seal(1, 2, 3, time.UnixMilli(4))
			rb := wireOf(t, b)
			if rb.Attributes != int16(c) || len(b.wire) >= len(b.buf) {
				t.Errorf("attributes %d, %d bytes of %d", rb.Attributes, len(b.wire), len(b.buf))
			}
			records, err := io.ReadAll(compress.Compression(c).Codec().NewReader(bytes.NewReader(rb.Records)))
			if err != nil || !bytes.Equal(records, b.buf[recordsStart:]) {
				t.Errorf("records differ, error %v", err)
			}
			b.seal(5, 6, 7, time.UnixMilli(8))
			if again := wireOf(t, b); !bytes.Equal(again.Records, rb.Records) || again.ProducerID != 5 || again.FirstSequence != 7 {
				t.Errorf("sealed again: %+v", again)
			}
			b.reset(0)
			b.add(1, []byte("k"), []byte("v"), nil)
			b.pack(c)
			b.seal(1, 2, 3, time.UnixMilli(4))
			if rb := wireOf(t, b); rb.Attributes != 0 {
				t.Errorf("a short batch became longer: attributes %d", rb.Attributes)
			}
		})
	}
}

// Others read what went out compressed.
func TestCompressedRecordsAreRead(t *testing.T) {
	for _, c := range []Compression{LZ4Compression, ZstdCompression} {
		t.Run(c.String(), func(t *testing.T) {
			k := cluster(t, kfake.SeedTopics(4, testTopic))
			p := producer(t, k, func(o *Options) { o.Compression = c })
			records := keyedRecords(500, 7)
			if refused, err := p.Produce(t.Context(), records); err != nil || refused != nil {
				t.Fatal(refused, err)
			}
			ordered(t, consume(t, k, records[0].Topic, len(records)), 4)
		})
	}
}

func TestCompressionText(t *testing.T) {
	for _, c := range []Compression{NoCompression, LZ4Compression, ZstdCompression} {
		text, err := c.MarshalText()
		var back Compression
		if err != nil || back.UnmarshalText(text) != nil || back != c {
			t.Errorf("%v became %q and %v", c, text, back)
		}
	}
	var c Compression
	if err := c.UnmarshalText([]byte("gzip")); err == nil {
		t.Error("gzip was taken")
	}
}
