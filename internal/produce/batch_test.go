package produce

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

// message is one record of a test.
type message struct {
	Key, Value []byte
	Headers    []schema.Header
}

// drawMessage draws a record: null, empty and longer keys and values, any headers.
func drawMessage(t *rapid.T) message {
	nullable := func(name string) []byte {
		if rapid.Bool().Draw(t, name+" is null") {
			return nil
		}
		return rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, name)
	}
	m := message{Key: nullable("key"), Value: nullable("value")}
	for range rapid.IntRange(0, 5).Draw(t, "headers") {
		m.Headers = append(m.Headers, schema.Header{Key: rapid.StringN(0, 20, 80).Draw(t, "name"), Value: nullable("header")})
	}
	return m
}

// newBatch returns a batch of messages, tagged 100, 101, ...
func newBatch(messages ...message) *batch {
	b := &batch{}
	for i, m := range messages {
		b.add(uint64(100+i), m.Key, m.Value, m.Headers)
	}
	return b
}

// decode reads a sealed batch by franz-go's generated code, and fails where any field is not as
// the format wants it.
func decode(t rapidOrTest, b *batch) (kmsg.RecordBatch, []message) {
	t.Helper()
	size := binary.BigEndian.Uint32(b.buf)
	wire := b.buf[sizePrefix:]
	if int(size) != len(wire) {
		t.Fatalf("size prefix %d, batch of %d bytes", size, len(wire))
	}
	var rb kmsg.RecordBatch
	if err := rb.ReadFrom(wire); err != nil {
		t.Fatalf("read batch: %v", err)
	}
	switch {
	case int(rb.Length) != len(wire)-12:
		t.Fatalf("length %d of %d", rb.Length, len(wire))
	case rb.Magic != 2 || rb.Attributes != 0 || rb.FirstOffset != 0 || rb.PartitionLeaderEpoch != -1:
		t.Fatalf("header %+v", rb)
	case uint32(rb.CRC) != crc32.Checksum(wire[21:], crc32.MakeTable(crc32.Castagnoli)):
		t.Fatalf("crc %x", rb.CRC)
	case rb.LastOffsetDelta != rb.NumRecords-1 || int(rb.NumRecords) != len(b.tags):
		t.Fatalf("%d records, last delta %d, %d tags", rb.NumRecords, rb.LastOffsetDelta, len(b.tags))
	case rb.FirstTimestamp != rb.MaxTimestamp:
		t.Fatalf("times %d and %d", rb.FirstTimestamp, rb.MaxTimestamp)
	}
	rest := rb.Records
	var messages []message
	for i := range rb.NumRecords {
		var r kmsg.Record
		length, n := binary.Varint(rest)
		if err := r.ReadFrom(rest[:n+int(length)]); err != nil {
			t.Fatalf("read record %d: %v", i, err)
		}
		rest = rest[n+int(length):]
		if r.OffsetDelta != i || r.TimestampDelta64 != 0 {
			t.Fatalf("record %d: %+v", i, r)
		}
		m := message{Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, schema.Header{Key: h.Key, Value: h.Value})
		}
		messages = append(messages, m)
	}
	if len(rest) != 0 {
		t.Fatalf("%d bytes after the last record", len(rest))
	}
	return rb, messages
}

type rapidOrTest interface {
	Helper()
	Fatalf(string, ...any)
}

// equal compares records; null and empty differ.
func equal(a, b []message) bool {
	same := func(x, y []byte) bool { return (x == nil) == (y == nil) && bytes.Equal(x, y) }
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !same(a[i].Key, b[i].Key) || !same(a[i].Value, b[i].Value) || len(a[i].Headers) != len(b[i].Headers) {
			return false
		}
		for j, h := range a[i].Headers {
			if h.Key != b[i].Headers[j].Key || !same(h.Value, b[i].Headers[j].Value) {
				return false
			}
		}
	}
	return true
}

// Whatever is added is what others read, and each record is as long as was foretold.
func TestBatchRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var messages []message
		for range rapid.IntRange(1, 70).Draw(t, "records") {
			messages = append(messages, drawMessage(t))
		}
		b := newBatch(messages...)
		id := rapid.Int64Range(0, 1<<62).Draw(t, "id")
		epoch := rapid.Int16Min(0).Draw(t, "epoch")
		sequence := rapid.Int32Min(0).Draw(t, "sequence")
		b.seal(id, epoch, sequence, time.UnixMilli(1234567890123))
		rb, got := decode(t, b)
		if rb.ProducerID != id || rb.ProducerEpoch != epoch || rb.FirstSequence != sequence || rb.FirstTimestamp != 1234567890123 {
			t.Fatalf("header %+v", rb)
		}
		if !equal(got, messages) {
			t.Fatalf("got %v, want %v", got, messages)
		}
	})
}

// A part of a batch is a batch of those records.
func TestBatchPick(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var messages, want []message
		var keep []bool
		n := rapid.IntRange(1, 200).Draw(t, "records")
		for range n {
			m := message{Value: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "value")}
			messages = append(messages, m)
			keep = append(keep, rapid.Bool().Draw(t, "keep"))
			if keep[len(keep)-1] {
				want = append(want, m)
			}
		}
		b := newBatch(messages...)
		part := b.pick(func(i int) bool { return keep[i] })
		if len(part.tags) == 0 {
			return
		}
		part.seal(1, 0, 0, time.UnixMilli(1))
		if _, got := decode(t, part); !equal(got, want) {
			t.Fatalf("picked %v, want %v", got, want)
		}
		at := 0
		for i := range n {
			if keep[i] {
				if part.tags[at] != b.tags[i] {
					t.Fatalf("tag %d, want %d", part.tags[at], b.tags[i])
				}
				at++
			}
		}
	})
}

