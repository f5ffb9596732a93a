package forward

import (
	"slices"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// window holds the entries that were taken in the order of their LSNs and are not all settled.
// Settling goes nearly in order, so that the front moves on with each one. The zero value is
// empty. It is owned by the loop.
type window struct {
	items []item
	head  int // items before it are gone
}

type item struct {
	lsn  journal.LSN
	at   int64 // when the entry's batch began, Unix milliseconds
	done bool
}

// push takes an entry; lsn is higher than any before.
func (w *window) push(lsn journal.LSN, at int64) {
	if w.head > 0 && len(w.items) == cap(w.items) {
		n := copy(w.items, w.items[w.head:])
		w.items, w.head = w.items[:n], 0
	}
	w.items = append(w.items, item{lsn: lsn, at: at})
}

// finish settles an entry and returns when it was appended. It panics when the entry is not
// there or was settled before: somebody settled twice.
func (w *window) finish(lsn journal.LSN) (at int64) {
	i := w.head
	if i >= len(w.items) || w.items[i].lsn != lsn {
		var found bool
		i, found = slices.BinarySearchFunc(w.items[w.head:], lsn, compareLSN)
		if i += w.head; !found || w.items[i].done {
			panic("BUG: an entry was settled that is not open")
		}
	}
	w.items[i].done = true
	at = w.items[i].at
	for w.head < len(w.items) && w.items[w.head].done {
		w.head++
	}
	if w.head == len(w.items) {
		w.items, w.head = w.items[:0], 0
	}
	return at
}

func compareLSN(i item, lsn journal.LSN) int {
	switch {
	case i.lsn < lsn:
		return -1
	case i.lsn > lsn:
		return 1
	}
	return 0
}

// first returns the first entry that is not settled, and whether there is one.
func (w *window) first() (journal.LSN, bool) {
	if w.head == len(w.items) {
		return 0, false
	}
	return w.items[w.head].lsn, true
}

// open reports whether an entry was taken and is not settled.
func (w *window) open(lsn journal.LSN) bool {
	i, found := slices.BinarySearchFunc(w.items[w.head:], lsn, compareLSN)
	return found && !w.items[w.head+i].done
}

// cut forgets all entries from lsn on: they were handed back.
func (w *window) cut(lsn journal.LSN) {
	i, _ := slices.BinarySearchFunc(w.items[w.head:], lsn, compareLSN)
	w.items = w.items[:w.head+i]
	if w.head == len(w.items) {
		w.items, w.head = w.items[:0], 0
	}
}

// clear forgets everything and returns the entries that were settled ahead of the first one
// that is not, in order.
func (w *window) clear() (ahead []journal.LSN) {
	for _, it := range w.items[w.head:] {
		if it.done {
			ahead = append(ahead, it.lsn)
		}
	}
	w.items, w.head = w.items[:0], 0
	return ahead
}

// len returns how many entries are between the first open one and the last one taken.
func (w *window) len() int { return len(w.items) - w.head }
