package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// checkJournal looks at the journal's directory, or at where it would be made. It makes
// nothing.
func checkJournal(f *findings, s *settings) {
	dir := absolute(s.JournalDir)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		checkPlace(f, s, dir, existingParent(dir))
		return
	case err != nil:
		f.fail("journal %s: %v", dir, err)
		return
	case !info.IsDir():
		f.fail("journal %s: is not a directory", dir)
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
func checkExisting(f *findings, s *settings, dir string) {
	report, err := journal.Stat(dir)
	if err != nil {
		f.fail("journal %s: %v", dir, err)
		return
	}
	for _, c := range report.Corruptions {
		f.warn("journal %s: corrupt: %v", dir, c)
	}
	for _, name := range report.SetAside {
		f.warn("journal %s: %s was set aside; once it is looked at, move it away", dir, name)
	}
	if !writable(dir) {
		f.fail("journal %s: this user may not write there", dir)
		return
	}
	if s.JournalMaxBytes == 0 && dir == absolute(s.JournalDir) {
		f.note("journal %s: --journal-max-bytes is not given; the budget is %s, as of the first start", dir, about(report.Budget))
	}
	f.ok("journal %s: %d undelivered, %s in use", dir, report.Entries, about(report.Bytes))
}

// checkPlace says whether a journal can be made at dir, whose nearest existing parent is
// parent.
func checkPlace(f *findings, s *settings, dir, parent string) {
	if !writable(parent) {
		f.fail("journal %s: cannot be made: this user may not write to %s", dir, parent)
		return
	}
	var st unix.Statfs_t
	if err := unix.Statfs(parent, &st); err != nil {
		f.fail("journal %s: %v", dir, err)
		return
	}
	free := int64(st.Bavail) * int64(st.Bsize) //nolint:unconvert // the types differ between systems
	if need := int64(s.JournalMaxBytes + s.ParkedMaxBytes); need > free {
		f.warn("journal %s: --journal-max-bytes and --parked-max-bytes are %s, but only %s are free: callbacks are answered 503 when the disk is full", dir, about(need), about(free))
	}
	f.ok("journal %s: is not there yet, the first start makes it; %s are free", dir, about(free))
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
