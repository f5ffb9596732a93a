package quarantine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/schema"
)

// Sizes and places of the format, as the package's documentation draws it.
const (
	formatVersion    = 1
	segmentHeaderLen = 48
	itemHeaderLen    = 16
	fixedLen         = 18      // of a payload, before the source
	maxPayload       = 4 << 20 // a reader refuses more before it looks at it
	offsetCRC        = 8
	offsetState      = 12
	offsetApp        = itemHeaderLen + 8
	offsetReason     = itemHeaderLen + 16

	segmentMagic = "TDGQUARA"
	itemMagic    = "TGq1"

	stateKept    = 'K'
	stateRemoved = 'R'
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// Reason is why a callback was refused.
type Reason uint8

// The reasons. The numbers are in files and never change.
const (
	SignMissing Reason = 1 + iota
	SignWrong
	RequestTime
	AppUnknown
	endReasons
)

var reasonNames = [endReasons]string{SignMissing: "sign_missing", SignWrong: "sign_wrong", RequestTime: "request_time", AppUnknown: "app_unknown"}

// String returns the reason's name in metrics and at /apps.
func (r Reason) String() string {
	if r == 0 || r >= endReasons {
		return "unknown"
	}
	return reasonNames[r]
}

// Callback is one refused callback. The slices are views: they belong to whoever filled it.
type Callback struct {
	ReceivedAt  time.Time // whole milliseconds are kept
	Reason      Reason
	Source      netip.Addr // whose request it was; zero: not known
	AppID       int64      // SdkAppid as sent, 1 to schema.MaxAppID
	Command     []byte
	Query       []byte // raw, with Sign and RequestTime: never shown
	Traceparent []byte
	Body        []byte
}

// part returns the part that keeps c.
func (c *Callback) part() int64 {
	if c.Reason == AppUnknown {
		return unknownPart
	}
	return c.AppID
}

// unknownPart is the part of all apps that the apps file does not have.
const unknownPart = 0

// itemBytes is at least what appendItem needs.
func (c *Callback) itemBytes() int {
	const lengths = 4 * binary.MaxVarintLen32
	return itemHeaderLen + fixedLen + 16 + lengths + len(c.Command) + len(c.Query) + len(c.Traceparent) + len(c.Body)
}

// appendItem appends c as an item, without its checksum, which seal writes. It allocates only
// where dst has no room.
func appendItem(dst []byte, c *Callback) []byte {
	start := len(dst)
	dst = append(dst, itemMagic...)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, stateKept, 0, 0, 0)
	dst = le.AppendUint64(dst, uint64(c.ReceivedAt.UnixMilli()))
	dst = le.AppendUint64(dst, uint64(c.AppID))
	dst = append(dst, byte(c.Reason))
	switch {
	case !c.Source.IsValid():
		dst = append(dst, 0)
	case c.Source.Is4():
		a := c.Source.As4()
		dst = append(append(dst, 4), a[:]...)
	default:
		a := c.Source.As16()
		dst = append(append(dst, 16), a[:]...)
	}
	for _, value := range [...][]byte{c.Command, c.Query, c.Traceparent, c.Body} {
		dst = binary.AppendUvarint(dst, uint64(len(value)))
		dst = append(dst, value...)
	}
	le.PutUint32(dst[start+4:], uint32(len(dst)-start-itemHeaderLen))
	return dst
}

// seal writes the checksum into an item.
func seal(item []byte) { le.PutUint32(item[offsetCRC:], itemCRC(item)) }

func itemCRC(item []byte) uint32 {
	c := crc32.Update(0, castagnoli, item[4:8])
	return crc32.Update(c, castagnoli, item[itemHeaderLen:])
}

// item is one item as it stands in a segment.
type item struct {
	Callback
	offset  int64 // in the segment
	size    int   // in the segment
	removed bool
}

// cutItem returns the first item of b, whole, with its checksum not looked at. ErrCorrupt:
// there is none, or not all of it is there.
func cutItem(b []byte) ([]byte, error) {
	if len(b) < itemHeaderLen || string(b[:4]) != itemMagic {
		return nil, fmt.Errorf("no item begins there: %w", ErrCorrupt)
	}
	n := le.Uint32(b[4:])
	if n < fixedLen || n > maxPayload || int64(n) > int64(len(b)-itemHeaderLen) {
		return nil, fmt.Errorf("length %d with %d bytes left: %w", n, len(b)-itemHeaderLen, ErrCorrupt)
	}
	return b[:itemHeaderLen+n], nil
}

