package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/schema"
)

// Headers of a dead letter are kept in a form of their own, because neither key nor value
// need be text:
//
//	header := length key length+1 value    a header with a null value ends with length 0
//
// in order, one after the other; lengths are uvarints.

// errHeaders says that a dead_letter row holds something else.
var errHeaders = errors.New("headers are cut short or malformed")

// appendHeaders appends the headers to dst. The result is never nil.
func appendHeaders(dst []byte, headers []schema.Header) []byte {
	if dst == nil {
		dst = []byte{}
	}
	for _, h := range headers {
		dst = binary.AppendUvarint(dst, uint64(len(h.Key)))
		dst = append(dst, h.Key...)
		if h.Value == nil {
			dst = append(dst, 0)
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(len(h.Value))+1)
		dst = append(dst, h.Value...)
	}
	return dst
}

// parseHeaders reads them back; the values are views of src. Error: errHeaders, with the
// number of the header at fault.
func parseHeaders(src []byte) ([]schema.Header, error) {
	var headers []schema.Header
	for len(src) > 0 {
		key, rest, ok := cutLength(src, 0)
		if !ok {
			return nil, fmt.Errorf("read key of header %d: %w", len(headers)+1, errHeaders)
		}
		value, rest, ok := cutLength(rest, 1)
		if !ok {
			return nil, fmt.Errorf("read value of header %d: %w", len(headers)+1, errHeaders)
		}
		headers = append(headers, schema.Header{Key: string(key), Value: value})
		src = rest
	}
	return headers, nil
}

// cutLength reads a length, which is written with plus added, and that many bytes. A
// length below plus is a null.
func cutLength(src []byte, plus uint64) (part, rest []byte, ok bool) {
	n, size := binary.Uvarint(src)
	if size <= 0 {
		return nil, nil, false
	}
	src = src[size:]
	if n < plus {
		return nil, src, true
	}
	if n -= plus; n > uint64(len(src)) {
		return nil, nil, false
	}
	return src[:n:n], src[n:], true
}
