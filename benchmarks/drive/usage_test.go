//go:build linux

package drive

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// The CPU clock of a process is the one that the kernel shows to the process itself.
func TestProcessCPU(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := ProcessCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	thread := ThreadCPU()
	for deadline := time.Now().Add(20 * time.Second); ThreadCPU()-thread < 30*time.Millisecond; {
		if time.Now().After(deadline) {
			t.Fatal("no CPU to be had")
		}
	}
	after, err := ProcessCPU(os.Getpid())
	if err != nil || after-before < 20*time.Millisecond {
		t.Errorf("used %v, error %v", after-before, err)
	}
}

func TestResident(t *testing.T) {
	if n, err := Resident(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("this process has %d bytes, error %v", n, err)
	}
	if n, err := Resident(-1); err == nil {
		t.Errorf("a process that is not there has %d bytes", n)
	}
}
