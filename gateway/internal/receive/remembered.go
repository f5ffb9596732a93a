package receive

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"sync/atomic"
)

// signSize is the length of a Sign: a SHA-256 in hex digits.
const signSize = 2 * sha256.Size

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
	changes atomic.Uint64               // odd while it is being changed
	time    [2]atomic.Uint64            // RequestTime as text, see timeWords
	sum     [signSize / 8]atomic.Uint64 // as text in lower case, little endian
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

// letterBit is set in the bytes of letters, and not in those of digits. One place below it is the bit
// in which a small letter differs from a capital one.
const letterBit = 0x4040404040404040

// matches says whether sign, of signSize bytes, is the sum that belongs to words, where that is known.
// Of nil nothing is. A Sign is compared as text, since that needs no look-up for each digit: bit by
// bit, but for that of the case of letters.
func (m *remembered) matches(words [2]uint64, sign []byte) (match, known bool) {
	if m == nil {
		return false, false
	}
	before := m.changes.Load()
	if before == 0 || m.time[0].Load() != words[0] || m.time[1].Load() != words[1] {
		return false, false
	}
	differ, sign := uint64(0), sign[:signSize]
	for i := range m.sum {
		want := m.sum[i].Load()
		differ |= (binary.LittleEndian.Uint64(sign[8*i:]) ^ want) &^ (want & letterBit >> 1)
	}
	if before%2 != 0 || m.changes.Load() != before {
		return false, false
	}
	return differ == 0, true
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
	var text [signSize]byte
	hex.Encode(text[:], sum[:])
	m.time[0].Store(words[0])
	m.time[1].Store(words[1])
	for i := range m.sum {
		m.sum[i].Store(binary.LittleEndian.Uint64(text[8*i:]))
	}
	m.changes.Store(before + 2)
}
