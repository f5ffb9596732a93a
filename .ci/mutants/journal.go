package main

// journalMutants are of the committer, the activation of segments, and what readers and
// waiters are told.
var journalMutants = []mutant{
	{
		name: "skip-the-sync", promise: "J1", pkg: journalPkg, test: "TestWaitFollowsSyncs",
		edits: []edit{{
			"gateway/internal/journal/commit.go",
			`if err := a.file.Fdatasync(); err != nil {`,
			`if err := error(nil); err != nil {`,
		}},
	},
	{
		name: "wake-before-the-sync", promise: "J1", pkg: journalPkg, test: "TestStalledDevice",
		edits: []edit{{
			"gateway/internal/journal/commit.go",
			"	j.written = head\n",
			"	j.written = head\n	b.round.resolve(roundDurable)\n",
		}},
	},
	{
		name: "watermark-before-the-sync", promise: "J1", pkg: journalPkg, test: "TestStalledDevice",
		edits: []edit{{
			"gateway/internal/journal/commit.go",
			"	j.written = head\n",
			"	j.written = head\n	j.synced.Store(uint64(head.last()))\n",
		}},
	},
	{
		name: "released-counts-as-durable", promise: "J1", pkg: journalPkg, test: "TestStalledDevice",
		edits: []edit{{
			"gateway/internal/journal/append.go",
			`if t.round.state.Load() == roundDurable || `,
			`if t.round.state.Load() != roundOpen || `,
		}},
	},
	{
		name: "late-is-told-as-durable", promise: "J1", pkg: journalPkg, test: "TestNotify",
		edits: []edit{{
			"gateway/internal/journal/append.go",
			`if state != roundDurable {`,
			`if state == roundOpen {`,
		}},
	},
	{
		name: "no-directory-sync", promise: "J1", pkg: journalPkg, test: "TestWaitFollowsSyncs",
		edits: []edit{{
			"gateway/internal/journal/segment.go",
			`if err = j.fs.SyncDir(j.dir); err != nil {`,
			`if err != nil {`,
		}},
	},
	{
		name: "header-not-synced", promise: "J1", pkg: journalPkg, test: "TestWaitFollowsSyncs",
		edits: []edit{{
			"gateway/internal/journal/segment.go",
			`if err = f.Fdatasync(); err != nil {`,
			`if err != nil {`,
		}},
	},
	{
		name: "name-before-header", promise: "J1", pkg: journalPkg, test: "TestWaitFollowsSyncs",
		edits: []edit{{
			"gateway/internal/journal/segment.go",
			"	if _, err = f.WriteAt(block[:], 0); err != nil {\n",
			"	if err = j.fs.Rename(j.path(sp.name), j.path(s.name)); err != nil {\n		return err\n	}\n	if _, err = f.WriteAt(block[:], 0); err != nil {\n",
		}, {
			"gateway/internal/journal/segment.go",
			"	if err = j.fs.Rename(j.path(sp.name), j.path(s.name)); err != nil {\n		return err\n	}\n	if err = j.fs.SyncDir",
			"	if err = j.fs.SyncDir",
		}},
	},
	{
		name: "forward-from-appended", promise: "J4", pkg: journalPkg, test: "TestDeviceReadOnly",
		edits: []edit{{
			"gateway/internal/journal/reader.go",
			`if uint64(r.from) > r.j.synced.Load() {`,
			`if uint64(r.from) > r.j.appended.Load() {`,
		}, {
			"gateway/internal/journal/commit.go",
			"	j.written = head\n",
			"	j.written = head\n	j.ring.put(b.buf[:b.end], head, a)\n",
		}},
	},
	{
		name: "ignore-a-short-write", promise: "J6", pkg: journalPkg, test: "TestShortWriteWithoutAnError",
		edits: []edit{{
			"gateway/internal/journal/commit.go",
			`if err == nil && n < len(p) {`,
			`if err == nil && n < 0 {`,
		}},
	},
	{
		name: "ignore-a-failed-write", promise: "J6", pkg: journalPkg, test: "TestFirstErrorPoisonsTheFile",
		edits: []edit{{
			"gateway/internal/journal/commit.go",
			"	if err != nil {\n		return fmt.Errorf(\"write %d",
			"	if err != nil && n == 0 {\n		return fmt.Errorf(\"write %d",
		}},
	},
	{
		name: "retry-a-failed-sync", promise: "J6", pkg: journalPkg, test: "TestFirstErrorPoisonsTheFile",
		edits: []edit{{
			"gateway/internal/journal/commit.go",
			`if err := a.file.Fdatasync(); err != nil {`,
			`if err := a.file.Fdatasync(); err != nil && a.file.Fdatasync() != nil {`,
		}},
	},
	{
		name: "write-on-after-an-error", promise: "J6", pkg: journalPkg, test: "TestFirstErrorPoisonsTheFile",
		edits: []edit{{
			"gateway/internal/journal/commit.go",
			"		j.poison()\n		return fmt.Errorf(",
			"		return fmt.Errorf(",
		}},
	},
	{
		name: "seal-above-the-failed-batch", promise: "J7", pkg: journalPkg, test: "TestTortureFaultAtEveryOperation/seed 0/power lost at n",
		edits: []edit{{
			"gateway/internal/journal/segment.go",
			`last: LSN(a.last.Load()), bytes: a.end.Load()}`,
			`last: LSN(a.last.Load()), bytes: a.size}`,
		}},
	},
	{
		name: "refuse-for-ever", promise: "J8", pkg: journalPkg, test: "TestDeviceReadOnly",
		edits: []edit{{
			"gateway/internal/journal/commit.go",
			"	j.stuck = false\n",
			"",
		}},
	},
	{
		name: "ignore-the-budget", promise: "J9", pkg: journalPkg, test: "TestBudget",
		edits: []edit{{
			"gateway/internal/journal/append.go",
			`if r.stuck || left < 0 {`,
			`if r.stuck {`,
		}},
	},
	{
		name: "ignore-the-reserve", promise: "J9", pkg: journalPkg, test: "TestBudget",
		edits: []edit{{
			"gateway/internal/journal/append.go",
			`return reserve || left >= r.keep`,
			`return reserve || left >= 0`,
		}},
	},
	{
		name: "lock-not-taken", promise: "J13", pkg: journalPkg, test: "TestTwoProcesses",
		edits: []edit{{
			"gateway/internal/journal/journal.go",
			`		return lockError(err)`,
			`		j.lock = io.NopCloser(nil)`,
		}},
	},
	{
		name: "lock-let-go-early", promise: "J13", pkg: journalPkg, test: "TestLockIsHeldUntilTheFinalSync",
		edits: []edit{{
			"gateway/internal/journal/journal.go",
			"	j.committer.Wait()\n",
			"	unlocked := j.lock.Close()\n	j.committer.Wait()\n",
		}, {
			"gateway/internal/journal/journal.go",
			`append(errs, j.lock.Close())`,
			`append(errs, unlocked)`,
		}},
	},
	{
		name: "close-does-not-drain", promise: "J14", pkg: journalPkg, test: "TestClose/drains",
		edits: []edit{{
			"gateway/internal/journal/commit.go",
			"		b, linger, closed := j.swap()\n",
			"		b, linger, closed := j.swap()\n		if closed {\n			return\n		}\n",
		}},
	},
	{
		name: "close-says-nothing", promise: "J14", pkg: journalPkg, test: "TestClose/reports a device that takes nothing",
		edits: []edit{{
			"gateway/internal/journal/journal.go",
			`errs := []error{j.unwritten()}`,
			`errs := []error{}`,
		}},
	},
	{
		name: "close-without-a-proof", promise: "J14", pkg: journalPkg, test: "TestEachProofCounts/the proof that Close wrote",
		edits: []edit{{
			"gateway/internal/journal/commit.go",
			"		if closed {\n			j.prove()\n",
			"		if closed {\n",
		}},
	},
	{
		name: "others-before-alarms", promise: "journal", pkg: journalPkg, test: "TestAppendWaitsForRoom",
		edits: []edit{{
			"gateway/internal/journal/queue.go",
			"		l := j.queue.line(reserve)\n",
			"		l := j.queue.line(!reserve)\n",
		}},
	},
	{
		name: "wait-for-room-for-ever", promise: "journal", pkg: journalPkg, test: "TestLongStall",
		edits: []edit{{
			"gateway/internal/journal/append.go",
			"		j.expireQueued(overdue)\n",
			"",
		}},
	},
	{
		name: "deadlines-add-up", promise: "journal", pkg: journalPkg, test: "TestRoomAndSyncHaveOneDeadline",
		edits: []edit{{
			"gateway/internal/journal/append.go",
			`e.born, e.elder = since, r.elder`,
			`e.born, e.elder = time.Now(), r.elder`,
		}},
	},
	{
		name: "close-forgets-who-waits-for-room", promise: "journal", pkg: journalPkg, test: "TestQueueIsSentAway/closed",
		edits: []edit{{
			"gateway/internal/journal/journal.go",
			"	j.refuseQueued()\n",
			"",
		}},
	},
	{
		name: "full-forgets-who-waits-for-room", promise: "journal", pkg: journalPkg, test: "TestQueueIsSentAway/no budget",
		edits: []edit{{
			"gateway/internal/journal/commit.go",
			"	j.refuseQueued()\n",
			"",
		}},
	},
	{
		name: "linger-while-somebody-waits", promise: "journal", pkg: journalPkg, test: "TestBatchFillsWhileNobodyWaits/who waits for the disk",
		edits: []edit{{
			"gateway/internal/journal/commit.go",
			`b.round.wanted.Load() || `,
			"",
		}},
	},
	{
		name: "sync-for-nobody", promise: "journal", pkg: journalPkg, test: "TestSyncsWhileNobodyWaits",
		edits: []edit{{
			"gateway/internal/journal/commit.go",
			`return max(0, lingerTime-time.Since(b.round.born))`,
			`return 0`,
		}},
	},
	{
		name: "every-journal-the-same-id", promise: "J16", pkg: journalPkg, test: "TestWipedDirectoryHasANewID",
		edits: []edit{{
			"gateway/internal/journal/identity.go",
			`identity{id: randomUint64(), budget`,
			`identity{id: 42, budget`,
		}},
	},
}
