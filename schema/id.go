package schema

import "strconv"

// MaxAppID is the largest SdkAppid that is taken: the largest integer that every JSON
// reader holds exactly.
const MaxAppID = 1<<53 - 1

// ParseAppID reads an SdkAppid: decimal digits without sign, space or leading zero, 1 to
// MaxAppID. One app has one text form, because the text is the Kafka key and decides the
// partition. It does not allocate.
func ParseAppID(text []byte) (int64, bool) {
	n, ok := parseDecimal(text)
	if !ok || n == 0 || n > MaxAppID {
		return 0, false
	}
	return int64(n), true
}

// CallbackID is the identity of one received callback, for ever: the id of the journal
// that took it and its log sequence number there. Its text form, ce_id, is 16 lower-case
// hex digits of Journal, a dash, and LSN in decimal. The zero value names no callback:
// sequence numbers begin at 1.
type CallbackID struct {
	Journal uint64
	LSN     uint64
}

// journalDigits is the width of the journal's part of a callback id's text.
const journalDigits = 16

// maxCallbackIDText is the length of the longest text form of a callback id.
const maxCallbackIDText = journalDigits + 1 + 20

// String returns the text form of id.
func (id CallbackID) String() string {
	return string(id.Append(make([]byte, 0, maxCallbackIDText)))
}

// Append appends the text form of id to dst and returns it. It allocates only where dst
// has no room.
func (id CallbackID) Append(dst []byte) []byte {
	dst = appendHex(dst, id.Journal, journalDigits)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, id.LSN, 10)
}

// ParseCallbackID reads the text form back. It takes exactly what Append writes, so
// equal ids have equal texts; ErrCallbackID is for the caller to name what held it.
func ParseCallbackID(text []byte) (CallbackID, error) {
	if len(text) < journalDigits+2 || text[journalDigits] != '-' {
		return CallbackID{}, ErrCallbackID
	}
	journal, ok := parseHex(text[:journalDigits])
	if !ok {
		return CallbackID{}, ErrCallbackID
	}
	lsn, ok := parseDecimal(text[journalDigits+1:])
	if !ok || lsn == 0 {
		return CallbackID{}, ErrCallbackID
	}
	return CallbackID{Journal: journal, LSN: lsn}, nil
}

const hexDigits = "0123456789abcdef"

// appendHex appends the last digits hex digits of n, lower case.
func appendHex(dst []byte, n uint64, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[n>>shift&0xf])
	}
	return dst
}

// parseHex reads up to 16 lower-case hex digits.
func parseHex(text []byte) (n uint64, ok bool) {
	for _, b := range text {
		switch {
		case '0' <= b && b <= '9':
			n = n<<4 | uint64(b-'0')
		case 'a' <= b && b <= 'f':
			n = n<<4 | uint64(b-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// appendPadded appends n in decimal, with zeros before it to at least width digits.
func appendPadded(dst []byte, n uint64, width int) []byte {
	var digits [20]byte
	text := strconv.AppendUint(digits[:0], n, 10)
	for range width - len(text) {
		dst = append(dst, '0')
	}
	return append(dst, text...)
}

// parseDecimal reads a uint64 in its one decimal form: no sign, no leading zero.
func parseDecimal(text []byte) (n uint64, ok bool) {
	if len(text) == 0 || len(text) > 20 || text[0] == '0' && len(text) > 1 {
		return 0, false
	}
	for _, b := range text {
		if b < '0' || b > '9' {
			return 0, false
		}
		digit := uint64(b - '0')
		if n > (1<<64-1-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, true
}
