package main

const storePkg = "consumer/internal/store"

// letterMutants are of the replay of dead letters: once each, whatever happens.
var letterMutants = []mutant{
	{
		name: "replay-leaves-the-letter-open", promise: "pipeline", pkg: pipelinePkg, test: "TestReplay",
		edits: []edit{{
			"consumer/internal/pipeline/apply.go",
			"	a.changes.Replayed = madeGood(a.items)\n",
			"	_ = madeGood\n",
		}},
	},
	{
		name: "replay-counts-a-second-time", promise: "pipeline", pkg: pipelinePkg, test: "TestReplayKilledAfterEveryStage",
		edits: []edit{{
			"consumer/internal/pipeline/apply.go",
			"		return !it.letter.ReplayedAt.IsZero()\n",
			"		return false\n",
		}},
	},
	{
		name: "replay-is-published-before-kafka-has-it", promise: "pipeline", pkg: pipelinePkg, test: "TestReplayKilledWhilePublishing",
		edits: []edit{{
			"consumer/internal/pipeline/pipeline.go",
			"	b, err := p.publish(ctx, s)\n	if err != nil {\n",
			"	_ = p.settle(ctx, s.replay, published{s.items})\n	b, err := p.publish(ctx, s)\n	if err != nil {\n",
		}},
	},
	{
		name: "replay-moves-the-progress", promise: "pipeline", pkg: pipelinePkg, test: "TestReplay",
		edits: []edit{{
			"consumer/internal/pipeline/apply.go",
			"	if a.replay == nil {\n",
			"	{\n",
		}},
	},
	{
		name: "two-replays-of-one-letter-count", promise: "store", pkg: storePkg, test: "TestSQLite/of two replays of one dead letter one counts",
		edits: []edit{{
			"consumer/internal/store/letters.go",
			"	if want := int64(len(ids)); closed != want {\n",
			"	if want := int64(len(ids)); closed < 0 {\n",
		}},
	},
}
