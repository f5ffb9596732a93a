package main

// recoveryMutants are of the files and of what recovery makes of them.
var recoveryMutants = []mutant{
	{
		name: "reuse-a-salt", promise: "J2", pkg: journalPkg, test: "TestEverySegmentHasItsOwnSalt",
		edits: []edit{{
			"gateway/internal/journal/segment.go",
			`first: first, salt: randomUint64(), size`,
			`first: first, salt: 0x746964656761, size`,
		}},
	},
	{
		name: "skip-the-entry-CRC-on-read", promise: "J2", pkg: journalPkg, test: "TestReaderMeetsDamage",
		edits: []edit{{
			"gateway/internal/journal/walk.go",
			`if !w.trusted && le.Uint32(`,
			`if false && le.Uint32(`,
		}},
	},
	{
		name: "skip-the-batch-CRC", promise: "J2", pkg: journalPkg, test: "TestBatchHeaderBounds",
		edits: []edit{{
			"gateway/internal/journal/format.go",
			`if le.Uint32(b[12:]) != batchCRC(b, seed) {`,
			`if false && le.Uint32(b[12:]) != batchCRC(b, seed) {`,
		}},
	},
	{
		name: "skip-the-segment-CRC", promise: "J2", pkg: journalPkg, test: "TestSegmentHeaderErrors",
		edits: []edit{{
			"gateway/internal/journal/format.go",
			`|| le.Uint32(b[n-4:]) != crc32.Checksum(b[:n-4], castagnoli) {`,
			`|| false {`,
		}},
	},
	{
		name: "skip-the-checkpoint-CRC", promise: "J2", pkg: journalPkg, test: "TestCheckpointFile",
		edits: []edit{{
			"gateway/internal/journal/checkpoint.go",
			`|| le.Uint32(b[n-4:]) != crc32.Checksum(b[:n-4], castagnoli) {`,
			`|| false {`,
		}},
	},
	{
		name: "read-past-the-sealed-length", promise: "J7", pkg: journalPkg, test: "TestTortureFaultAtEveryOperation/seed 0/power lost at n",
		edits: []edit{{
			"gateway/internal/journal/survey.go",
			`s.limit = n.head.prevSealed`,
			`s.limit = max(n.head.prevSealed, s.size)`,
		}},
	},
	{
		name: "hole-before-the-sealed-length", promise: "J3", pkg: journalPkg, test: "TestHoleAtTheSealedEnd",
		edits: []edit{{
			"gateway/internal/journal/scansegment.go",
			`if sealed && sc.off < s.limit {`,
			`if false && sealed && sc.off < s.limit {`,
		}, {
			"gateway/internal/journal/survey.go",
			`if s.last < expect && (sealed || i`,
			`if s.last < expect && (i`,
		}},
	},
	{
		name: "proof-of-batches-ignored", promise: "J5", pkg: journalPkg, test: "TestEachProofCounts/the proof that Close wrote",
		edits: []edit{{
			"gateway/internal/journal/survey.go",
			"		v.proven = max(v.proven, s.synced)\n",
			"		v.proven = max(v.proven, s.synced*0)\n",
		}},
	},
	{
		name: "proof-of-the-checkpoint-ignored", promise: "J5", pkg: journalPkg, test: "TestEachProofCounts/the checkpoint",
		edits: []edit{{
			"gateway/internal/journal/survey.go",
			`v.proven = max(v.ckpt.settled, v.ckpt.synced)`,
			`v.proven = v.ckpt.settled`,
		}},
	},
	{
		name: "look-no-further-than-a-tear", promise: "J3", pkg: journalPkg, test: "TestHoleBelowProven",
		edits: []edit{{
			"gateway/internal/journal/scan.go",
			`min(s.limit, s.off+searchBytes)`,
			`min(s.limit, s.off+blockBytes)`,
		}},
	},
	{
		name: "every-tear-is-legal", promise: "J5", pkg: journalPkg, test: "TestHoleBelowProven",
		edits: []edit{{
			"gateway/internal/journal/survey.go",
			`if d.from > proven {`,
			`if d.from > 0 {`,
		}},
	},
	{
		name: "no-tear-is-legal", promise: "J5", pkg: journalPkg, test: "TestTortureCutAtEveryByteOfTheLastBatches",
		edits: []edit{{
			"gateway/internal/journal/survey.go",
			`if d.from > proven {`,
			`if d.from > 1<<62 {`,
		}},
	},
	{
		name: "go-on-past-the-legal-end", promise: "J3", pkg: journalPkg, test: "TestTortureCutAtEveryByteOfTheLastBatches",
		edits: []edit{{
			"gateway/internal/journal/survey.go",
			`s.last, s.end, s.damages = d.from-1, min(s.end, d.off), s.damages[:n]`,
			`s.damages = s.damages[:n]`,
		}},
	},
	{
		name: "recovered-counts-as-synced", promise: "J4", pkg: journalPkg, test: "TestUnprovenTailIsRewrittenAndSynced",
		edits: []edit{{
			"gateway/internal/journal/survey.go",
			"		v.proven = max(v.proven, s.synced)\n",
			"		v.proven = max(v.proven, s.synced, s.last)\n",
		}},
	},
	{
		name: "tail-not-rewritten", promise: "J4", pkg: journalPkg, test: "TestUnprovenTailIsRewrittenAndSynced",
		edits: []edit{{
			"gateway/internal/journal/recover.go",
			`case s.rewrite.from != 0 && last:`,
			`case s.rewrite.from != 0 && last && j == nil:`,
		}},
	},
	{
		name: "tail-rewritten-without-a-sync", promise: "J4", pkg: journalPkg, test: "TestUnprovenTailIsRewrittenAndSynced",
		edits: []edit{{
			"gateway/internal/journal/rebuild.go",
			"	return f.Sync()\n",
			"	return nil\n",
		}},
	},
	{
		name: "repair-in-the-wrong-order", promise: "J2", pkg: journalPkg, test: "TestRepairInterrupted",
		edits: []edit{{
			"gateway/internal/journal/recover.go",
			"	if err := j.fs.SyncDir(j.dir); err != nil {\n		return nil, err\n	}\n	if err := j.setAside(s.name)",
			"	if err := j.setAside(s.name)",
		}},
	},
	{
		name: "repair-forgets-the-gap", promise: "J3", pkg: journalPkg, test: "TestHoleBelowProven",
		edits: []edit{{
			"gateway/internal/journal/rebuild.go",
			`r.first, r.gap = e.LSN, uint64(e.LSN-r.next)`,
			`r.first, r.gap = e.LSN, 0`,
		}},
	},
	{
		name: "missing-segment-passed-over", promise: "J3", pkg: journalPkg, test: "TestMissingSegments/middle",
		edits: []edit{{
			"gateway/internal/journal/survey.go",
			`} else if from := last + 1; s.head.prevLast >= from &&`,
			`} else if from := last + 1; i < 0 && s.head.prevLast >= from &&`,
		}},
	},
	{
		name: "missing-first-segment-passed-over", promise: "J3", pkg: journalPkg, test: "TestMissingSegments/first",
		edits: []edit{{
			"gateway/internal/journal/survey.go",
			`if v.haveCkpt && s.head.prevLast > v.ckpt.settled {`,
			`if i > 0 && s.head.prevLast > v.ckpt.settled {`,
		}},
	},
	{
		name: "damage-met-by-a-reader-passed-over", promise: "J3", pkg: journalPkg, test: "TestReaderMeetsDamage",
		edits: []edit{{
			"gateway/internal/journal/reader.go",
			`!r.walk.trusted && lsn > from {`,
			`!r.walk.trusted && lsn > from && r.in && from == 0 {`,
		}},
	},
	{
		name: "entry-length-unchecked", promise: "J11", pkg: journalPkg, test: "TestLengthsAreChecked/entry",
		edits: []edit{{
			"gateway/internal/journal/walk.go",
			`if size > int64(len(w.batch)-pos-entryHeaderLen) || index`,
			`if index`,
		}},
	},
	{
		name: "batch-length-unchecked", promise: "J11", pkg: journalPkg, test: "TestBatchHeaderBounds",
		edits: []edit{{
			"gateway/internal/journal/format.go",
			`h.length < batchHeaderLen || h.length > maxBatchBytes || h.padded() > limit-offset,`,
			`h.length < batchHeaderLen,`,
		}},
	},
	{
		name: "cursor-length-unchecked", promise: "J11", pkg: journalPkg, test: "TestLengthsAreChecked/cursor",
		edits: []edit{{
			"gateway/internal/journal/checkpoint.go",
			`if len(b) < 10 || len(b) < 10+int(le.Uint16(b)) {`,
			`if len(b) < 10 {`,
		}},
	},
	{
		name: "newer-segment-read-all-the-same", promise: "J12", pkg: journalPkg, test: "TestRefusedDirectories/segment of a newer version",
		edits: []edit{{
			"gateway/internal/journal/format.go",
			`if h.version != formatVersion {`,
			`if h.version < formatVersion {`,
		}},
	},
	{
		name: "newer-checkpoint-is-a-torn-one", promise: "J12", pkg: journalPkg, test: "TestRefusedDirectories/checkpoint of a newer version",
		edits: []edit{{
			"gateway/internal/journal/checkpoint.go",
			`case errors.Is(err, ErrVersion), errors.Is(err, ErrForeign):`,
			`case errors.Is(err, ErrForeign):`,
		}},
	},
	{
		name: "foreign-directory-gets-a-lock", promise: "J12", pkg: journalPkg, test: "TestRefusedDirectories/somebody's files",
		edits: []edit{{
			"gateway/internal/journal/journal.go",
			`		return err // before the lock: a foreign directory gets no LOCK`,
			`		j.log.Warn("ignored")`,
		}},
	},
	{
		name: "another-journals-segment-is-ours", promise: "J16", pkg: journalPkg, test: "TestRefusedDirectories/segment of another journal",
		edits: []edit{{
			"gateway/internal/journal/survey.go",
			`case s.head.id != id:`,
			`case s.head.id == 0:`,
		}},
	},
	{
		name: "start-at-the-old-LSN", promise: "J15", pkg: journalPkg, test: "TestWhatIsWaitedForComesBackAfterReopen/memory",
		edits: []edit{{
			"gateway/internal/journal/recover.go",
			`next = v.next + lsnJump`,
			`next = v.next`,
		}},
	},
	{
		name: "first-LSN-not-durable", promise: "J15", pkg: journalPkg, test: "TestLSNsOfALifeWithoutAWrite",
		edits: []edit{{
			"gateway/internal/journal/checkpointer.go",
			`	k.wanted.next = j.cur.first
`,
			"",
		}},
	},
	{
		name: "first-LSN-durable-later", promise: "J15", pkg: journalPkg, test: "TestLSNsOfALifeWithoutAWrite",
		edits: []edit{{
			"gateway/internal/journal/checkpointer.go",
			"	k.dirty = true\n	return k.checkpoint(j, true)\n",
			"	k.dirty = true\n	return nil\n",
		}},
	},
	{
		name: "lost-header-held-nothing", promise: "J15", pkg: journalPkg, test: "TestMissingSegments/damaged header of the last",
		edits: []edit{{
			"gateway/internal/journal/survey.go",
			`v.next = max(v.next, s.bound()+1)`,
			`v.next = max(v.next, s.first)`,
		}, {
			"gateway/internal/journal/survey.go",
			`to = max(v.proven, s.bound())`,
			`to = v.proven`,
		}},
	},
}
