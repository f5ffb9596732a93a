package quarantine

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// TestPartsAreFair: whatever comes, in any order, with passes and restarts in between: what a part
// keeps is the newest of what was offered of it, in order; no limit is passed; and a part that was
// offered no more than its share of the whole loses nothing (Q2).
func TestPartsAreFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const parts, limit = 20, 1 << 20
		mem := vfs.NewMem()
		open := func() *Store {
			s, err := Open(Options{Dir: dir, MaxBytes: limit, FS: mem})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := open()
		offered := map[int64][]string{}
		bytes := map[int64]int64{}

		for n := range rapid.IntRange(1, 150).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = open()
			default:
				app := int64(rapid.IntRange(1, parts).Draw(t, "app"))
				size := rapid.SampledFrom([]int{10, 1000, 8000, 20_000}).Draw(t, "size")
				for i := range rapid.IntRange(1, 12).Draw(t, "callbacks") {
					c := refused(app, SignWrong, n*100+i, strings.Repeat("x", size))
					if s.Offer(c) {
						offered[app] = append(offered[app], string(c.Query))
						bytes[app] += int64(c.itemBytes())
					}
				}
			}
			s.pass()
			if got := s.Stats(); got.Bytes > limit || got.Bytes != mem.Used() {
				t.Fatalf("%+v, %d bytes on disk", got, mem.Used())
			}
			for app, p := range s.parts {
				if p.bytes > limit/partShare {
					t.Fatalf("part %d has %d bytes", app, p.bytes)
				}
			}
		}
		kept := map[int64][]string{}
		if _, err := readFS(mem, dir, func(c *Callback, _ int) error {
			kept[c.AppID] = append(kept[c.AppID], string(c.Query))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		total := int64(0)
		for app, all := range offered {
			got := kept[app]
			if !slices.Equal(got, all[len(all)-len(got):]) {
				t.Errorf("app %d keeps %q of %q", app, got, all)
			}
			// Each segment has a header, and no more segments are made than callbacks came.
			share := bytes[app] + int64(segmentHeaderLen*len(all))
			if share <= limit/parts && len(got) != len(all) {
				t.Errorf("app %d was offered %d bytes and lost %d of %d", app, share, len(all)-len(got), len(all))
			}
			total += int64(len(got))
		}
		if n := s.Stats().Entries; n != total {
			t.Errorf("%d entries, %d in files", n, total)
		}
	})
}
