package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

const (
	checkpointMagic uint64 = 0x5043_4547_4454_4547
	slotBytes              = 64 << 10 // of one slot: some 2,000 lanes
	slotHeaderLen          = 64
)

// Cursor says that all of a lane's entries up to LSN are settled. The journal keeps
// it and does not look inside.
type Cursor struct {
	Lane string // at most 65535 bytes
	LSN  LSN
}

// checkpoint is the content of a slot.
type checkpoint struct {
	seq     uint64 // of two valid slots the higher one counts
	settled LSN    // all entries up to here are settled
	synced  LSN    // and up to here they were durable when this was written
	next    LSN    // first LSN of the run that wrote this: whatever it gave out is not below
	cursors []Cursor
}

// encode writes the slot into b, which has slotBytes, and returns the bytes used and
// how many cursors found room.
func (c *checkpoint) encode(b []byte, id uint64) (n, cursors int) {
	n = slotHeaderLen
	for _, cur := range c.cursors {
		if len(cur.Lane) > 1<<16-1 || n+10+len(cur.Lane)+4 > slotBytes {
			continue
		}
		le.PutUint16(b[n:], uint16(len(cur.Lane)))
		le.PutUint64(b[n+2:], uint64(cur.LSN))
		n += 10 + copy(b[n+10:], cur.Lane)
		cursors++
	}
	le.PutUint64(b[0:], checkpointMagic)
	le.PutUint32(b[8:], formatVersion)
	le.PutUint32(b[12:], uint32(n+4))
	le.PutUint64(b[16:], id)
	le.PutUint64(b[24:], c.seq)
	le.PutUint64(b[32:], uint64(c.settled))
	le.PutUint64(b[40:], uint64(c.synced))
	le.PutUint64(b[48:], uint64(c.next))
	le.PutUint64(b[56:], uint64(cursors))
	le.PutUint32(b[n:], crc32.Checksum(b[:n], castagnoli))
	return n + 4, cursors
}

// decodeCheckpoint reads a slot. errMagic, errCRC, errShape: torn or never written, the
// other slot counts. ErrVersion and ErrForeign: the directory is not opened.
func decodeCheckpoint(b []byte, id uint64) (c checkpoint, err error) {
	if len(b) < slotHeaderLen+4 || le.Uint64(b) != checkpointMagic {
		return c, errMagic
	}
	n := int64(le.Uint32(b[12:]))
	if n < 20 || n > int64(min(len(b), slotBytes)) || le.Uint32(b[n-4:]) != crc32.Checksum(b[:n-4], castagnoli) {
		return c, errCRC
	}
	if v := le.Uint32(b[8:]); v != formatVersion {
		return c, fmt.Errorf("checkpoint of version %d, this release reads %d: %w", v, formatVersion, ErrVersion)
	}
	if n < slotHeaderLen+4 {
		return c, errShape
	}
	if got := le.Uint64(b[16:]); got != id {
		return c, fmt.Errorf("checkpoint of journal %016x in journal %016x: %w", got, id, ErrForeign)
	}
	c = checkpoint{seq: le.Uint64(b[24:]), settled: LSN(le.Uint64(b[32:])), synced: LSN(le.Uint64(b[40:])), next: LSN(le.Uint64(b[48:]))}
	return c, c.decodeCursors(b[slotHeaderLen:n-4], le.Uint64(b[56:]))
}

func (c *checkpoint) decodeCursors(b []byte, count uint64) error {
	for ; count > 0; count-- {
		if len(b) < 10 || len(b) < 10+int(le.Uint16(b)) {
			return errShape
		}
		end := 10 + int(le.Uint16(b))
		c.cursors = append(c.cursors, Cursor{Lane: string(b[10:end]), LSN: LSN(le.Uint64(b[2:]))})
		b = b[end:]
	}
	if len(b) != 0 {
		return errShape
	}
	return nil
}

// loadCheckpoint reads the newer of the two slots. found is false when there is no file
// or neither slot holds: everything is delivered again then, nothing is lost.
func loadCheckpoint(fsys FS, dir string, id uint64) (c checkpoint, slot int, found bool, err error) {
	b, err := readAll(fsys, filepath.Join(dir, checkpointName), 2*slotBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return c, 0, false, nil
	}
	if err != nil {
		return c, 0, false, err
	}
	for i := range 2 {
		from := min(len(b), i*slotBytes)
		got, err := decodeCheckpoint(b[from:min(len(b), from+slotBytes)], id)
		switch {
		case errors.Is(err, ErrVersion), errors.Is(err, ErrForeign):
			return c, 0, false, err
		case err == nil && (!found || got.seq > c.seq):
			c, slot, found = got, i, true
		}
	}
	return c, slot, found, nil
}

// checkpointFile writes the slots in place. It belongs to the checkpointer.
type checkpointFile struct {
	file      vfs.File
	id        uint64
	seq       uint64
	slot      int // the one that holds the last synced checkpoint; the other one is written
	buf       []byte
	synced    LSN // settled watermark of the last synced checkpoint
	wrote     LSN // settled watermark of the last written checkpoint
	watermark LSN // synced watermark of the last written checkpoint
	lost      int // cursors that found no room
}

// openCheckpoint opens the file for writing, or makes it.
func openCheckpoint(fsys FS, dir string, id uint64, c checkpoint, slot int) (*checkpointFile, error) {
	path := filepath.Join(dir, checkpointName)
	f, err := fsys.OpenWrite(path)
	if errors.Is(err, fs.ErrNotExist) {
		// Both slots are written once, so that later ones need no new space on disk.
		if err := writeWhole(fsys, dir, checkpointName, make([]byte, 2*slotBytes)); err != nil {
			return nil, err
		}
		f, err = fsys.OpenWrite(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &checkpointFile{file: f, id: id, seq: c.seq, slot: slot, buf: make([]byte, slotBytes), synced: c.settled, wrote: c.settled, watermark: c.synced}, nil
}

// write puts c into the slot that does not hold the last synced one, so that a torn
// write never costs more than what came since.
func (f *checkpointFile) write(c checkpoint) error {
	f.seq++
	c.seq = f.seq
	clear(f.buf)
	n, kept := c.encode(f.buf, f.id)
	f.lost = len(c.cursors) - kept
	n = int(roundUp(int64(n)))
	if _, err := f.file.WriteAt(f.buf[:n], int64(1-f.slot)*slotBytes); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	f.wrote, f.watermark = c.settled, c.synced
	return nil
}

// sync makes the last write durable and turns to the other slot.
func (f *checkpointFile) sync() error {
	if err := f.file.Fdatasync(); err != nil {
		return fmt.Errorf("sync checkpoint: %w", err)
	}
	f.slot, f.synced = 1-f.slot, f.wrote
	return nil
}
