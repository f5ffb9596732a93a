package main

// keeperMutants are of retirement and of the checkpoint.
var keeperMutants = []mutant{
	{
		name: "free-before-the-checkpoint-is-durable", promise: "J10", pkg: journalPkg, test: "TestRetention",
		edits: []edit{{
			"gateway/internal/journal/keeper.go",
			`durable := j.checkpoints.durable.Load()`,
			`durable := j.settled.Load()`,
		}},
	},
	{
		name: "free-under-a-reader", promise: "J10", pkg: journalPkg, test: "TestReaderHoldsItsSegment",
		edits: []edit{{
			"gateway/internal/journal/keeper.go",
			`if s.pins.Load() > 0 || !pressed && `,
			`if !pressed && `,
		}, {
			"gateway/internal/journal/keeper.go",
			`if s.pins.Load() > 0 { // a reader`,
			`if s == nil { // a reader`,
		}},
	},
	{
		name: "drop-the-oldest-when-full", promise: "J9", pkg: journalPkg, test: "TestBudget",
		edits: []edit{{
			"gateway/internal/journal/keeper.go",
			`g.last.Load() > durable {`,
			`g.last.Load() > durable && !pressed {`,
		}},
	},
	{
		name: "no-retention", promise: "J10", pkg: journalPkg, test: "TestRetention",
		edits: []edit{{
			"gateway/internal/journal/keeper.go",
			`!pressed && now.Sub(s.settledAt) < j.opt.Retain {`,
			`!pressed && now.Sub(s.settledAt) < 0 {`,
		}},
	},
	{
		name: "checkpoint-over-the-synced-slot", promise: "J10", pkg: journalPkg, test: "TestFirstCheckpointLeavesTheOldOne",
		edits: []edit{{
			"gateway/internal/journal/checkpoint.go",
			`int64(1-f.slot)*slotBytes); err`,
			`int64(f.slot)*slotBytes); err`,
		}},
	},
	{
		name: "slots-change-without-a-sync", promise: "J10", pkg: journalPkg, test: "TestSyncedSlotIsNotWritten",
		edits: []edit{{
			"gateway/internal/journal/checkpoint.go",
			`	f.wrote, f.watermark = c.settled, c.synced
`,
			`	f.wrote, f.watermark, f.slot = c.settled, c.synced, 1-f.slot
`,
		}},
	},
	{
		name: "older-slot-wins", promise: "J10", pkg: journalPkg, test: "TestSyncedSlotIsNotWritten",
		edits: []edit{{
			"gateway/internal/journal/checkpoint.go",
			`got.seq > c.seq`,
			`got.seq < c.seq`,
		}},
	},
	{
		name: "poisoned-checkpoint-synced-again", promise: "J6", pkg: journalPkg, test: "TestFirstErrorPoisonsTheCheckpoint",
		edits: []edit{{
			"gateway/internal/journal/checkpointer.go",
			"		k.broken = true\n		return err\n",
			"		return err\n",
		}},
	},
	{
		name: "failed-checkpoint-sync-repeated", promise: "J6", pkg: journalPkg, test: "TestFirstErrorPoisonsTheCheckpoint",
		edits: []edit{{
			"gateway/internal/journal/checkpointer.go",
			`if dirty || now || k.broken {`,
			`if dirty || now {`,
		}},
	},
	{
		name: "checkpoint-not-synced", promise: "J10", pkg: journalPkg, test: "TestRetention",
		edits: []edit{{
			"gateway/internal/journal/checkpoint.go",
			`if err := f.file.Fdatasync(); err != nil {`,
			`if err := error(nil); err != nil {`,
		}},
	},
	{
		name: "checkpoint-beyond-synced", promise: "J15", pkg: journalPkg, test: "TestCheckpointStaysBelowSynced",
		edits: []edit{{
			"gateway/internal/journal/checkpointer.go",
			`settled = max(min(settled, LSN(j.synced.Load())), LSN(j.settled.Load()))`,
			`settled = max(settled, LSN(j.settled.Load()))`,
		}},
	},
}
