// Package journal is an append-only log of opaque entries with group commit. An entry
// is acknowledged when the caller asks it to be: in memory, after an fdatasync that it
// shares with everyone who waits, or when somebody says it was delivered. It knows no
// HTTP and no Kafka. This text is the specification of the files and of recovery.
//
// # Directory
//
//	LOCK                      flock: one process
//	journal-id                random 64 bits and the default budget, made once
//	0000000000000001.segment  entries from that LSN on; the name is the first LSN
//	*.spare                   written once, waiting to become a segment; content is ignored
//	checkpoint                two slots
//	ballast                   removed when the device is full, so that the checkpoint goes on
//	*.corrupt                 set aside by recovery: an operator's to look at and remove
//	*.repaired                a repaired copy about to take its segment's name
//	*.tmp                     unfinished, removed by recovery
//	*.sock                    its user's, such as the gateway's control socket: left alone
//
// Files are 0600. A directory with other files and no journal-id is foreign: it is
// refused and nothing in it, not even LOCK, is made. Only LOCK, journal-id.tmp, *.sock,
// lost+found, parked and quarantine may be there before the journal is.
//
// journal-id is text, five lines: "tidegate journal", "version 1", "id" and 16 hex digits,
// "default-budget" and the bytes decided at the first start (80 % of the space free then,
// at most 64 GiB; it applies as long as Options.MaxBytes is 0), "crc" and 8 hex digits
// over the lines before. A copy of a directory keeps its id, because a moved disk must
// be delivered with the same ids: never run two copies, and to start over from a copy
// of long ago, start with an empty directory.
//
// # Numbers
//
// Everything binary is little-endian. Checksums are CRC-32C. Headers begin with magic,
// version and their length and end with their checksum in every version, so that a
// damaged header and a newer one are told apart: magic wrong, checksum wrong, version
// unknown are three different errors, looked at in this order. A release writes only a
// version that the release before it can read (J12).
//
// # Segment
//
// The first 4 KiB block is the header, zero-padded. Batches follow, each beginning on a
// 4 KiB boundary and zero-padded to one, so that no block that was synced is written
// again. A batch lies in one segment.
//
//	   0        4        8       12       16
//	   +--------+--------+--------+--------+
//	 0 | magic "TDEGATEJ"| version| length |   version 1, length 96
//	   +--------+--------+--------+--------+
//	16 | journal id      | first LSN       |   first: the lowest LSN that may be in it
//	   +--------+--------+--------+--------+
//	32 | previous first  | previous last   |   LSNs of the segment before; first 0: none
//	   +--------+--------+--------+--------+
//	48 | previous sealed | sealed          |   bytes that count: before; here, or 0
//	   +--------+--------+--------+--------+
//	64 | salt            | created         |   random; Unix milliseconds
//	   +--------+--------+--------+--------+
//	80 | zero                     | CRC    |   of bytes 0 to 91
//	   +--------+--------+--------+--------+
//
// "previous sealed" is what makes the bytes past it dead: the end of a segment is decided
// by its successor's header. "sealed" is set only in a file that recovery wrote whole
// and synced before it got its name. "previous last" below first-1 is the jump after a
// recovery, not a gap.
//
// The salt is new each time a file becomes a segment. It is the seed of every checksum
// behind the header (CRC-32C of its 8 bytes is the initial value), so that neither an old
// batch in a recycled file nor a forged one in an entry's payload passes for a batch.
//
// # Batch
//
//	   0        4        8       12       16
//	   +--------+--------+--------+--------+
//	 0 | "TGb1" | length | count  | CRC    |   length: header and entries, no padding
//	   +--------+--------+--------+--------+
//	16 | first LSN       | synced LSN      |   synced: below first
//	   +--------+--------+--------+--------+
//	32 | offset          | gap             |   offset: its own, in the file
//	   +--------+--------+--------+--------+
//	48 | zero                              |   CRC: of bytes 0-11 and 16-63
//	   +-----------------------------------+
//
// At most 4 MiB and 16,384 entries. "synced" is the proof: when this header was written
// all entries up to there were durable. A batch without entries carries nothing else; it
// is written after 100 ms without appends and at Close, for the batch before it. "gap"
// counts the LSNs just before first that a recovery found lost; else it is 0.
//
// # Entry
//
//	   0        4        8       10       16
//	   +--------+--------+--------+--------+
//	 0 | length | CRC    | time     | index|   time: 48 bits of Unix milliseconds
//	   +--------+--------+--------+--------+   index: 16 bits, of the entry in its batch
//	16 | payload, zero-padded to 8 bytes   |
//	   +-----------------------------------+
//
// The time is when the first entry of the batch was appended. The CRC is over LSN (8 bytes),
// length, time and index (8 bytes), payload; the LSN is the batch's first plus index and is not
// stored. With the index, good entries behind a damaged length are found again.
//
// # Checkpoint
//
// Two slots of 64 KiB. Between two syncs only the slot that does not hold the last synced
// checkpoint is written, so a torn write costs only what came since. The valid slot with
// the higher seq counts. Written within 100 ms, synced within a second; late costs only
// duplicates.
//
//	   0        4        8       12       16
//	   +--------+--------+--------+--------+
//	 0 | magic           | version| length |   length: all of it with the CRC
//	   +--------+--------+--------+--------+
//	16 | journal id      | seq             |
//	   +--------+--------+--------+--------+
//	32 | settled LSN     | synced LSN      |   synced: as in a batch
//	   +--------+--------+--------+--------+
//	48 | next LSN        | count           |   next: the first LSN of the run that wrote it
//	   +--------+--------+--------+--------+
//	64 | cursors ...                   CRC |   cursor: lane length (2), LSN (8), lane
//	   +-----------------------------------+
//
// # Writing
//
// Appenders copy into the current batch under one mutex. One committer takes the batch,
// writes it with one write and one fdatasync, moves the synced watermark, and wakes the
// waiters by closing the batch's channel; those of Notify are told by a goroutine for which it
// does not wait. The next batch fills meanwhile. Two batches exist: with one being written and one full, appenders queue. The committer fills the next
// batch from the queue, reserve first, each class in order; the last tenth of a batch, too,
// is for reserve. The queue holds nothing but its appenders' own requests. A watchdog
// releases the waiters of a batch at its deadline, and refuses at theirs who is in the queue;
// Close and a full journal refuse all of it at once.
//
// A batch is written as soon as the committer is free and somebody waits for its sync, at
// Disk or Broker, or for room. While nobody does it is left to fill, for 5 ms or until it has
// 256 KiB: a sync for a few entries each would cost CPU that no answer waits for. What that
// adds to what can be lost is said at Memory; delivery follows the sync, and waits as long.
//
// Two more goroutines work behind them. The checkpointer writes checkpoints into its file,
// which never grows; the keeper retires segments and makes spares, which waits for whatever
// the file system has to do. They are apart so that the one is never late for the other.
//
// Watermarks: appended >= synced >= settled. Readers follow synced, whatever the waiters
// asked for: from a ring in memory near the tail, else from disk with checksums.
//
// Activation: header into a spare, fsync, rename, fsync the directory, first batch.
// Retirement: zero the header, fsync, rename to *.spare, fsync the directory; a file of
// another length, or a poisoned one, is removed instead. Segments go from the front, one
// after another, after the checkpoint that settles them is durable, and after Retain
// unless their space is needed.
//
// Budget: Options.MaxBytes covers segments and spares. A segment is MaxBytes/8, at most
// 64 MiB, and holds at least one batch with the largest payload; MinBytes is the least.
// Append knows before it takes an entry that there is a place for it. Segments that are
// settled and only retained count as room. The last tenth is for reserve. Ballast (a
// batch and 256 KiB), checkpoint (128 KiB) and *.corrupt files come on top.
//
// # Recovery
//
//  1. In every segment but the last, bytes past the sealed length in the successor's
//     header are dead; anything invalid below it is corruption.
//  2. proven = max(checkpoint, highest synced LSN in any valid batch). Later batches are
//     looked for at most two maximum batch lengths past a tear.
//  3. A tear at or below proven is corruption: the segment is set aside, the LSN range is
//     reported, and a copy of its good entries, with the gap recorded, takes its place.
//     Above proven it is the legal end.
//  4. Valid entries above proven are rewritten with their LSNs into a new segment, which is
//     synced before it gets its name: what is read through the page cache proves nothing.
//  5. Recovery never appends to an existing segment. The first new LSN is 2^20 above the
//     highest that is known of, in segments, their names and the checkpoint, and the
//     checkpoint says so durably before the first append: what was only in memory when
//     the last run ended had an LSN too.
//
// Every step leaves a directory that the next recovery understands. Segments whose
// entries are all settled are not read. A repaired copy takes its segment's place in
// three durable steps: X.repaired, X.segment to X.corrupt, X.repaired to X.segment.
//
// # Invariants
//
//   - J1 Nothing is acknowledged at Disk before fdatasync of its segment returned nil, and
//     before the directory entry of a new segment was synced.
//   - J2 Every entry acknowledged at Disk is returned by recovery, byte for byte, once, in
//     LSN order, until settled.
//   - J3 Recovery returns a prefix; a gap is reported as corruption, never passed over in
//     silence.
//   - J4 Nothing recovered is read or counts as synced before it was synced by this process
//     or proven by a later batch or the checkpoint.
//   - J5 A torn end is legal above proven only.
//   - J6 The first write or fsync error poisons that file for ever: no more writes, no
//     second fsync. Its batch is rewritten from memory into a new segment whose header
//     seals the old one below that batch, or its waiters get ErrNotConfirmed.
//   - J7 Bytes read back after a failed fsync prove nothing.
//   - J8 No space, quota, read-only: ErrFull, no panic, readers and checkpoints go on,
//     appending resumes by itself.
//   - J9 The budget refuses; it never drops.
//   - J10 A segment is freed only when all its entries were settled and the checkpoint that
//     says so is durable.
//   - J11 Lengths are checked against the limits and the rest of the file before any
//     allocation.
//   - J12 An unknown version or a foreign directory is refused and not modified.
//   - J13 One process per directory; LOCK is released by Close, after the final sync.
//   - J14 Close drains, syncs, and reports its error.
//   - J15 An LSN that was acknowledged, read or settled is never used for another entry.
//   - J16 (journal id, LSN) is the identity of an entry for ever; a wiped or new directory
//     has a new id.
//
// # Limitations
//
// An unreadable sector (EIO) while recovery scans is an error of Open, not corruption to
// be stepped over. Close waits for an fdatasync that does not return. An fsync error
// that the kernel reported to another process is not seen.
package journal
