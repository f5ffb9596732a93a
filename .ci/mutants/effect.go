package main

const notifyPkg = "consumer/internal/notify"

// effectMutants are of the one effect that a record has, and of the notices that come of it,
// whatever fails on the way.
var effectMutants = []mutant{
	{
		name: "a-batch-that-failed-is-dropped", promise: "pipeline", pkg: pipelinePkg, test: "TestEachStepFailsAtEachRecord/memory",
		edits: []edit{{
			"consumer/internal/pipeline/pipeline.go",
			"			w.failed(ctx, err, wait)\n",
			"			w.failed(ctx, err, wait)\n			return nil\n",
		}},
	},
	{
		name: "a-lost-answer-loses-the-event", promise: "pipeline", pkg: pipelinePkg, test: "TestEachStepFailsAtEachRecord/memory/save's answer is lost, batches of 4",
		edits: []edit{{
			"consumer/internal/pipeline/publish.go",
			`it.event != nil {`,
			`it.event != nil && it.outcome != OutcomeRedelivered {`,
		}},
	},
	{
		name: "handled-though-kafka-was-not-asked", promise: "pipeline", pkg: pipelinePkg, test: "TestEachStepFailsAtEachRecord/memory/end behind publish, batches of 4",
		edits: []edit{{
			"consumer/internal/pipeline/publish.go",
			"	refused, err := p.o.Producer.Produce(ctx, records)\n	if err != nil {\n",
			"	refused, err := p.o.Producer.Produce(ctx, records)\n	if err != nil && ctx.Err() == nil {\n",
		}},
	},
	{
		name: "notices-without-what-was-told", promise: "pipeline", pkg: pipelinePkg, test: "TestOwnersOfOnePartition/sqlite",
		edits: []edit{{
			"consumer/internal/pipeline/apply.go",
			"		period = a.periods[c.AppID]\n",
			"		period = quota.Period{}\n",
		}},
	},
	{
		name: "a-late-owner-moves-the-progress-back", promise: "store", pkg: pipelinePkg, test: "TestOwnersOfOnePartition/sqlite",
		edits: []edit{{
			"consumer/internal/store/progress.go",
			`if next.Offset <= p.Offset && !again {`,
			`if next.Offset < 0 && !again {`,
		}},
	},
	{
		name: "down-for-a-batch-that-is-gone", promise: "pipeline", pkg: pipelinePkg, test: "TestEndOfTheGenerationEndsTheWait",
		edits: []edit{{
			"consumer/internal/pipeline/pipeline.go",
			"	defer w.leave()\n",
			"",
		}},
	},
	{
		name: "a-late-answer-changes-what-was-sent", promise: "notify", pkg: notifyPkg, test: "TestLeaseLostWhileASendHangs/HTTP 410 in the end",
		edits: []edit{{
			"consumer/internal/store/outbox_sqlite.go",
			"error = ?, changed_at = ?\n		WHERE seq = ? AND state = 'pending'`",
			"error = ?, changed_at = ?\n		WHERE seq = ?`",
		}},
	},
	{
		name: "a-mark-that-failed-is-forgotten", promise: "notify", pkg: notifyPkg, test: "TestDatabaseAwayBetweenSendAndMark",
		edits: []edit{{
			"consumer/internal/notify/sender.go",
			"	if err := s.w.o.Outbox.Settle(ctx, s.unsettled, time.Now()); err != nil {\n",
			"	if err := s.w.o.Outbox.Settle(ctx, s.unsettled, time.Now()); err != nil {\n		s.unsettled = nil\n",
		}},
	},
	{
		name: "each-attempt-has-an-id", promise: "notify", pkg: notifyPkg, test: "TestWorkersKilledAnywhere",
		edits: []edit{{
			"consumer/internal/notify/channel/message.go",
			`"msg_" + hex.EncodeToString(sum.Sum(nil)[:16])`,
			`"msg_" + hex.EncodeToString(sum.Sum(nil)[:16]) + time.Now().String()`,
		}},
	},
	{
		name: "everybody-has-the-lease", promise: "notify", pkg: notifyPkg, test: "TestWorkersKilledAnywhere",
		edits: []edit{{
			"consumer/internal/store/outbox_sqlite.go",
			"	if owner != c.Owner && until > now &&",
			"	if owner != \"\" {\n		c.Owner = owner\n	}\n	if owner != c.Owner && until > now &&",
		}},
	},
	{
		name: "what-stands-waits-for-a-minute", promise: "notify", pkg: notifyPkg, test: "TestAlertsOutliveAKilledConsumer/the only one: true",
		edits: []edit{{
			"consumer/internal/notify/sender.go",
			"		w: w, config: config, channel: ch,\n",
			"		w: w, config: config, channel: ch, keepAt: time.Now().Add(time.Minute),\n",
		}},
	},
}
