//go:build linux

package main

import (
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	syncedBlock = 4 << 10
	syncedFile  = 4 << 20
	syncs       = 200
	syncsWithin = 2 * time.Second
)

// fdatasyncTime is the median time of writing 4 KiB into a file in dir that is written
// already, so that no size changes, and of fdatasync: what a journal pays for one batch.
func fdatasyncTime(dir string) (time.Duration, error) {
	file, err := os.CreateTemp(dir, "fdatasync-")
	if err != nil {
		return 0, fmt.Errorf("measure fdatasync: %w", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if _, err := file.Write(make([]byte, syncedFile)); err != nil {
		return 0, fmt.Errorf("measure fdatasync: %w", err)
	}
	if err := file.Sync(); err != nil {
		return 0, fmt.Errorf("measure fdatasync: %w", err)
	}
	block := make([]byte, syncedBlock)
	var took []time.Duration
	for begin := time.Now(); len(took) < syncs && time.Since(begin) < syncsWithin; {
		block[0]++
		start := time.Now()
		if _, err := file.WriteAt(block, int64(len(took)*syncedBlock%syncedFile)); err != nil {
			return 0, fmt.Errorf("measure fdatasync: %w", err)
		}
		if err := unix.Fdatasync(int(file.Fd())); err != nil {
			return 0, fmt.Errorf("measure fdatasync: %w", err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// settleDisk removes what a turn left in dir and has the file system of dir's parent write
// out the rest, so that no server pays for the one before it.
func settleDisk(parent, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("settle disk: %w", err)
	}
	folder, err := os.Open(parent)
	if err != nil {
		return fmt.Errorf("settle disk: %w", err)
	}
	defer folder.Close()
	if err := unix.Syncfs(int(folder.Fd())); err != nil {
		return fmt.Errorf("settle disk: %w", err)
	}
	return nil
}
