package produce

import (
	"hash/crc32"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/schema"
)

// encoded is how many records a batch of the benchmarks has.
const encoded = 1000

// alarmRecords returns records as the forwarder makes them: an alarm of 120 B and its headers.
func alarmRecords(n int) (list []schema.Record) {
	body := []byte(`{"CallbackCommand":"Group.CallbackAfterGroupFull","QuotaUsed":"9123","QuotaCap":"10000","EventTime":"1763000000000"}....`)[:120]
	for i := range n {
		c := schema.Callback{
			ID: schema.CallbackID{Journal: 0x1234567890abcdef, LSN: uint64(1_000_000 + i)}, Gateway: []byte("gateway-1"),
			AppID: 1_400_000_001 + int64(i%64), Command: []byte(schema.CommandQuotaAlarm), ReceivedAt: time.UnixMilli(1_763_000_000_123), Body: body,
		}
		list = append(list, c.Record("im.alarms.raw"))
	}
	return list
}

// BenchmarkEncode is the building of a record batch of 1000 alarms, checksum included, for each
// record: ours; kafka-go's, as its Writer does it; and the records of franz-go's kmsg, which is
// what it has of this for others (its client has a quicker one of its own that nobody else can
// call).
func BenchmarkEncode(b *testing.B) {
	list := alarmRecords(encoded)
	each := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/encoded, "ns/record")
	}
	b.Run("produce", func(b *testing.B) {
		bt := &batch{}
		b.ReportAllocs()
		for b.Loop() {
			bt.reset(1 << 20)
			for i := range list {
				bt.add(uint64(i), list[i].Key, list[i].Value, list[i].Headers)
			}
			bt.seal(1, 0, 0, time.UnixMilli(1_763_000_000_123))
		}
		each(b)
	})
	b.Run("kafka-go", func(b *testing.B) {
		records := make([]kafka.Record, len(list))
		b.ReportAllocs()
		for b.Loop() {
			for i := range list {
				headers := make([]kafka.Header, len(list[i].Headers))
				for n, h := range list[i].Headers {
					headers[n] = kafka.Header{Key: h.Key, Value: h.Value}
				}
				records[i] = kafka.Record{Key: kafka.NewBytes(list[i].Key), Value: kafka.NewBytes(list[i].Value), Headers: headers}
			}
			set := protocol.RecordSet{Version: 2, Records: kafka.NewRecordReader(records...)}
			if _, err := set.WriteTo(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
		each(b)
	})
	b.Run("franz-go-kmsg", func(b *testing.B) {
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			buf = buf[:0]
			for i := range list {
				r := kmsg.Record{Length: int32(recordSize(int64(i), list[i].Key, list[i].Value, list[i].Headers)), OffsetDelta: int32(i), Key: list[i].Key, Value: list[i].Value}
				for _, h := range list[i].Headers {
					r.Headers = append(r.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
				}
				buf = r.AppendTo(buf)
			}
			crc32.Checksum(buf, castagnoli)
		}
		each(b)
	})
}

// BenchmarkPartitionOf is the choice of a partition.
func BenchmarkPartitionOf(b *testing.B) {
	key := strconv.AppendInt(nil, 1_400_000_001, 10)
	for b.Loop() {
		PartitionOf(key, 12)
	}
}
