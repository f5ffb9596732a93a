package main

import (
	"errors"
	"io/fs"

	"github.com/tidegate/tidegate/gateway/internal/quarantine"
	"github.com/tidegate/tidegate/internal/process"
)

// checkQuarantine says where refused callbacks are kept and how much there is of them.
func checkQuarantine(f *process.Findings, s *settings) {
	if s.QuarantineMaxBytes == 0 {
		f.Warn("--quarantine-max-bytes: 0 keeps no refused callbacks: after a botched rotation of tokens nothing can bring them back")
		return
	}
	dir := process.Absolute(s.quarantineDir(s.journalFlags))
	entries, bytes := 0, int64(0)
	damaged, err := quarantine.Read(dir, func(_ *quarantine.Callback, size int) error {
		entries++
		bytes += int64(size)
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if !writable(existingParent(dir)) {
			f.Fail("quarantine %s: cannot be made: this user may not write to %s", dir, existingParent(dir))
			return
		}
		f.OK("quarantine %s: is not there yet, the first start makes it", dir)
		return
	case err != nil:
		f.Fail("quarantine %s: %v", dir, err)
		return
	case !writable(dir):
		f.Fail("quarantine %s: this user may not write there", dir)
		return
	}
	for _, d := range damaged {
		f.Warn("quarantine %s: the end of %s cannot be read: %v", dir, d.Name, d.Err)
	}
	if entries > 0 {
		f.Note("quarantine %s: gateway quarantine list says of whom they are and why they were refused", dir)
	}
	f.OK("quarantine %s: %d refused callbacks, %s of %s in use", dir, entries, about(bytes), about(int64(s.QuarantineMaxBytes)))
}
