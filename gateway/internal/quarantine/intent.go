package quarantine

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// The file "admitting", little-endian:
//
//	   0        4        8       12       16
//	   +--------+--------+--------+--------+
//	 0 | magic "TDGQADMT"| version| length |   version 1; length: all of it with the CRC
//	   +--------+--------+--------+--------+
//	16 | journal id      | after LSN       |   after: the journal's last entry before the batch
//	   +--------+--------+--------+--------+
//	32 | app             | number          |   of the segment
//	   +--------+--------+--------+--------+
//	48 | moves ...                     CRC |   move: offset (8), item's CRC (4), sum (16)
//	   +-----------------------------------+
const (
	admittingMagic  = "TDGQADMT"
	admittingHeader = 48
	moveLen         = 28
	maxMoves        = 4 * maxBatch
)

// sum is how an entry is found again in the journal: the beginning of its payload's SHA-256.
type sum [16]byte

func sumOf(payload []byte) sum {
	whole := sha256.Sum256(payload)
	return sum(whole[:len(sum{})])
}

// move is one item on its way into the journal.
type move struct {
	offset int64  // of the item in its segment
	crc    uint32 // of the item
	sum    sum    // of the entry
	done   bool   // the entry is durable in the journal, or the item is to be dropped
}

// batch is what an admit has under way.
type batch struct {
	journal uint64
	after   journal.LSN
	app     int64 // of the part
	number  uint64
	moves   []move
	written bool // "admitting" says so
}

func (b *batch) encode() []byte {
	out := append(make([]byte, 0, admittingHeader+len(b.moves)*moveLen+4), admittingMagic...)
	out = le.AppendUint32(out, formatVersion)
	out = le.AppendUint32(out, uint32(cap(out)))
	out = le.AppendUint64(out, b.journal)
	out = le.AppendUint64(out, uint64(b.after))
	out = le.AppendUint64(out, uint64(b.app))
	out = le.AppendUint64(out, b.number)
	for i := range b.moves {
		m := &b.moves[i]
		out = le.AppendUint64(out, uint64(m.offset))
		out = le.AppendUint32(out, m.crc)
		out = append(out, m.sum[:]...)
	}
	return le.AppendUint32(out, crc32.Checksum(out, castagnoli))
}

// decodeBatch reads "admitting". ErrVersion: a newer release wrote it; ErrCorrupt.
func decodeBatch(b []byte) (*batch, error) {
	if len(b) < admittingHeader+4 || string(b[:8]) != admittingMagic || int64(le.Uint32(b[12:])) != int64(len(b)) ||
		le.Uint32(b[len(b)-4:]) != crc32.Checksum(b[:len(b)-4], castagnoli) {
		return nil, ErrCorrupt
	}
	if v := le.Uint32(b[8:]); v != formatVersion {
		return nil, fmt.Errorf("version %d, this release reads %d: %w", v, formatVersion, ErrVersion)
	}
	moves := b[admittingHeader : len(b)-4]
	if len(moves)%moveLen != 0 || len(moves)/moveLen > maxMoves {
		return nil, ErrCorrupt
	}
	out := &batch{
		journal: le.Uint64(b[16:]), after: journal.LSN(le.Uint64(b[24:])),
		app: int64(le.Uint64(b[32:])), number: le.Uint64(b[40:]), written: true,
	}
	for ; len(moves) > 0; moves = moves[moveLen:] {
		out.moves = append(out.moves, move{offset: int64(le.Uint64(moves)), crc: le.Uint32(moves[8:]), sum: sum(moves[12:moveLen])})
	}
	return out, nil
}

// announce makes "admitting" say what is about to be appended. When it returns nil that is durable.
func (s *Store) announce(b *batch) error {
	tmp := s.path(admittingName + tmpSuffix)
	if err := s.fs.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.fs.Create(tmp)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(b.encode(), 0); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := s.fs.Rename(tmp, s.path(admittingName)); err != nil {
		return err
	}
	b.written = true
	return s.fs.SyncDir(s.dir)
}

// forget removes "admitting". That it is durable only saves a start looking into the journal.
func (s *Store) forget() error {
	if err := s.fs.Remove(s.path(admittingName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.fs.SyncDir(s.dir)
}

// readUnfinished reads "admitting", nil when there is none. One that is damaged was never durable,
// or the disk has changed it: nothing can be done with it, and it is left to the next admit.
func (s *Store) readUnfinished() (*batch, error) {
	b, err := readSegment(s.fs, s.path(admittingName), 0, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, err
	}
	out, err := decodeBatch(b)
	if errors.Is(err, ErrCorrupt) {
		s.log.Warn("quarantine: what an admit had under way cannot be read; what it has admitted may be admitted again")
		return nil, nil //nolint:nilnil // as above
	}
	return out, err
}

// mark makes the removal of the batch's moves that are done durable. Called with mu held.
func (s *Store) mark(b *batch) error {
	p := s.parts[b.app]
	g := p.segment(b.number)
	if g == nil {
		return nil // evicted
	}
	var offsets []int64
	data, err := readSegment(s.fs, s.path(g.name), 0, g.size)
	if err != nil {
		return err
	}
	var r item
	for i := range b.moves {
		m := &b.moves[i]
		if !m.done || m.offset < segmentHeaderLen || m.offset >= int64(len(data)) || decodeItem(data[m.offset:], m.offset, &r) != nil {
			continue
		}
		if at := data[m.offset:]; !r.removed && le.Uint32(at[offsetCRC:]) == m.crc {
			offsets = append(offsets, m.offset)
		}
	}
	if len(offsets) == 0 {
		return nil
	}
	if g.kept == int64(len(offsets)) { // nothing is left in it
		if !s.removeSegment(p, g) {
			return fmt.Errorf("%s cannot be removed", g.name)
		}
		return s.fs.SyncDir(s.dir)
	}
	err = s.change(g, func(f vfs.File) error {
		for _, at := range offsets {
			if _, err := f.WriteAt([]byte{stateRemoved}, at+offsetState); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	g.kept -= int64(len(offsets))
	s.entries.Add(-int64(len(offsets)))
	return nil
}

// segment returns a segment of the part, nil when it is gone.
func (p *part) segment(number uint64) *segment {
	if p == nil {
		return nil
	}
	for _, g := range p.segs {
		if g.number == number {
			return g
		}
	}
	return nil
}
