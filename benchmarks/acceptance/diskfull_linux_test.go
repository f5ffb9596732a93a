package acceptance

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
		t.Skip("mounting a small file system needs root")
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
			t.Skipf("no ext4 on a loop device: %s: %v: %s", command[0], err, out)
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

// full is a scenario whose journal is on a device of its own.
type full struct {
	*scene
	device string
	all    []ledger.Entry // of the loads that have ended
}

// Promise: the journal's disk is full, because others filled it. What still fits into the
// files that the journal has is taken, then callbacks are answered 503 with Retry-After.
// Kafka delivery goes on, also over kill -9 and a start on the full disk. Taking resumes by
// itself: when the disk has room, and when delivery made room in the journal's own files.
// Nothing that was answered 200 is lost.
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
	f := &full{scene: s, device: device}
	f.fullThenFreed()
	f.fullThenDelivered()
	s.row.Faults = 4 // the disk and Kafka, twice
	s.proof("disk full with Kafka away, freed; full again, gateway killed (-9), Kafka back", f.all)
	s.consumed(f.all)
}

// begin starts a load that fills the journal's files soon.
func (f *full) begin() *run {
	f.t.Helper()
	return f.load(steady(rate(f.t), alarms, "--body-bytes=4000")...)
}

// end ends a load of which nothing but 503 for want of room was refused, and which may have met
// a killed gateway.
func (f *full) end(phase string, r *run, also ...string) {
	f.t.Helper()
	entries := r.end()
	f.all = append(f.all, entries...)
	counts := tallied(f.t, entries)
	f.t.Logf("%s: %s", phase, counts)
	counts.only(f.t, phase, append(also, answerFull)...)
}

// fullThenFreed fills the disk while Kafka is away, and frees it.
func (f *full) fullThenFreed() {
	perSecond := rate(f.t)
	load := f.begin()
	load.progress(perSecond)
	bringBack := f.takeKafkaAway()
	free := fillDevice(f.t, f.device)
	load.answered(perSecond, 503, journalFull)
	f.eventually("/readyz says why nothing is taken", func() error {
		if ready := f.ready(); ready != 503 {
			return fmt.Errorf("it is %d", ready)
		}
		return f.says("no space left on device")
	})
	free()
	load.answered(perSecond, 200, 0)
	bringBack()
	load.answered(perSecond, 200, 0)
	f.end("disk full, then freed", load)
	f.arrived(f.stack.Topics().AlarmsRaw, f.all)
}

// fullThenDelivered fills the disk while Kafka is away, kills the gateway there, and brings
// Kafka back, not the disk's space.
func (f *full) fullThenDelivered() {
	perSecond := rate(f.t)
	load := f.begin()
	load.progress(perSecond)
	bringBack := f.takeKafkaAway()
	free := fillDevice(f.t, f.device)
	defer free()
	load.answered(perSecond, 503, journalFull)
	f.killAndStart()
	load.answered(1, 503, journalFull)
	bringBack()
	load.answered(perSecond, 200, 0)
	f.end("disk full, gateway killed, Kafka back", load, string(ledger.FailureClosed), string(ledger.FailureReset), string(ledger.FailureConnect), string(ledger.FailureCut))
	f.arrived(f.stack.Topics().AlarmsRaw, f.all)
}
