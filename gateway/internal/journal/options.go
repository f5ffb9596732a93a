package journal

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// LSN is the log sequence number of an entry, from 1, rising, with jumps. Together with
// the journal's id it names a callback for ever (J16).
type LSN uint64

// FS is the file system seam; see package vfs for the implementations.
type FS = vfs.FS

// Defaults of Options.
const (
	DefaultRetain      = 10 * time.Minute
	DefaultAckDeadline = 1500 * time.Millisecond
	DefaultMaxPayload  = 512 << 10 // a body of 256 KiB, its attributes, and room
	maxDefaultBytes    = 64 << 30
)

// Options are what Open needs. Only Dir has no default.
type Options struct {
	Dir string // made when missing; absolute or relative to the working directory

	// MaxBytes is the budget: what all segment files, spares included, may take on disk.
	// 0: what the directory remembers from its first start, which is 80 % of the space
	// free at that moment, at most 64 GiB. Less than MinBytes is ErrBudget.
	MaxBytes int64

	// Retain is how long segments stay after all their entries were settled, as long as
	// the budget has room. 0: 10 minutes. Negative: not at all.
	Retain time.Duration

	// KeepSettled frees nothing, whatever Retain says and even when space is needed: for who
	// opens a stopped journal to read what was settled.
	KeepSettled bool

	// AckDeadline is from a batch's first entry, or from when Append began to wait for room,
	// to ErrNotConfirmed; and how long Append waits for room before ErrBusy. 0: 1.5 s.
	AckDeadline time.Duration

	MaxPayload int                   // bytes of one entry's payload; 0: 512 KiB, at most 2 MiB
	FS         FS                    // nil: the real one
	Log        *zap.Logger           // nil: none
	Metrics    prometheus.Registerer // nil: none
	Now        func() time.Time      // clock of entry times and retention; nil: time.Now

	// SegmentBytes overrides the size of new segments, else MaxBytes/8, at most 64 MiB.
	// It is rounded down to 4 KiB and kept large enough for one full batch.
	SegmentBytes int64

	// BatchBytes overrides the largest batch, else a quarter of a segment, at most 4 MiB
	// and at least what holds the largest payload.
	BatchBytes int64
}

// MinBytes is the smallest budget that works for payloads of up to maxPayload bytes:
// eight segments that hold a batch with one such payload each.
func MinBytes(maxPayload int) int64 { return 8 * (blockBytes + minBatchBytes(maxPayload)) }

// minBatchBytes is a batch that holds the largest payload, padded.
func minBatchBytes(maxPayload int) int64 {
	return roundUp(int64(batchHeaderLen + entryHeaderLen + align8(maxPayload)))
}

// complete fills in everything but MaxBytes, which needs the directory.
func (o *Options) complete() error {
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Retain == 0 {
		o.Retain = DefaultRetain
	}
	if o.AckDeadline <= 0 {
		o.AckDeadline = DefaultAckDeadline
	}
	if o.MaxPayload <= 0 {
		o.MaxPayload = DefaultMaxPayload
	}
	if o.MaxPayload > maxBatchBytes/2 {
		return fmt.Errorf("payloads of %d bytes, at most %d: %w", o.MaxPayload, maxBatchBytes/2, ErrTooLarge)
	}
	return nil
}

// sizes are the lengths that follow from a budget.
type sizes struct {
	segment int64 // of new segment files
	batch   int64 // of the largest batch, padded
}

// sizesFor shrinks segments and batches so that a small budget still has eight segments.
func sizesFor(o *Options, maxBytes int64) (sizes, error) {
	if least := MinBytes(o.MaxPayload); maxBytes < least {
		return sizes{}, fmt.Errorf("%d bytes for payloads of up to %d need at least %d: %w", maxBytes, o.MaxPayload, least, ErrBudget)
	}
	s := sizes{segment: o.SegmentBytes, batch: o.BatchBytes}
	if s.segment == 0 {
		s.segment = min(maxSegmentBytes, maxBytes/8)
	}
	s.segment -= s.segment % blockBytes
	if s.batch == 0 {
		s.batch = s.segment / 4
	}
	s.batch = max(min(s.batch-s.batch%blockBytes, maxBatchBytes), minBatchBytes(o.MaxPayload))
	s.segment = max(s.segment, blockBytes+s.batch)
	return s, nil
}
