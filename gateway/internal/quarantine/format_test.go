package quarantine

import (
	"bytes"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/schema"
)

// TestItemBytes holds the layout: these bytes are on people's disks.
func TestItemBytes(t *testing.T) {
	c := &Callback{
		ReceivedAt: time.UnixMilli(0x0102030405), Reason: SignWrong, Source: netip.MustParseAddr("192.0.2.7"), AppID: 0x0607,
		Command: []byte("C"), Query: []byte("qq"), Traceparent: nil, Body: []byte("body"),
	}
	b := appendItem(nil, c)
	seal(b)
	const want = "54477131" + "21000000" + "93dfa31d" + "4b000000" +
		"0504030201000000" + "0706000000000000" + "02" + "04" + "c0000207" +
		"0143" + "027171" + "00" + "04626f6479"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
	h := hex.EncodeToString(appendSegmentHeader(nil, 0x0607, 5, time.UnixMilli(0x0102)))
	if want := "5444475155415241" + "01000000" + "30000000" + "0706000000000000" + "0500000000000000" + "0201000000000000" + "00000000" + "a93adc0f"; h != want {
		t.Errorf("%s, want\n%s", h, want)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	some := rapid.SliceOfN(rapid.Byte(), 0, 40)
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		var want []Callback
		for range rapid.IntRange(1, 5).Draw(t, "items") {
			c := Callback{
				ReceivedAt: time.UnixMilli(rapid.Int64Range(0, 1<<45).Draw(t, "received")).UTC(),
				Reason:     Reason(rapid.IntRange(1, int(endReasons)-1).Draw(t, "reason")),
				AppID:      rapid.Int64Range(1, schema.MaxAppID).Draw(t, "app"),
				Command:    some.Draw(t, "command"), Query: some.Draw(t, "query"), Traceparent: some.Draw(t, "traceparent"), Body: some.Draw(t, "body"),
			}
			if source := rapid.SampledFrom([]string{"", "10.1.2.3", "2001:db8::1"}).Draw(t, "source"); source != "" {
				c.Source = netip.MustParseAddr(source)
			}
			from := len(b)
			b = appendItem(b, &c)
			seal(b[from:])
			if len(b)-from > c.itemBytes() {
				t.Fatalf("%d bytes, said to be at most %d", len(b)-from, c.itemBytes())
			}
			want = append(want, c)
		}
		var got []Callback
		if err := eachItemFrom(b, 0, func(r *item) error {
			got = append(got, r.Callback)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
		// One flipped bit anywhere but in the state is found; it costs what is behind it.
		bit := rapid.IntRange(0, 8*len(b)-1).Draw(t, "bit")
		b[bit/8] ^= 1 << (bit % 8)
		n, offset := 0, 0
		err := eachItemFrom(b, 0, func(r *item) error {
			if !reflect.DeepEqual(r.Callback, want[n]) {
				t.Errorf("item %d is %+v", n, r.Callback)
			}
			n++
			offset = int(r.offset) + r.size
			return nil
		})
		if err == nil && n != len(want) || err != nil && !errors.Is(err, ErrCorrupt) || bit/8 < offset && err == nil && !inState(b, bit/8) {
			t.Errorf("bit %d: %d of %d items, %v", bit, n, len(want), err)
		}
	})
}

// inState says whether a byte is one that no checksum covers: state, and the zeros behind it.
func inState(b []byte, at int) (in bool) {
	for offset := 0; offset < len(b); {
		r, err := cutItem(b[offset:])
		if err != nil {
			return false
		}
		in = in || at >= offset+offsetState && at < offset+itemHeaderLen
		offset += len(r)
	}
	return in
}

func TestSegmentNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"1400000001-00000001.refused": true, "unknown-00000012.refused": true, "1-123456789.refused": true,
		"1400000001-1.refused": false, "0-00000001.refused": false, "-1-00000001.refused": false, "unknown-00000000.refused": false,
		"01-00000001.refused": false, "9007199254740992-00000001.refused": false, "unknown.refused": false, "LOCK": false, "unknown-00000001": false,
	} {
		if app, number, got := parseSegmentName(name); got != ok {
			t.Errorf("%s: %d %d %v", name, app, number, got)
		}
	}
}

func FuzzItem(f *testing.F) {
	b := appendItem(nil, refused(harbor, SignWrong, 1, "body"))
	seal(b)
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add([]byte(itemMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, sealed := range []bool{false, true} {
			b := bytes.Clone(b)
			if whole, err := cutItem(b); sealed && err == nil {
				seal(whole) // else the fuzzer never passes the checksum
			}
			var r item
			if decodeItem(b, 0, &r) != nil {
				continue
			}
			again := appendItem(nil, &r.Callback)
			seal(again)
			var second item
			if err := decodeItem(again, 0, &second); err != nil || r.removed {
				second.removed = r.removed
				if err != nil {
					t.Fatal(err)
				}
			}
			second.size = r.size // an uvarint may be longer than it needs
			if !reflect.DeepEqual(r, second) {
				t.Fatalf("%+v, again %+v", r, second)
			}
		}
	})
}

func FuzzBatch(f *testing.F) {
	f.Add((&batch{journal: 1, after: 2, app: harbor, number: 3, moves: []move{{offset: 48, crc: 5, sum: sum{6}}}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, sealed := range []bool{false, true} {
			b := bytes.Clone(b)
			if sealed && len(b) > 20 { // else the fuzzer never passes the checksum
				le.PutUint32(b[12:], uint32(len(b)))
				le.PutUint32(b[len(b)-4:], crcOf(b[:len(b)-4]))
			}
			got, err := decodeBatch(b)
			if err == nil && !bytes.Equal(got.encode(), b) {
				t.Fatalf("%x is read as %+v", b, got)
			}
		}
	})
}

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
