// Package peers measures other write-ahead logs as the journal is measured (BenchmarkAppendOverRaw
// in gateway/internal/journal): entries of 200 B over plain write and fdatasync of as many bytes in
// the same batches. It is a module of its own, so that the product depends on none of them.
//
// They promise less, so that a figure beside the journal's is no verdict. tidwall/wal syncs every
// Write, or WriteBatch, before it returns, in a file that grows; it does not gather the entries of
// several callers, keeps no checksum of an entry, cannot tell a torn end from corruption, and goes
// on after a sync that failed.
package peers
