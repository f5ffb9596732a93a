package vfs

import (
	"bytes"
	"slices"
)

// block is one block of a file; whoever has a pointer to one may read it, and nobody writes to it.
type block [BlockBytes]byte

var zeroBlock block

// content is the bytes of a file. Blocks are shared between contents and replaced, never
// changed, and one that holds nothing but zeros is nil: a journal's segments are mostly zeros,
// and copies of whole disks are cheap.
type content struct {
	size   int64
	blocks []*block // as many as size needs; behind size a block is zeros
}

func contentOf(p []byte) content {
	var c content
	c.resize(int64(len(p)))
	for b := range c.blocks {
		lo := b * BlockBytes
		c.write(int64(b), 0, p[lo:min(lo+BlockBytes, len(p))])
	}
	return c
}

// resize cuts c, or makes it longer by zeros.
func (c *content) resize(size int64) {
	n := int((size + BlockBytes - 1) / BlockBytes)
	if grow := n - len(c.blocks); grow > 0 {
		c.blocks = append(c.blocks, make([]*block, grow)...)
	}
	clear(c.blocks[n:])
	c.blocks = c.blocks[:n]
	if tail := size % BlockBytes; size < c.size && tail != 0 {
		c.write(int64(n-1), tail, zeroBlock[tail:])
	}
	c.size = size
}

// write replaces a part of block b, which is there.
func (c *content) write(b, at int64, p []byte) {
	old, zeros := c.blocks[b], bytes.Equal(p, zeroBlock[:len(p)])
	if old == nil && zeros {
		return
	}
	next := new(block)
	if old != nil {
		*next = *old
	}
	copy(next[at:], p)
	if zeros && *next == zeroBlock {
		next = nil
	}
	c.blocks[b] = next
}

// readAt copies what there is from off on.
func (c *content) readAt(p []byte, off int64) int {
	n := 0
	for n < len(p) && off < c.size {
		from := &zeroBlock
		if b := c.blocks[off/BlockBytes]; b != nil {
			from = b
		}
		at := off % BlockBytes
		m := copy(p[n:], from[at:min(BlockBytes, at+c.size-off)])
		n, off = n+m, off+int64(m)
	}
	return n
}

// flip inverts one bit, which is there.
func (c *content) flip(bit int64) {
	var p [1]byte
	c.readAt(p[:], bit/8)
	p[0] ^= 1 << (bit % 8)
	c.write(bit/8/BlockBytes, bit/8%BlockBytes, p[:])
}

func (c *content) bytes() []byte {
	p := make([]byte, c.size)
	c.readAt(p, 0)
	return p
}

func (c *content) clone() content { return content{size: c.size, blocks: slices.Clone(c.blocks)} }
