package journal

import "time"

// resyncBytes bounds the checksum work of one batch that is searched for good entries
// behind a damaged one: a hostile body may be full of false headers.
const resyncBytes = 16 * maxBatchBytes

// walker decodes the entries of one batch in order. Damaged entries are stepped over
// and show as a jump in the LSNs. It is for one goroutine.
type walker struct {
	batch   []byte // header and entries
	head    batchHeader
	seed    uint32
	trusted bool // from RAM: checksums need no checking
	pos     int  // of the next entry
	index   int  // of the next entry
	work    int  // bytes of failed checksums
	sums    checksummer
}

func (w *walker) reset(batch []byte, head batchHeader, seed uint32, trusted bool) {
	w.batch, w.head, w.seed, w.trusted = batch, head, seed, trusted
	w.pos, w.index, w.work = batchHeaderLen, 0, 0
}

// next returns the next good entry; its payload is a view into the batch. False: none left.
func (w *walker) next() (Entry, bool) {
	for w.index < w.head.count && w.pos+entryHeaderLen <= len(w.batch) && w.work < resyncBytes {
		e, index, end, ok := w.at(w.pos)
		if !ok {
			w.pos += 8 // look for the next entry whose checksum holds: its index says which it is
			continue
		}
		w.pos, w.index = end, index+1
		return e, true
	}
	w.index = w.head.count
	return Entry{}, false
}

// at decodes the entry at pos, which must be the next one or a later one.
func (w *walker) at(pos int) (e Entry, index, end int, ok bool) {
	header := w.batch[pos : pos+entryHeaderLen]
	size := int64(le.Uint32(header)) // an int64, so that no length overflows an int
	meta := le.Uint64(header[8:])
	index = int(meta >> timeBits)
	if size > int64(len(w.batch)-pos-entryHeaderLen) || index < w.index || index >= w.head.count {
		return e, 0, 0, false
	}
	from := pos + entryHeaderLen
	payload := w.batch[from : from+int(size) : from+int(size)]
	lsn := w.head.first + LSN(index)
	if !w.trusted && le.Uint32(header[4:]) != w.sums.entry(w.seed, lsn, header, payload) {
		w.work += int(size)
		return e, 0, 0, false
	}
	e = Entry{LSN: lsn, Time: time.UnixMilli(int64(meta & (1<<timeBits - 1))), Payload: payload}
	return e, index, align8(from + int(size)), true
}
