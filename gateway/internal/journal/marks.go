package journal

import (
	"sort"
	"sync"
)

// maxMarks bounds the memory for "how old is the oldest undelivered entry": beyond it
// every second mark goes, and the answer becomes coarser, never too young.
const maxMarks = 8192

// mark is when an entry came.
type mark struct {
	lsn   LSN
	milli int64
}

// marks remembers the time of about one entry a second, so that the age of any entry
// is known without reading it. Safe for many goroutines.
type marks struct {
	mu   sync.Mutex
	list []mark
	step int64 // milliseconds between two marks, at least
}

// add notes the time of an entry later than all before.
func (m *marks) add(lsn LSN, milli int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.step = max(m.step, 1000)
	if n := len(m.list); n > 0 && milli-m.list[n-1].milli < m.step {
		return
	}
	if len(m.list) == maxMarks {
		for i := range maxMarks / 2 {
			m.list[i] = m.list[2*i]
		}
		m.list = m.list[:maxMarks/2]
		m.step *= 2
	}
	m.list = append(m.list, mark{lsn, milli})
}

// at returns the time of the newest mark at or before lsn, or of the oldest; 0: none.
func (m *marks) at(lsn LSN) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.list) == 0 {
		return 0
	}
	i := sort.Search(len(m.list), func(i int) bool { return m.list[i].lsn > lsn })
	return m.list[max(0, i-1)].milli
}

// forget drops what is not needed for lsn and later.
func (m *marks) forget(lsn LSN) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := sort.Search(len(m.list), func(i int) bool { return m.list[i].lsn > lsn })
	if i > 1 {
		m.list = append(m.list[:0], m.list[i-1:]...)
	}
}

// join appends the marks of a later part of the log.
func (m *marks) join(later *marks) {
	for _, k := range later.list {
		m.add(k.lsn, k.milli)
	}
}
