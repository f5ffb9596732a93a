package journal

import (
	"errors"
	"fmt"
	"io"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// scanBytes is what a scanner reads at once.
const scanBytes = 256 << 10

// searchBytes is how far past a tear a later batch is looked for. A batch is written only
// after the one before was synced, so what was torn is at most one batch long.
const searchBytes = 2 * maxBatchBytes

// scanner steps through the batches of one segment. It is for one goroutine.
type scanner struct {
	file  vfs.File
	seed  uint32
	off   int64 // of the next batch
	limit int64 // bytes past it do not count
	buf   []byte
	start int64 // offset in the file of buf[0]
}

// scanned is a batch as found.
type scanned struct {
	head  batchHeader
	bytes []byte // header and entries: a view until the next call
	torn  int64  // where a tear before it began; 0: it follows the last batch directly
}

func newScanner(file vfs.File, salt uint64, off, limit int64) *scanner {
	return &scanner{file: file, seed: saltSeed(salt), off: off, limit: limit}
}

// next returns the next batch with a valid header, looking past a tear. False: none.
// The entries of the batch are not checked yet. Errors are of reading.
func (s *scanner) next() (scanned, bool, error) {
	torn, end := int64(0), min(s.limit, s.off+searchBytes)
	for off := s.off; off+blockBytes <= end; off += blockBytes {
		b, err := s.view(off, batchHeaderLen)
		if err != nil {
			return scanned{}, false, err
		}
		head, err := decodeBatchHeader(b, s.seed, off, s.limit)
		if err != nil {
			torn = s.off
			continue
		}
		if b, err = s.view(off, int(head.length)); err != nil {
			return scanned{}, false, err
		}
		s.off = off + head.padded()
		return scanned{head, b, torn}, true, nil
	}
	return scanned{}, false, nil
}

// view returns n bytes at off, from the buffer or by reading ahead, up to the limit at most:
// what is below a live segment's limit never changes again, so that it needs to be read only
// once. Past the end of the file it returns zeros: a file that lost its tail is torn there, not
// unreadable.
func (s *scanner) view(off int64, n int) ([]byte, error) {
	kept := []byte(nil)
	if end := s.start + int64(len(s.buf)); off >= s.start && off < end {
		if kept = s.buf[off-s.start:]; len(kept) >= n {
			return kept[:n], nil
		}
	}
	want := int(min(max(scanBytes, roundUp(int64(n))), max(s.limit-off, int64(n))))
	buf := s.buf
	if cap(buf) < want {
		buf = make([]byte, want)
	}
	have := copy(buf[:want], kept) // may overlap
	s.buf, s.start = buf[:want], off
	got, err := s.file.ReadAt(s.buf[have:], off+int64(have))
	if err != nil && !errors.Is(err, io.EOF) {
		s.buf = s.buf[:0]
		return nil, fmt.Errorf("read %d bytes at %d: %w", want-have, off+int64(have), err)
	}
	clear(s.buf[have+got:])
	return s.buf[:n], nil
}
