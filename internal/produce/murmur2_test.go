package produce

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// The hashes are those of org.apache.kafka.common.utils.UtilsTest.testMurmur2.
func TestMurmur2AsJava(t *testing.T) {
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, want)
		}
	}
}

// The same partition as another well-tried client chooses, for any key and count.
func TestPartitionAsOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "key")
		count := rapid.Int32Range(1, 200).Draw(t, "count")
		p := kgo.StickyKeyPartitioner(nil).ForTopic("t")
		want := p.Partition(&kgo.Record{Key: append([]byte{}, key...)}, int(count))
		if got := PartitionOf(key, count); int(got) != want {
			t.Fatalf("key %x of %d: partition %d, want %d", key, count, got, want)
		}
	})
}
