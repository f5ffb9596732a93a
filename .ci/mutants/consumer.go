package main

// consumerMutants are of the consumer: the order of save, publish and commit, and of the group: gaps, batches, commits.
var consumerMutants = []mutant{
	{
		name: "publish-before-save", promise: "pipeline", pkg: pipelinePkg, test: "TestKilledWhilePublishing/memory",
		edits: []edit{{
			"consumer/internal/pipeline/pipeline.go",
			"	s, err := p.save(ctx, a)\n",
			"	if _, err := p.publish(ctx, saved{a}); err != nil {\n		return saved{}, err\n	}\n	s, err := p.save(ctx, a)\n",
		}},
	},
	{
		name: "handled-before-it-is-published", promise: "pipeline", pkg: pipelinePkg, test: "TestKilledWhilePublishing/memory",
		edits: []edit{{
			"consumer/internal/pipeline/pipeline.go",
			"	b, err := p.publish(ctx, s)\n	if err != nil {\n		return err\n	}\n",
			"	b, err := p.publish(ctx, s)\n	if err != nil {\n		return nil\n	}\n",
		}},
	},
	{
		name: "encode-a-stored-event-anew", promise: "pipeline", pkg: pipelinePkg, test: "TestStoredBytesArePublishedAsTheyAre",
		edits: []edit{{
			"consumer/internal/pipeline/apply.go",
			"		it.value = saved.Event\n",
			"		it.value, _ = codec.Marshal(it.event)\n",
		}},
	},
	{
		name: "redelivered-is-not-published", promise: "pipeline", pkg: pipelinePkg, test: "TestKilledAfterEveryStageOfEveryBatch/memory, batches of 4",
		edits: []edit{{
			"consumer/internal/pipeline/apply.go",
			"		it.value = saved.Event\n",
			"		it.event = nil\n",
		}},
	},
	{
		name: "redelivered-copy-is-counted-again", promise: "pipeline", pkg: pipelinePkg, test: "TestRedeliveredBatchPublishesTheSameBytesAndCountsNothing",
		edits: []edit{{
			"consumer/internal/pipeline/apply.go",
			`	if handled {
`,
			`	if handled && it.dead != nil {
`,
		}},
	},
	{
		name: "commit-before-it-is-handled", promise: "group", pkg: groupPkg, test: "TestBatchThatWasNotHandledToTheEndComesAgain",
		edits: []edit{{
			"consumer/internal/group/worker.go",
			"		w.note(progress{next: b.records[0].Offset, oldest: b.records[0].Time})\n",
			"		w.note(progress{next: b.records[0].Offset, oldest: b.records[0].Time})\n		w.handled = w.next\n",
		}},
	},
	{
		name: "commit-for-a-generation-that-ended", promise: "group", pkg: groupPkg, test: "TestNothingIsCommittedForAGenerationThatEnded",
		edits: []edit{{
			"consumer/internal/group/worker.go",
			"		if ctx.Err() != nil {\n			return\n		}\n		w.handled",
			"		w.handled",
		}},
	},
	{
		name: "no-commit-at-the-generations-end", promise: "group", pkg: groupPkg, test: "TestGenerationsEndCommitsWhatWasHandled",
		edits: []edit{{
			"consumer/internal/group/worker.go",
			"	defer w.commitLast()\n",
			"",
		}},
	},
	{
		name: "last-commit-to-a-new-topic", promise: "group", pkg: groupPkg, test: "TestTopicMadeAnewBeforeTheLastCommit",
		edits: []edit{{
			"consumer/internal/group/worker.go",
			"	if found && err == nil {\n",
			"	if found = true; true {\n",
		}},
	},
	{
		name: "commit-for-each-batch", promise: "group", pkg: groupPkg, test: "TestCommitsAreApart",
		edits: []edit{{
			"consumer/internal/group/worker.go",
			"w.uncommitted() && !time.Now().Before(w.commitAt) &&",
			"w.uncommitted() &&",
		}},
	},
	{
		name: "gap-passed-over-in-silence", promise: "group", pkg: groupPkg, test: "TestOffsetsThatDoNotFollowOn",
		edits: []edit{{
			"consumer/internal/group/worker.go",
			"		w.gap(w.partition, w.next, m.Offset)\n",
			"		_ = w.gap\n",
		}},
	},
	{
		name: "record-handed-over-twice", promise: "group", pkg: groupPkg, test: "TestOffsetsThatDoNotFollowOn",
		edits: []edit{{
			"consumer/internal/group/worker.go",
			"zap.Int64(\"offset\", m.Offset))\n		return\n",
			"zap.Int64(\"offset\", m.Offset))\n",
		}},
	},
	{
		name: "a-batch-is-one-fetch", promise: "group", pkg: groupPkg, test: "TestWhatCameDuringABatchIsTheNextBatch",
		edits: []edit{{
			"consumer/internal/group/worker.go",
			"w.next < b.logEnd || w.queued()",
			"w.next < b.logEnd",
		}},
	},
	{
		name: "one-commit-a-request", promise: "group", pkg: groupPkg, test: "TestCommitsGatherWhileOneIsUnderWay",
		edits: []edit{{
			"consumer/internal/group/commit.go",
			"	if c.next == nil {",
			"	if true {",
		}, {
			"consumer/internal/group/commit.go",
			"	gathers := c.next == r\n	if gathers {",
			"	gathers := true\n	if c.next == r {",
		}},
	},
	{
		name: "commit-after-the-generations-end", promise: "group", pkg: groupPkg, test: "TestCommitEndsWithTheGeneration",
		edits: []edit{{
			"consumer/internal/group/commit.go",
			"		return err // and nobody else commits it\n",
			"		_ = err\n",
		}},
	},
	{
		name: "commit-hides-that-the-topic-is-new", promise: "group", pkg: groupPkg, test: "TestTopicMadeAnewDuringABatch",
		edits: []edit{{
			"consumer/internal/group/worker.go",
			"		if w.outlived(ctx) {\n			return nil\n		}\n",
			"",
		}},
	},
	{
		name: "old-errors-hold-up", promise: "group", pkg: groupPkg, test: "TestErrorsOfAnOutageThatIsOver",
		edits: []edit{{
			"consumer/internal/group/worker.go",
			"	case w.queued():\n",
			"	case false:\n",
		}},
	},
	{
		name: "groups-error-is-asked-about-alone", promise: "group", pkg: groupPkg, test: "TestCommitErrorOfTheGroupIsEverybodys",
		edits: []edit{{
			"consumer/internal/group/commit.go",
			" || ofAll(err) {",
			" {",
		}},
	},
	{
		name: "anothers-commit-error-is-told", promise: "group", pkg: groupPkg, test: "TestCommitErrorIsOfOnePartition",
		edits: []edit{{
			"consumer/internal/group/commit.go",
			"err == nil || len(together.offsets) == 1 || ofAll(err)",
			"true",
		}},
	},
}
