package vfs

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A content is what a slice would be, whatever is done to it, and a clone is not touched by what
// is done to the other; blocks of zeros take no memory.
func TestContentIsItsBytes(t *testing.T) {
	const most = 3*BlockBytes + 100
	rapid.Check(t, func(t *rapid.T) {
		var c content
		var want []byte
		var cloned content
		var wantCloned []byte
		size := rapid.IntRange(0, most)
		piece := rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 50), rapid.Map(size, func(n int) []byte { return make([]byte, n) }))
		t.Repeat(map[string]func(*rapid.T){
			"resize": func(t *rapid.T) {
				n := size.Draw(t, "size")
				c.resize(int64(n))
				want = append(want[:min(n, len(want))], make([]byte, max(0, n-len(want)))...)
			},
			"write within a block": func(t *rapid.T) {
				if len(want) == 0 {
					return
				}
				at := rapid.IntRange(0, len(want)-1).Draw(t, "at")
				p := piece.Draw(t, "piece")
				p = p[:min(len(p), len(want)-at, BlockBytes-at%BlockBytes)]
				c.write(int64(at/BlockBytes), int64(at%BlockBytes), p)
				copy(want[at:], p)
			},
			"flip": func(t *rapid.T) {
				if len(want) == 0 {
					return
				}
				bit := rapid.IntRange(0, 8*len(want)-1).Draw(t, "bit")
				c.flip(int64(bit))
				want[bit/8] ^= 1 << (bit % 8)
			},
			"clone":   func(*rapid.T) { cloned, wantCloned = c.clone(), slices.Clone(want) },
			"replace": func(t *rapid.T) { want = piece.Draw(t, "bytes"); c = contentOf(want); want = slices.Clone(want) },
			"read": func(t *rapid.T) {
				at := size.Draw(t, "at")
				p := make([]byte, size.Draw(t, "length"))
				n := c.readAt(p, int64(at))
				if there := want[min(at, len(want)):]; !bytes.Equal(p[:n], there[:min(len(there), len(p))]) {
					t.Fatalf("%d bytes at %d of %d are others", n, at, len(want))
				}
			},
			"": func(t *rapid.T) {
				if !bytes.Equal(c.bytes(), want) || !bytes.Equal(cloned.bytes(), wantCloned) {
					t.Fatal("a content or its clone has other bytes")
				}
				for b, one := range c.blocks {
					if one != nil && *one == zeroBlock {
						t.Fatalf("block %d is zeros and takes memory", b)
					}
				}
			},
		})
	})
}
