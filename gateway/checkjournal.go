package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/process"
)

// checkJournal looks at the journal's directory, or at where it would be made. It makes
// nothing.
func checkJournal(f *process.Findings, s *settings) {
	dir := process.Absolute(s.JournalDir)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		checkPlace(f, s, dir, existingParent(dir))
		return
	case err != nil:
		f.Fail("journal %s: %v", dir, err)
		return
	case !info.IsDir():
		f.Fail("journal %s: is not a directory", dir)
		return
	}
	if _, err := os.Stat(filepath.Join(dir, "journal-id")); errors.Is(err, fs.ErrNotExist) {
		checkPlace(f, s, dir, dir)
		return
	}
	checkExisting(f, s, dir)
	if s.hasParked() {
		checkExisting(f, s, s.parkedDir())
	}
}

// checkExisting says what a journal that is there holds, and what is wrong with it.
func checkExisting(f *process.Findings, s *settings, dir string) {
	report, err := journal.Stat(dir)
	if err != nil {
		f.Fail("journal %s: %v", dir, err)
		return
	}
	for _, c := range report.Corruptions {
		f.Warn("journal %s: corrupt: %v", dir, c)
	}
	for _, name := range report.SetAside {
		f.Warn("journal %s: %s was set aside; once it is looked at, move it away", dir, name)
	}
	if !writable(dir) {
		f.Fail("journal %s: this user may not write there", dir)
		return
	}
	if s.JournalMaxBytes == 0 && dir == process.Absolute(s.JournalDir) {
		f.Note("journal %s: --journal-max-bytes is not given; the budget is %s, as of the first start", dir, about(report.Budget))
	}
	f.OK("journal %s: %d undelivered, %s in use", dir, report.Entries, about(report.Bytes))
}

// checkPlace says whether a journal can be made at dir, whose nearest existing parent is
// parent.
func checkPlace(f *process.Findings, s *settings, dir, parent string) {
	if !writable(parent) {
		f.Fail("journal %s: cannot be made: this user may not write to %s", dir, parent)
		return
	}
	var st unix.Statfs_t
	if err := unix.Statfs(parent, &st); err != nil {
		f.Fail("journal %s: %v", dir, err)
		return
	}
	free := int64(st.Bavail) * int64(st.Bsize) //nolint:unconvert // the types differ between systems
	if need := int64(s.JournalMaxBytes + s.ParkedMaxBytes); need > free {
		f.Warn("journal %s: --journal-max-bytes and --parked-max-bytes are %s, but only %s are free: callbacks are answered 503 when the disk is full", dir, about(need), about(free))
	}
	f.OK("journal %s: is not there yet, the first start makes it; %s are free", dir, about(free))
}

// existingParent returns the nearest directory above dir that exists: MkdirAll would begin
// there.
func existingParent(dir string) string {
	for {
		parent := filepath.Dir(dir)
		if _, err := os.Stat(parent); err == nil || parent == dir {
			return parent
		}
		dir = parent
	}
}

// writable asks the system rather than the mode bits: ACLs and read-only mounts count.
func writable(dir string) bool { return unix.Access(dir, unix.W_OK|unix.X_OK) == nil }