// decodeItem reads the first item of b into r, whose slices are views into b. offset is where
// b begins in its segment. ErrCorrupt: there is none that is whole, and r is not to be used.
func decodeItem(b []byte, offset int64, r *item) error {
	whole, err := cutItem(b)
	if err != nil {
		return err
	}
	if le.Uint32(whole[offsetCRC:]) != itemCRC(whole) {
		return fmt.Errorf("checksum is wrong: %w", ErrCorrupt)
	}
	*r = item{offset: offset, size: len(whole), removed: whole[offsetState] == stateRemoved}
	return r.decode(whole[itemHeaderLen:])
}

// decode reads a payload of at least fixedLen bytes.
func (c *Callback) decode(p []byte) error {
	c.ReceivedAt = time.UnixMilli(int64(le.Uint64(p))).UTC()
	app := le.Uint64(p[8:])
	c.Reason = Reason(p[16])
	if app == 0 || app > schema.MaxAppID || c.Reason == 0 || c.Reason >= endReasons {
		return fmt.Errorf("app %d, reason %d: %w", app, c.Reason, ErrCorrupt)
	}
	c.AppID = int64(app)
	size, rest := int(p[17]), p[fixedLen:]
	if size != 0 && size != 4 && size != 16 || size > len(rest) {
		return fmt.Errorf("source of %d bytes: %w", size, ErrCorrupt)
	}
	c.Source, _ = netip.AddrFromSlice(rest[:size]) // no bytes: no address
	rest = rest[size:]
	for _, value := range [...]*[]byte{&c.Command, &c.Query, &c.Traceparent, &c.Body} {
		n, used := binary.Uvarint(rest)
		if used <= 0 || n > uint64(len(rest)-used) {
			return fmt.Errorf("length with %d bytes left: %w", len(rest), ErrCorrupt)
		}
		*value, rest = rest[used:used+int(n):used+int(n)], rest[used+int(n):]
	}
	if len(rest) != 0 {
		return fmt.Errorf("%d bytes after the body: %w", len(rest), ErrCorrupt)
	}
	return nil
}

// appendSegmentHeader appends the header of a segment.
func appendSegmentHeader(dst []byte, app int64, number uint64, created time.Time) []byte {
	start := len(dst)
	dst = append(dst, segmentMagic...)
	dst = le.AppendUint32(dst, formatVersion)
	dst = le.AppendUint32(dst, segmentHeaderLen)
	dst = le.AppendUint64(dst, uint64(app))
	dst = le.AppendUint64(dst, number)
	dst = le.AppendUint64(dst, uint64(created.UnixMilli()))
	dst = append(dst, 0, 0, 0, 0)
	return le.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// checkSegmentHeader says whether b begins with the header of that segment. ErrVersion: of a newer
// release's; magic, version, length and a checksum in its last four bytes are in every version.
func checkSegmentHeader(b []byte, app int64, number uint64) error {
	if len(b) < segmentHeaderLen || !bytes.HasPrefix(b, []byte(segmentMagic)) {
		return fmt.Errorf("no segment's header: %w", ErrCorrupt)
	}
	n := le.Uint32(b[12:])
	if n < 20 || int64(n) > int64(len(b)) || le.Uint32(b[n-4:]) != crc32.Checksum(b[:n-4], castagnoli) {
		return fmt.Errorf("checksum of the header is wrong: %w", ErrCorrupt)
	}
	if v := le.Uint32(b[8:]); v != formatVersion {
		return fmt.Errorf("segment of version %d, this release reads %d: %w", v, formatVersion, ErrVersion)
	}
	if n != segmentHeaderLen || le.Uint64(b[16:]) != uint64(app) || le.Uint64(b[24:]) != number {
		return fmt.Errorf("the header is of another segment: %w", ErrCorrupt)
	}
	return nil
}

const (
	segmentSuffix = ".refused"
	unknownName   = "unknown"
)

func segmentName(app int64, number uint64) string {
	return fmt.Sprintf("%s-%08d%s", partName(app), number, segmentSuffix)
}

// partName names a part in file names and for people.
func partName(app int64) string {
	if app == unknownPart {
		return unknownName
	}
	return strconv.FormatInt(app, 10)
}

// parseSegmentName is the inverse of segmentName.
func parseSegmentName(name string) (app int64, number uint64, ok bool) {
	base, isSegment := strings.CutSuffix(name, segmentSuffix)
	of, digits, cut := strings.Cut(base, "-")
	if !isSegment || !cut {
		return 0, 0, false
	}
	if of != unknownName {
		n, err := strconv.ParseInt(of, 10, 64)
		if err != nil || n <= 0 || n > schema.MaxAppID {
			return 0, 0, false
		}
		app = n
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return app, number, err == nil && number > 0 && segmentName(app, number) == name
}
