package acceptance

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/deploy/local/stack"
)

// deviceBytes is the size of the file system that the journal is on.
const deviceBytes = 128 << 20

// smallDevice mounts an ext4 file system on a loop device until the test ends. Where there can
// be none, the test is skipped with the reason.
func smallDevice(t *testing.T) (dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "mounting a small file system needs root")
	}
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, deviceBytes); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-F", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			skip(t, fmt.Sprintf("no ext4 on a loop device: %s: %v: %s", command[0], err, out))
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fillDevice leaves no block free, and returns how to free what it took.
func fillDevice(t *testing.T, dir string) (free func()) {
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
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// Promise: the journal's disk is full, because others filled it, and Kafka is away. What still
// fits into the files that the journal has is taken, then callbacks are answered 503 with
// Retry-After. Taking resumes by itself: when the disk has room, and, full once more, when Kafka
// is back and delivery makes room in the journal's own files. Delivery goes on while the disk is
// full, also after a kill -9 and a start there. Nothing that was answered 200 is lost.
func TestProofDiskFull(t *testing.T) {
	device := smallDevice(t)
	s := newScene(t, 32, func(o *stack.Options) {
		if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(device, filepath.Join(o.DataDir, "journal")); err != nil {
			t.Fatal(err)
		}
		o.GatewayFlags = append(o.GatewayFlags, "--journal-max-bytes=64MiB", "--parked-max-bytes=24MiB")
	})
	perSecond := rate(t)
	load := s.load(steady(perSecond, alarms, "--body-bytes=4000")...)
	load.progress(perSecond)
	bringBack := s.takeKafkaAway()
	free := fillDevice(t, device)
	load.answered(perSecond, 503, journalFull)
	s.eventually("/readyz says why nothing is taken", func() error {
		if ready := s.ready(); ready != 503 {
			return fmt.Errorf("it is %d", ready)
		}
		return s.says("no space left on device")
	})
	free()
	load.answered(perSecond, 200, 0)

	free = fillDevice(t, device)
	load.answered(perSecond, 503, journalFull)
	s.killAndStart()
	load.answered(1, 503, journalFull)
	bringBack()
	load.answered(perSecond, 200, 0)
	entries := load.end()
	counts := tallied(t, entries)
	t.Logf("answers: %s", counts)
	counts.only(t, "disk full", slices.Concat(killed, slow, []string{answerFull})...)
	s.row.Faults = 3 // the disk, twice, and Kafka
	s.proof("disk full with Kafka away, freed, full again, gateway killed (-9) there, Kafka back", entries)
	free() // not before: all of it was delivered from a full disk
	s.consumed(entries)
}

// killed are the ends of requests that met a killed gateway.
var killed = []string{string(ledger.FailureConnect), string(ledger.FailureClosed), string(ledger.FailureReset), string(ledger.FailureCut)}
