package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// J12: what is not ours, or newer than us, is refused and stays as it is.
func TestRefusedDirectories(t *testing.T) {
	newer := func(file string, at int, sum func(b []byte)) func(*testing.T, *vfs.Mem) {
		return func(t *testing.T, mem *vfs.Mem) {
			if !mem.Edit(filepath.Join(testDir, file), func(b []byte) []byte {
				b[at] = 2
				sum(b)
				return b
			}) {
				t.Fatalf("no file %s", file)
			}
		}
	}
	otherJournal := func(t *testing.T, mem *vfs.Mem) {
		mem.Edit(filepath.Join(testDir, segmentName(1)), func(b []byte) []byte {
			h, err := decodeSegmentHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			h.id++
			h.encode(b)
			return b
		})
	}
	rows := []struct {
		name string
		ruin func(*testing.T, *vfs.Mem)
		want error
	}{
		{"segment of a newer version", newer(segmentName(1), 8, func(b []byte) {
			le.PutUint32(b[92:], crcOf(b[:92]))
		}), ErrVersion},
		{"checkpoint of a newer version", newer(checkpointName, slotBytes+8, func(b []byte) {
			slot := b[slotBytes:]
			n := le.Uint32(slot[12:])
			le.PutUint32(slot[n-4:], crcOf(slot[:n-4]))
		}), ErrVersion},
		{"journal-id of a newer version", func(_ *testing.T, mem *vfs.Mem) {
			mem.Edit(filepath.Join(testDir, identityName), func([]byte) []byte {
				body := "tidegate journal\nversion 2\nanything\n"
				return fmt.Appendf(nil, "%scrc %08x\n", body, crcOf([]byte(body)))
			})
		}, ErrVersion},
		{"journal-id damaged", func(_ *testing.T, mem *vfs.Mem) { mem.Flip(filepath.Join(testDir, identityName), 8*35) }, ErrForeign},
		{"journal-id missing", func(_ *testing.T, mem *vfs.Mem) { _ = mem.Remove(filepath.Join(testDir, identityName)) }, ErrForeign},
		{"segment of another journal", otherJournal, ErrForeign},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			im := makeImage(t, 3, true)
			row.ruin(t, im.mem)
			refused(t, im.mem, row.want)
		})
	}
	t.Run("somebody's files", func(t *testing.T) {
		mem := vfs.NewMem()
		put(t, mem, "thesis.tex")
		refused(t, mem, ErrForeign)
	})
}

func crcOf(b []byte) uint32 {
	return crc32.Checksum(b, castagnoli)
}

func put(t testing.TB, mem *vfs.Mem, name string) {
	t.Helper()
	if err := mem.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	if _, err := mem.Create(filepath.Join(testDir, name)); err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, mem *vfs.Mem, want error) {
	t.Helper()
	changes := 0
	fsys := vfs.NewFaulty(mem, func(op vfs.Op) vfs.Fault {
		if op.Kind.Changes() {
			changes++
		}
		return vfs.Fault{}
	})
	before, _ := mem.ReadDir(testDir)
	if j, err := Open(small(fsys)); !errors.Is(err, want) {
		t.Errorf("Open: %v, want %v", err, want)
		if err == nil {
			_ = j.Close()
		}
	}
	after, _ := mem.ReadDir(testDir)
	if changes != 0 || errors.Is(want, ErrForeign) && !slices.Contains(before, lockName) && slices.Contains(after, lockName) {
		t.Errorf("J12: %d changes, directory %v was %v", changes, after, before)
	}
}

func TestAcceptedNewDirectories(t *testing.T) {
	for _, names := range [][]string{{}, {lockName}, {lockName, identityName + tmpSuffix}, {"lost+found"}, {"admin.sock"}} {
		mem := vfs.NewMem()
		for _, name := range names {
			put(t, mem, name)
		}
		j := mustOpen(t, small(mem))
		if tk := mustSync(t, j, "first"); tk.LSN != 1 {
			t.Errorf("%v: first LSN %d", names, tk.LSN)
		}
		mustClose(t, j)
	}
}

// J16: a wiped directory is another journal.
func TestWipedDirectoryHasANewID(t *testing.T) {
	a, b := makeImage(t, 1, true), makeImage(t, 1, true)
	ja, jb := mustOpen(t, small(a.mem)), mustOpen(t, small(b.mem))
	defer mustClose(t, ja)
	defer mustClose(t, jb)
	if ja.ID() == jb.ID() || ja.ID() == 0 {
		t.Errorf("ids %x and %x", ja.ID(), jb.ID())
	}
	again := mustLook(t, a.mem)
	if again.id != ja.ID() {
		t.Errorf("id changed from %x to %x", ja.ID(), again.id)
	}
}

// J13: one process per directory, until Close.
func TestTwoProcesses(t *testing.T) {
	if dir := os.Getenv("JOURNAL_TEST_DIR"); dir != "" {
		o := small(nil)
		o.Dir = dir
		_, err := Open(o)
		fmt.Println("locked:", errors.Is(err, ErrLocked))
		return
	}
	o := small(vfs.OS())
	o.Dir = t.TempDir()
	j := mustOpen(t, o)
	if _, err := Open(o); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open in this process: %v", err)
	}
	child := func() string {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestTwoProcesses$")
		cmd.Env = append(os.Environ(), "JOURNAL_TEST_DIR="+o.Dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("child: %v: %s", err, out)
		}
		return string(out)
	}
	if out := child(); !strings.Contains(out, "locked: true") {
		t.Errorf("second process: %s", out)
	}
	mustClose(t, j)
	if out := child(); !strings.Contains(out, "locked: false") {
		t.Errorf("after Close: %s", out)
	}
}
