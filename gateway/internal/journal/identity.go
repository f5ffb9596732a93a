package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
)

// Names in a journal's directory. Everything else is left alone.
const (
	lockName       = "LOCK"
	identityName   = "journal-id"
	checkpointName = "checkpoint"
	ballastName    = "ballast"
	segmentSuffix  = ".segment"
	spareSuffix    = ".spare"
	tmpSuffix      = ".tmp"      // unfinished: removed by recovery
	repairedSuffix = ".repaired" // finished, about to take its segment's place
	corruptSuffix  = ".corrupt"  // set aside: never read or removed by the journal
)

// newcomers may be in a directory before its journal is: what a crash during the very
// first Open leaves, what a fresh volume brings, and the product's other journals.
var newcomers = map[string]bool{
	lockName: true, identityName + tmpSuffix: true,
	"lost+found": true, "parked": true, "quarantine": true,
}

// identity is the file journal-id, made once.
type identity struct {
	id     uint64
	budget int64 // the default MaxBytes, decided at the first start
}

func (i identity) encode() []byte {
	body := fmt.Sprintf("tidegate journal\nversion %d\nid %016x\ndefault-budget %d\n", formatVersion, i.id, i.budget)
	return fmt.Appendf(nil, "%scrc %08x\n", body, crc32.Checksum([]byte(body), castagnoli))
}

// decodeIdentity reads a journal-id. ErrForeign when it is not one, or damaged: without
// it nothing says whose entries these are. ErrVersion when a newer release made it.
func decodeIdentity(b []byte) (i identity, err error) {
	lines := strings.Split(string(b), "\n")
	if len(lines) < 2 || lines[0] != "tidegate journal" {
		return i, fmt.Errorf("%s is not a journal's: %w", identityName, ErrForeign)
	}
	body, sum, found := strings.Cut(string(b), "crc ")
	if !found || sum != fmt.Sprintf("%08x\n", crc32.Checksum([]byte(body), castagnoli)) {
		return i, fmt.Errorf("%s is damaged: %w", identityName, ErrForeign)
	}
	if lines[1] != "version "+strconv.Itoa(formatVersion) {
		return i, fmt.Errorf("%s says %q, this release reads version %d: %w", identityName, lines[1], formatVersion, ErrVersion)
	}
	if len(lines) != 6 {
		return i, fmt.Errorf("%s has %d lines: %w", identityName, len(lines), ErrForeign)
	}
	id, err1 := strconv.ParseUint(strings.TrimPrefix(lines[2], "id "), 16, 64)
	budget, err2 := strconv.ParseInt(strings.TrimPrefix(lines[3], "default-budget "), 10, 64)
	if errors.Join(err1, err2) != nil {
		return i, fmt.Errorf("%s has a number that is none: %w", identityName, ErrForeign)
	}
	return identity{id, budget}, nil
}

// loadIdentity reads the identity of dir; found is false when dir holds no journal yet
// but may become one. Nothing is modified (J12).
func loadIdentity(fsys FS, dir string) (i identity, found bool, err error) {
	names, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return i, false, nil
	}
	if err != nil {
		return i, false, fmt.Errorf("read directory %s: %w", dir, err)
	}
	for _, name := range names {
		if name == identityName {
			b, err := readAll(fsys, filepath.Join(dir, name), blockBytes)
			if err != nil {
				return i, false, err
			}
			i, err = decodeIdentity(b)
			return i, err == nil, err
		}
	}
	for _, name := range names {
		if !newcomers[name] && !strings.HasSuffix(name, ".sock") {
			return i, false, fmt.Errorf("%s holds %q and no %s: %w", dir, name, identityName, ErrForeign)
		}
	}
	return i, false, nil
}

// createIdentity makes dir a journal. When it returns nil that is durable.
func createIdentity(fsys FS, dir string) (identity, error) {
	free, err := fsys.Free(dir)
	if err != nil {
		return identity{}, fmt.Errorf("free space of %s: %w", dir, err)
	}
	i := identity{id: randomUint64(), budget: min(maxDefaultBytes, free/10*8)}
	if err := writeWhole(fsys, dir, identityName, i.encode()); err != nil {
		return identity{}, err
	}
	return i, nil
}

// writeWhole makes the file dir/name with content b in one durable step.
func writeWhole(fsys FS, dir, name string, b []byte) error {
	path := filepath.Join(dir, name)
	tmp := path + tmpSuffix
	if err := fsys.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", tmp, err)
	}
	if err := writeSynced(fsys, tmp, b); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, path); err != nil {
		return fmt.Errorf("rename to %s: %w", path, err)
	}
	if err := fsys.SyncDir(dir); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// writeSynced makes a new file with content b and syncs the content, not its name.
func writeSynced(fsys FS, path string, b []byte) error {
	f, err := fsys.Create(path)
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = fsys.Remove(path) // give the space back; the first error is the one to tell
		return fmt.Errorf("write %s of %d bytes: %w", path, len(b), err)
	}
	return nil
}

// readAll reads a file of at most limit bytes.
func readAll(fsys FS, path string, limit int64) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer closeRead(f)
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("size of %s: %w", path, err)
	}
	b := make([]byte, min(size, limit))
	if _, err := f.ReadAt(b, 0); err != nil && len(b) > 0 {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

// closeRead closes a file that was only read: its error says nothing.
func closeRead(f io.Closer) { _ = f.Close() }

// randomUint64 is for ids and salts: not guessable, never 0.
func randomUint64() uint64 {
	for {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails, says its documentation
		if n := le.Uint64(b[:]); n != 0 {
			return n
		}
	}
}
