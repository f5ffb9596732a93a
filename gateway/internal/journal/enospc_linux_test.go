package journal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// smallDevice mounts a file system of 32 MiB until the test ends: ext4 on a loop device, else
// tmpfs. Where neither can be had, the test is skipped with the reason.
func smallDevice(t *testing.T) (dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "image")
	kind, err := mountLoop(image, dir)
	if err != nil {
		t.Logf("no ext4 on a loop device: %v", err)
		kind = "tmpfs"
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
			t.Skipf("no tmpfs either: %v", err)
		}
	}
	t.Logf("on %s", kind)
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func mountLoop(image, dir string) (kind string, err error) {
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return "", err
	}
	if err := os.Truncate(image, 32<<20); err != nil {
		return "", err
	}
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-F", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w: %s", command[0], err, out)
		}
	}
	return "ext4 on a loop device", nil
}

// fillDevice leaves no block free, and returns the file that took them.
func fillDevice(t *testing.T, dir string) string {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, chunk := range [][]byte{make([]byte, 1<<20), make([]byte, 4<<10)} {
		for err = nil; err == nil; {
			if _, err = f.Write(chunk); err == nil && len(chunk) == 4<<10 {
				err = f.Sync() // blocks are given late
			}
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("fill the device: %v", err)
		}
	}
	return name
}

// J8, on a real device without a free block: appends are refused at the zero-filling of the next
// segment, with no panic; what was taken can be read; the checkpoint goes on; once there is
// space, appending resumes by itself, and after a restart everything is there.
func TestRealDeviceFull(t *testing.T) {
	device := smallDevice(t)
	o := Options{
		Dir: filepath.Join(device, "journal"), MaxBytes: 16 << 20, MaxPayload: 16 << 10, Retain: -1,
		SegmentBytes: 1 << 20, BatchBytes: 64 << 10, AckDeadline: 10 * time.Second,
	}
	j := mustOpen(t, o)
	mustSync(t, j, "first")
	eventually(t, "a spare and the ballast are there", func() bool {
		j.segMu.Lock()
		defer j.segMu.Unlock()
		return len(j.spares) > 0 && j.ballast.Load()
	})
	filler := fillDevice(t, device)
	n, last := 1, LSN(0)
	deadline := time.Now().Add(30 * time.Second)
	for ; ; n++ { // into what was written before, until another segment is needed
		tk, err := j.Append(true, text(fmt.Sprint(n, strings.Repeat("z", 8<<10))))
		if errors.Is(err, ErrFull) && !errors.Is(err, ErrBusy) {
			break
		}
		if err == nil {
			last, err = tk.LSN, j.Wait(tk, Disk)
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("append %d: %v", n, err)
		}
	}
	if n < 100 {
		t.Errorf("only %d entries: what is reserved on disk must be usable", n)
	}
	eventually(t, "the reason is told", func() bool { return errors.Is(j.Stats().Err, syscall.ENOSPC) })
	if got := len(readAllFrom(t, j, 1)); got != n {
		t.Errorf("%d of %d entries readable", got, n)
	}
	// Half, so that the other half is there after the restart.
	j.Checkpoint(last/2, []Cursor{{"lane", last / 2}})
	eventually(t, "the checkpoint is on the full device", func() bool {
		c, _, _, err := loadCheckpoint(vfs.OS(), o.Dir, j.ID())
		return err == nil && c.settled == last/2
	})
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "appending resumes", func() bool {
		tk, err := j.Append(false, text("resumed"))
		return err == nil && j.Wait(tk, Disk) == nil
	})
	eventually(t, "the reason is gone", func() bool { return j.Stats().Err == nil })
	mustClose(t, j)
	j = mustOpen(t, o)
	defer mustClose(t, j)
	all := payloads(readAllFrom(t, j, last/2+1))
	if len(all) != n-int(last/2)+1 || all[len(all)-1] != "resumed" || len(j.Stats().Corruptions) > 0 {
		t.Errorf("%d entries after the restart, of %d settled up to %d; %+v", len(all), n, last/2, j.Stats())
	}
}
