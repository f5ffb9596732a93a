//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// tuple is one of COPY's binary format; nil is null.
func tuple(fields ...[]byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(fields)))
	for _, f := range fields {
		if f == nil {
			b = append(b, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	return b
}

func TestCopyIsSplitAndJoined(t *testing.T) {
	header := append([]byte(copySignature), 0, 0, 0, 0, 0, 0, 0, 2, 'x', 'y') // with an extension
	rows := [][]byte{tuple([]byte("a"), nil), tuple([]byte(copyEnd), []byte{}), tuple(nil, nil)}
	all := joinCopy(header, rows)
	gotHeader, got, err := splitCopy(all)
	if err != nil || !bytes.Equal(gotHeader, header) || len(got) != len(rows) {
		t.Fatalf("header %q, %d tuples, %v", gotHeader, len(got), err)
	}
	for i := range rows {
		if !bytes.Equal(got[i], rows[i]) {
			t.Errorf("tuple %d is %q, want %q", i, got[i], rows[i])
		}
	}
	if some := joinCopy(gotHeader, got[1:2]); !bytes.Equal(some, append(append(bytes.Clone(header), rows[1]...), copyEnd...)) {
		t.Errorf("one tuple is %q", some)
	}
	for n := range len(all) {
		if _, _, err := splitCopy(all[:n]); !errors.Is(err, errCopyFormat) {
			t.Errorf("the first %d of %d bytes: %v", n, len(all), err)
		}
	}
}