// One batch, byte by byte, as the format's documentation has it.
func TestBatchGolden(t *testing.T) {
	b := newBatch(message{Key: []byte("14"), Value: []byte("{}"), Headers: []schema.Header{{Key: "ce_id", Value: []byte("a-1")}, {Key: "n"}}}, message{Value: []byte("x")})
	b.seal(0x0102030405060708, 9, 2147483647, time.UnixMilli(0x018bcfe56800))
	want := "0000005d" + // size
		"0000000000000000" + "00000051" + "ffffffff" + "02" + "eed53af9" + "0000" + "00000001" +
		"0000018bcfe56800" + "0000018bcfe56800" + "0102030405060708" + "0009" + "7fffffff" + "00000002" +
		"2e" + "00" + "00" + "00" + "043134" + "047b7d" + "04" + "0a63655f6964" + "06612d31" + "026e" + "01" +
		"0e" + "00" + "00" + "02" + "01" + "0278" + "00"
	if got := hex.EncodeToString(b.buf); got != want {
		t.Errorf("batch\n%s, want\n%s", got, want)
	}
}

func TestSizeVarint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Int64().Draw(t, "x")
		if got, want := sizeVarint(x), len(binary.AppendVarint(nil, x)); got != want {
			t.Fatalf("sizeVarint(%d) = %d, want %d", x, got, want)
		}
	})
}

func TestNextSequence(t *testing.T) {
	for _, tt := range []struct {
		from int32
		n    int
		want int32
	}{
		{0, 1, 1}, {0, 500, 500}, {2147483646, 1, 2147483647}, {2147483647, 1, 0}, {2147483647, 500, 499}, {2147483000, 648, 0},
	} {
		if got := nextSequence(tt.from, tt.n); got != tt.want {
			t.Errorf("%d records from %d: next is %d, want %d", tt.n, tt.from, got, tt.want)
		}
	}
}

// typical is a record as the gateway makes them.
func typical() message {
	return message{
		Key: []byte("1400000001"), Value: bytes.Repeat([]byte("x"), 120),
		Headers: []schema.Header{
			{Key: "content-type", Value: []byte("application/json")}, {Key: "ce_specversion", Value: []byte("1.0")},
			{Key: "ce_id", Value: []byte("0123456789abcdef-1234567")}, {Key: "ce_source", Value: []byte("/tencent-im/apps/1400000001")},
			{Key: "ce_type", Value: []byte("com.tencent.im.Group.CallbackOnDailyGroupQuotaAlarm")}, {Key: "ce_subject", Value: []byte("1400000001")},
			{Key: "ce_time", Value: []byte("2026-01-02T03:04:05.678Z")}, {Key: "ce_sequence", Value: []byte("00000000000001234567")},
			{Key: "ce_gateway", Value: []byte("gateway-1")}, {Key: "ce_authenticated", Value: []byte("sign")},
		},
	}
}

// Adding a record allocates nothing once the buffers have grown.
func TestBatchAddAllocatesNothing(t *testing.T) {
	m, b := typical(), &batch{}
	fill := func() {
		b.reset(1 << 20)
		for i := range 500 {
			b.add(uint64(i), m.Key, m.Value, m.Headers)
		}
		b.seal(1, 0, 0, time.UnixMilli(1))
	}
	fill()
	if n := testing.AllocsPerRun(20, fill); n != 0 {
		t.Errorf("%v allocations for 500 records, want 0", n)
	}
}

func BenchmarkBatch(b *testing.B) {
	m, batch := typical(), &batch{}
	const records = 500
	b.ReportAllocs()
	for b.Loop() {
		batch.reset(1 << 20)
		for i := range records {
			batch.add(uint64(i), m.Key, m.Value, m.Headers)
		}
		batch.seal(1, 0, 0, time.UnixMilli(1))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/records, "ns/record")
	b.SetBytes(int64(batch.size()))
}

// Whatever bytes a record holds, the batch is read back by others.
func FuzzBatch(f *testing.F) {
	f.Add([]byte("key"), []byte("value"), "name", []byte("header"), uint8(3))
	f.Add([]byte{}, []byte{}, "", []byte{}, uint8(1))
	f.Add([]byte{0xff, 0}, bytes.Repeat([]byte{1}, 70), "\x00", []byte{0x80}, uint8(70))
	f.Fuzz(func(t *testing.T, key, value []byte, name string, header []byte, n uint8) {
		var messages []message
		for range max(1, n) {
			messages = append(messages, message{Key: key, Value: value, Headers: []schema.Header{{Key: name, Value: header}}})
		}
		b := newBatch(messages...)
		b.seal(1, 2, 3, time.UnixMilli(4))
		if _, got := decode(t, b); !equal(got, messages) {
			t.Fatal("records differ")
		}
		half := b.pick(func(i int) bool { return i >= len(messages)/2 })
		half.seal(1, 2, 3, time.UnixMilli(4))
		if _, got := decode(t, half); !equal(got, messages[len(messages)/2:]) {
			t.Fatal("records of the half differ")
		}
	})
}
