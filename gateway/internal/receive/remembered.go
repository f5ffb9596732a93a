package receive

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"sync/atomic"
)

// maxRequestTime is how many digits RequestTime may have.
const maxRequestTime = 11

// remembered is the sum of a token and the RequestTime of its last right Sign, for an app that
// sends more than one callback in that second: at the rates at which it matters, computing
// the sum again would be a tenth of what the stages cost. Only a right Sign changes it, so a stranger
// cannot. What the time of an answer tells of it is whether the app was called with that
// RequestTime, not what the right Sign would be: that is compared in constant time.
//
// It may be used by any number of goroutines. Nobody waits: who finds it being changed does without.
type remembered struct {
	changes atomic.Uint64                  // odd while it is being changed
	time    [2]atomic.Uint64               // RequestTime as text, see timeWords
	sum     [sha256.Size / 8]atomic.Uint64 // big endian
}

// timeWords is RequestTime in two words, its length in the last byte. ok is false where it is too
// long to be one.
func timeWords(requestTime []byte) (words [2]uint64, ok bool) {
	if len(requestTime) > maxRequestTime {
		return words, false
	}
	var text [16]byte
	copy(text[:], requestTime)
	text[15] = byte(len(requestTime))
	return [2]uint64{binary.BigEndian.Uint64(text[:8]), binary.BigEndian.Uint64(text[8:])}, true
}

// matches says whether sign is the sum that belongs to words, where that is known. Of nil nothing is.
func (m *remembered) matches(words [2]uint64, sign *[sha256.Size]byte) (match, known bool) {
	if m == nil {
		return false, false
	}
	before := m.changes.Load()
	if before == 0 || m.time[0].Load() != words[0] || m.time[1].Load() != words[1] {
		return false, false
	}
	var sum [sha256.Size]byte
	for i := range m.sum {
		binary.BigEndian.PutUint64(sum[8*i:], m.sum[i].Load())
	}
	if before%2 != 0 || m.changes.Load() != before {
		return false, false
	}
	return subtle.ConstantTimeCompare(sum[:], sign[:]) == 1, true
}

// keep takes sum, which belongs to words, unless another one is being taken.
func (m *remembered) keep(words [2]uint64, sum *[sha256.Size]byte) {
	if m == nil {
		return
	}
	before := m.changes.Load()
	if before%2 != 0 || !m.changes.CompareAndSwap(before, before+1) {
		return
	}
	m.time[0].Store(words[0])
	m.time[1].Store(words[1])
	for i := range m.sum {
		m.sum[i].Store(binary.BigEndian.Uint64(sum[8*i:]))
	}
	m.changes.Store(before + 2)
}
