// Package quarantine keeps callbacks that were refused for something that an operator can put
// right: a token, a clock, an app that the apps file did not know. Once it is right, Admit brings
// back exactly what was refused, once. It knows no HTTP and no apps file: whoever calls Admit
// judges. This text is the specification of the files and of what is promised.
//
// # What it promises
//
//   - Q1 Offer never waits for a device, and what waits in memory is bounded: 16 MiB in all, 2 MiB of
//     one part, and 8 MiB more for parts that have no more than 8 KiB waiting. It is written four
//     times a second, and less often while there is much: in the long run 4 MiB a second. What does
//     not fit is counted as skipped. Flooding up to seven parts leaves an eighth its 2 MiB, and
//     flooding up to a thousand leaves any other 8 KiB, every six seconds at least.
//   - Q2 A part is what is kept of one app of the apps file, or of all apps that are not in it
//     together. No part takes more than a sixteenth of MaxBytes; beyond that its own oldest are
//     evicted. All parts together take at most MaxBytes; beyond that, which needs more than
//     sixteen large parts, the largest part's oldest are evicted, so that a part that holds no
//     more than its share, MaxBytes over the number of parts, loses nothing to others.
//   - Q3 What is kept was received byte for byte so: every item has a checksum, and what does
//     not match is cut off, with what stands behind it in the same segment.
//   - Q4 What Admit brings back is in the journal once, also when the process is killed or the
//     power goes in between; see Admit. What remains: a crash between the journal's sync and
//     that of the marks, milliseconds later, when the journal has freed those entries before the
//     next start looks for them: it retains nothing and was quicker than the marks, was drained
//     in between, or was replaced. Then they are kept, may be admitted twice, and are counted as
//     doubtful.
//   - Q5 What is not admitted stays where it was.
//   - Q6 A file of an unknown version, or one that is not ours, makes Open refuse the directory,
//     and nothing in it is changed.
//
// It is best effort in time: a callback is in a file within about a quarter of a second, which a
// kill does not undo, and synced within about a second more, unless more than 16 files wait for
// that. A crash loses what came in between. Nothing waits for it: the client has its refusal long
// before. Nothing is written while the device has less than 64 MiB free: the journal comes first.
//
// # Directory
//
//	LOCK                           flock: one process
//	1400000001-00000001.refused    a segment of the part of that app; decimal, from 1
//	unknown-00000001.refused       a segment of the part of all unknown apps
//	admitting                      what an admit has under way, removed when it ends
//	admitting.tmp                  unfinished, removed by Open
//
// Files are 0600: they hold the end users' data, and Signs, which are worth a forgery as long as
// their RequestTime is in the window. Tokens are in none of them. A segment is appended to by the
// process that made it only; nothing is ever repaired. It ends at 64 KiB, or at a quarter of its
// part where that is more, at most at an eighth of the part's limit and at 8 MiB. Parts go by whole
// segments.
//
// # Segment
//
// Numbers are little-endian, checksums CRC-32C.
//
//	   0        4        8       12       16
//	   +--------+--------+--------+--------+
//	 0 | magic "TDGQUARA"| version| length |   version 1, length 48
//	   +--------+--------+--------+--------+
//	16 | app             | number          |   app: SdkAppid, 0: unknown apps; number: as in the name
//	   +--------+--------+--------+--------+
//	32 | created         | zero   | CRC    |   created: Unix milliseconds; CRC: of bytes 0 to 43
//	   +--------+--------+--------+--------+
//
// Items follow without padding.
//
// # Item
//
//	   0        4        8       12       16
//	   +--------+--------+--------+--------+
//	 0 | "TGq1" | length | CRC    | state  |   length: of the payload; state: 1 byte and 3 zeros
//	   +--------+--------+--------+--------+   CRC: of bytes 4 to 7 and of the payload
//	16 | received        | app             |   received: Unix milliseconds; app: SdkAppid as sent
//	   +--------+--------+--------+--------+
//	32 | reason | size   | source ...          reason: 1 byte; size: 1 byte, of the address: 0, 4, 16
//	   +-----------------------------------+
//	   | command, query, traceparent, body |   each a uvarint length and its bytes, the last to the end
//	   +-----------------------------------+
//
// The state is 'K' of what is kept and 'R' of what was removed, by being admitted or dropped. It
// is the only byte that is ever overwritten. Query is the raw query string with Sign and
// RequestTime, which a second look needs.
//
// # Admitting
//
// In batches of at most 256, each of one segment, in this order:
//
//  1. "admitting" is written and synced: the journal's id, its last LSN, and of each entry that
//     is to be appended the place of its item and the first 16 bytes of its SHA-256.
//  2. The entries are appended to the journal, and synced by it.
//  3. The items are marked removed, and the segment is synced; or removed, when nothing is
//     left in it.
//
// A start that finds "admitting" looks in the journal, before that can free anything, for entries
// behind that LSN with those sums, and marks what it finds. What is not there was never
// durable there, and stays.
package quarantine
