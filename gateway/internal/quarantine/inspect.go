package quarantine

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// Damage is a segment whose end cannot be read.
type Damage struct {
	Name string
	Err  error
}

// Read calls each for every callback that is kept in dir, each part's oldest first, with its size
// on disk; the views in it are valid during the call. It changes and locks nothing, and may run
// beside a live gateway: what is evicted meanwhile may be left out, and what is being written at
// this moment is. An error of each ends it. Errors: fs.ErrNotExist, ErrForeign, ErrVersion, else
// I/O.
func Read(dir string, each func(c *Callback, size int) error) ([]Damage, error) {
	return readFS(vfs.OS(), dir, each)
}

func readFS(fsys vfs.FS, dir string, each func(c *Callback, size int) error) (damaged []Damage, err error) {
	names, err := listSegments(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("read quarantine %s: %w", dir, err)
	}
	for _, n := range names {
		b, err := readSegment(fsys, filepath.Join(dir, n.name), 0, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue // evicted, or admitted, meanwhile
		}
		if err != nil {
			return damaged, fmt.Errorf("read quarantine %s: %w", dir, err)
		}
		err = eachItem(b, n.app, n.number, func(r *item) error {
			if r.removed {
				return nil
			}
			return each(&r.Callback, r.size)
		})
		switch {
		case errors.Is(err, ErrCorrupt):
			damaged = append(damaged, Damage{n.name, err})
		case err != nil:
			return damaged, fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return damaged, nil
}
