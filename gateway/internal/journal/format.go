package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// Limits of the format. A reader refuses anything beyond them before it allocates.
const (
	blockBytes       = vfs.BlockBytes // padding of headers and batches
	maxBatchBytes    = 4 << 20        // of one batch, its header included
	maxBatchEntries  = 16384          // of one batch
	maxSegmentBytes  = 64 << 20       // of a segment as this release makes them
	formatVersion    = 1
	segmentHeaderLen = 96
	batchHeaderLen   = 64
	entryHeaderLen   = 16
	lsnJump          = 1 << 20 // LSNs left out after each recovery
)

const (
	segmentMagic uint64 = 0x4a45544147454454 // "TDEGATEJ" read as little-endian bytes
	batchMagic   uint32 = 0x31624754         // "TGb1"
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// segmentHeader is the first block of a segment; doc.go draws it.
type segmentHeader struct {
	version    uint32
	id         uint64 // of the journal
	first      LSN    // of the first entry that may be in it
	prevFirst  LSN    // first of the segment before; 0: there was none
	prevLast   LSN    // last LSN of the segment before, as sealed
	prevSealed int64  // bytes of the segment before that count; past them it is dead
	sealed     int64  // not 0: written whole by a recovery, and this long
	salt       uint64 // seeds every checksum in the file
	created    int64  // Unix milliseconds
}

// encode writes the header into a zeroed block.
func (h *segmentHeader) encode(b []byte) {
	le.PutUint64(b[0:], segmentMagic)
	le.PutUint32(b[8:], h.version)
	le.PutUint32(b[12:], segmentHeaderLen)
	le.PutUint64(b[16:], h.id)
	le.PutUint64(b[24:], uint64(h.first))
	le.PutUint64(b[32:], uint64(h.prevFirst))
	le.PutUint64(b[40:], uint64(h.prevLast))
	le.PutUint64(b[48:], uint64(h.prevSealed))
	le.PutUint64(b[56:], uint64(h.sealed))
	le.PutUint64(b[64:], h.salt)
	le.PutUint64(b[72:], uint64(h.created))
	le.PutUint32(b[92:], crc32.Checksum(b[:92], castagnoli))
}

// decodeSegmentHeader reads a header. errMagic, errCRC and ErrVersion are told apart
// because the caller acts differently: the first two are corruption, the third is a
// newer release's directory, which is left alone. For that, magic, version, length and
// a checksum in the last four bytes stay where they are in every version.
func decodeSegmentHeader(b []byte) (segmentHeader, error) {
	if len(b) < segmentHeaderLen || le.Uint64(b) != segmentMagic {
		return segmentHeader{}, errMagic
	}
	n := le.Uint32(b[12:])
	if n < 20 || int64(n) > int64(min(len(b), blockBytes)) || le.Uint32(b[n-4:]) != crc32.Checksum(b[:n-4], castagnoli) {
		return segmentHeader{}, errCRC
	}
	h := segmentHeader{version: le.Uint32(b[8:])}
	if h.version != formatVersion {
		return h, fmt.Errorf("segment of version %d, this release reads %d: %w", h.version, formatVersion, ErrVersion)
	}
	h.id = le.Uint64(b[16:])
	h.first = LSN(le.Uint64(b[24:]))
	h.prevFirst = LSN(le.Uint64(b[32:]))
	h.prevLast = LSN(le.Uint64(b[40:]))
	h.prevSealed = int64(le.Uint64(b[48:]))
	h.sealed = int64(le.Uint64(b[56:]))
	h.salt = le.Uint64(b[64:])
	h.created = int64(le.Uint64(b[72:]))
	if n != segmentHeaderLen || h.first == 0 || h.prevLast >= h.first || h.prevSealed < 0 || h.sealed < 0 {
		return h, errShape
	}
	return h, nil
}

// batchHeader precedes the entries of one write; doc.go draws it.
type batchHeader struct {
	length int64  // bytes of header and entries, without the padding
	count  int    // entries
	first  LSN    // of the first entry, or of the next one when there is none
	synced LSN    // all entries up to here were durable when this was written
	offset int64  // of the batch in its segment
	gap    uint64 // LSNs just before first that recovery knows to be lost
}

// padded is the room that the batch takes in the file.
func (h *batchHeader) padded() int64 { return roundUp(h.length) }

// last is the LSN of the last entry, first-1 when there is none.
func (h *batchHeader) last() LSN { return h.first + LSN(h.count) - 1 }

func (h *batchHeader) encode(b []byte, seed uint32) {
	clear(b[:batchHeaderLen])
	le.PutUint32(b[0:], batchMagic)
	le.PutUint32(b[4:], uint32(h.length))
	le.PutUint32(b[8:], uint32(h.count))
	le.PutUint64(b[16:], uint64(h.first))
	le.PutUint64(b[24:], uint64(h.synced))
	le.PutUint64(b[32:], uint64(h.offset))
	le.PutUint64(b[40:], h.gap)
	le.PutUint32(b[12:], batchCRC(b, seed))
}

// batchCRC is the checksum of a batch header, with its own field left out.
func batchCRC(b []byte, seed uint32) uint32 {
	c := crc32.Update(seed, castagnoli, b[0:12])
	return crc32.Update(c, castagnoli, b[16:batchHeaderLen])
}

// decodeBatchHeader reads the header of a batch that should be at offset in a segment
// of limit bytes, and checks every field against its bounds.
func decodeBatchHeader(b []byte, seed uint32, offset, limit int64) (batchHeader, error) {
	if len(b) < batchHeaderLen || le.Uint32(b) != batchMagic {
		return batchHeader{}, errMagic
	}
	if le.Uint32(b[12:]) != batchCRC(b, seed) {
		return batchHeader{}, errCRC
	}
	h := batchHeader{
		length: int64(le.Uint32(b[4:])),
		count:  int(le.Uint32(b[8:])),
		first:  LSN(le.Uint64(b[16:])),
		synced: LSN(le.Uint64(b[24:])),
		offset: int64(le.Uint64(b[32:])),
		gap:    le.Uint64(b[40:]),
	}
	switch {
	case h.offset != offset,
		h.length < batchHeaderLen || h.length > maxBatchBytes || h.padded() > limit-offset,
		h.count < 0 || h.count > maxBatchEntries || int64(h.count)*entryHeaderLen > h.length-batchHeaderLen,
		h.first == 0 || h.synced >= h.first || h.gap >= uint64(h.first):
		return h, errShape
	}
	return h, nil
}

// Entry header: length, checksum, then 16 bits of index in the batch above 48 bits of
// Unix milliseconds.
const timeBits = 48

func packMeta(index int, milli int64) uint64 {
	return uint64(index)<<timeBits | uint64(max(milli, 0))&(1<<timeBits-1)
}

// putEntryHeader writes the header without its checksum, which sealEntries adds.
func putEntryHeader(b []byte, length, index int, milli int64) {
	le.PutUint32(b[0:], uint32(length))
	le.PutUint32(b[4:], 0)
	le.PutUint64(b[8:], packMeta(index, milli))
}

// checksummer computes entry checksums. Its scratch keeps the call from allocating;
// it belongs to one goroutine.
type checksummer struct{ scratch [20]byte }

// entry is the checksum of one entry: the salt's, its LSN, length, index and time, the payload.
func (c *checksummer) entry(seed uint32, lsn LSN, header, payload []byte) uint32 {
	le.PutUint64(c.scratch[0:], uint64(lsn))
	copy(c.scratch[8:12], header[0:4])
	copy(c.scratch[12:20], header[8:16])
	return crc32.Update(crc32.Update(seed, castagnoli, c.scratch[:]), castagnoli, payload)
}

// saltSeed is the initial value of every checksum in a segment.
func saltSeed(salt uint64) uint32 {
	var b [8]byte
	le.PutUint64(b[:], salt)
	return crc32.Checksum(b[:], castagnoli)
}

// sealEntries writes the checksums into the entries of an encoded batch.
func (c *checksummer) sealEntries(batch []byte, seed uint32, first LSN) {
	for pos, lsn := batchHeaderLen, first; pos < len(batch); lsn++ {
		n := int(le.Uint32(batch[pos:]))
		header, payload := batch[pos:pos+entryHeaderLen], batch[pos+entryHeaderLen:pos+entryHeaderLen+n]
		le.PutUint32(header[4:], c.entry(seed, lsn, header, payload))
		pos = align8(pos + entryHeaderLen + n)
	}
}

func align8(n int) int { return (n + 7) &^ 7 }

// roundUp is n rounded up to whole blocks.
func roundUp(n int64) int64 { return (n + blockBytes - 1) / blockBytes * blockBytes }
