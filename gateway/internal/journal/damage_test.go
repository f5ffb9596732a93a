package journal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tidegate/tidegate/gateway/internal/torture"
)

// J2, J3, J5: whatever bit is flipped, what is missing was reported, and nothing else comes back.
// Under the race detector it is every eleventh byte.
func TestTortureEveryBitFlipped(t *testing.T) {
	loop := torture.New(t, 1, 1)
	n, least, stride := 16, 5000, 1
	if loop.Short() {
		n, least, stride = 3, 200, 11
	}
	for seed := range loop.Seeds() {
		for _, closed := range []bool{true, false} {
			im := makeImage(t, n, closed)
			flips := 0
			for _, file := range im.files {
				data := im.mem.Bytes(file)
				for at := int(seed) % stride; at < len(data); at += stride {
					if inPadding := data[at] == 0 && (at%blockBytes >= 128 || at >= len(data)/2); inPadding && at%257 != 0 {
						continue // zeros that nothing reads; a sample is enough
					}
					for bit := range 8 {
						flips++
						what := fmt.Sprintf("closed %v, %s byte %d bit %d", closed, filepath.Base(file), at, bit)
						im.mem.Flip(file, int64(at*8+bit))
						checkFlipped(t, im, flips, what)
						im.mem.Flip(file, int64(at*8+bit))
					}
				}
			}
			loop.Faulted(flips)
			if flips < least {
				t.Errorf("only %d flips", flips)
			}
		}
	}
}

// checkFlipped surveys the image, and opens every 200th one.
func checkFlipped(t *testing.T, im image, n int, what string) {
	t.Helper()
	v := mustLook(t, im.mem)
	var found []got
	for _, s := range v.segs {
		if s.bad == nil {
			_, _, err := s.dump(im.mem, testDir, 1, func(e Entry) error {
				found = append(found, got{e.LSN, string(e.Payload)})
				return nil
			})
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	im.explain(t, found, v.corrupt, what)
	if n%200 == 0 {
		again := im
		again.mem = im.mem.Clone()
		first, _ := survivors(t, again, what)
		j := mustOpen(t, small(again.mem))
		second := readAllFrom(t, j, 1)
		mustClose(t, j)
		if !slices.Equal(first, second) {
			t.Fatalf("%s: the second recovery found %d entries, the first %d", what, len(second), len(first))
		}
	}
}

// J5: whatever follows the cut, above proven it is the legal end and below it is not.
// Under the race detector it is a byte here and there.
func TestTortureCutAtEveryByteOfTheLastBatches(t *testing.T) {
	loop := torture.New(t, 1, 1)
	for seed := range loop.Seeds() {
		cutEveryByte(t, loop, seed)
	}
}

func cutEveryByte(t *testing.T, loop *torture.Loop, seed uint64) {
	im := makeImage(t, 6, false)
	file := im.files[len(im.files)-1]
	whole := im.mem.Bytes(file)
	end := int(mustLook(t, im.mem).segs[0].end)
	r := rand.New(rand.NewPCG(seed, 2))
	step := 1
	if loop.Short() {
		step = 13
	}
	after := map[string]func(tail []byte){
		"zeros": func(tail []byte) { clear(tail) },
		"noise": func(tail []byte) {
			for i := range tail {
				tail[i] = byte(r.Uint32())
			}
		},
		"an older batch": func(tail []byte) { copy(tail, bytes.Repeat(whole[blockBytes:2*blockBytes], len(tail)/blockBytes+1)) },
	}
	lastBatch := end - blockBytes
	for name, ruin := range after {
		for at := lastBatch - blockBytes; at < end; at += step {
			if at%blockBytes > 160 {
				at += blockBytes - at%blockBytes - 1 // padding; the last byte of it is tried
			}
			cut := image{mem: im.mem.Clone(), entries: im.entries, files: im.files, tail: 2}
			cut.mem.Edit(file, func(b []byte) []byte {
				ruin(b[at:])
				return b
			})
			what := fmt.Sprintf("%s from byte %d on", name, at)
			found, corrupt := survivors(t, cut, what)
			loop.Crashed()
			if len(corrupt) > 0 {
				t.Fatalf("%s: J5: false alarm %v", what, corrupt)
			}
			if at <= lastBatch-blockBytes && len(found) > 4 || at >= lastBatch && len(found) < 5 {
				t.Fatalf("%s: %d entries", what, len(found))
			}
			_, _ = survivors(t, cut, what+", again")
		}
	}
}
