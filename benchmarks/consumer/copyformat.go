//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// PostgreSQL's binary format of COPY (postgresql.org/docs/current/sql-copy.html): a signature,
// flags, and an extension with its length; then each tuple, the number of its fields in two
// bytes and each field behind its length in four, where -1 is null; then -1 in two bytes.
const (
	copySignature = "PGCOPY\n\xff\r\n\x00"
	copyEnd       = "\xff\xff"
)

// errCopyFormat says that bytes are not in COPY's binary format.
var errCopyFormat = errors.New("not in COPY's binary format")

// splitCopy returns the header and the tuples of all, which are views of it.
func splitCopy(all []byte) (header []byte, tuples [][]byte, err error) {
	const fixed = len(copySignature) + 8
	if len(all) < fixed || !bytes.HasPrefix(all, []byte(copySignature)) {
		return nil, nil, errCopyFormat
	}
	rest := fixed + int(binary.BigEndian.Uint32(all[fixed-4:]))
	if rest > len(all) {
		return nil, nil, errCopyFormat
	}
	header, all = all[:rest], all[rest:]
	for !bytes.Equal(all, []byte(copyEnd)) {
		n := tupleLength(all)
		if n == 0 {
			return nil, nil, errCopyFormat
		}
		tuples = append(tuples, all[:n])
		all = all[n:]
	}
	return header, tuples, nil
}

// tupleLength is the length of the tuple that all begins with; 0: it is not whole.
func tupleLength(all []byte) int {
	if len(all) < 2 {
		return 0
	}
	at := 2
	for range int16(binary.BigEndian.Uint16(all)) {
		if len(all) < at+4 {
			return 0
		}
		at += 4 + int(max(0, int32(binary.BigEndian.Uint32(all[at:]))))
	}
	if at > len(all) || at == 2 {
		return 0
	}
	return at
}

// joinCopy is what COPY takes for tuples.
func joinCopy(header []byte, tuples [][]byte) []byte {
	all := bytes.Join(tuples, nil)
	joined := make([]byte, 0, len(header)+len(all)+len(copyEnd))
	return append(append(append(joined, header...), all...), copyEnd...)
}
