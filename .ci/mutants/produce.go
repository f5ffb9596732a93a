package main

// produceMutants are of the idempotent producer and of the connection under it.
var produceMutants = []mutant{
	{
		name: "new-boundaries-under-the-same-sequence", promise: "produce", pkg: producePkg, test: "TestEveryClassOfAnswer/7 timed out",
		edits: []edit{{
			"internal/produce/send.go",
			`return v.class == classTooLarge || v.class == classRecord`,
			`return v.class == classTooLarge || v.class == classRecord || v.class == classNetwork`,
		}},
	},
	{
		name: "sequence-not-advanced", promise: "produce", pkg: producePkg, test: "TestSequenceWraps/2147483638 as Kafka: true",
		edits: []edit{{
			"internal/produce/send.go",
			`nextSequence(l.sequence, len(b.tags))`,
			`nextSequence(l.sequence, 0)`,
		}},
	},
	{
		name: "sequence-does-not-wrap", promise: "produce", pkg: producePkg, test: "TestNextSequence",
		edits: []edit{{
			"internal/produce/batch.go",
			`int32((int64(s) + int64(n)) & sequenceMask)`,
			`int32(int64(s) + int64(n))`,
		}},
	},
	{
		name: "sequence-wraps-one-early", promise: "produce", pkg: producePkg, test: "TestNextSequence",
		edits: []edit{{
			"internal/produce/batch.go",
			`int32((int64(s) + int64(n)) & sequenceMask)`,
			`int32((int64(s) + int64(n)) % sequenceMask)`,
		}},
	},
	{
		name: "duplicate-sequence-is-an-error", promise: "produce", pkg: producePkg, test: "TestEveryClassOfAnswer/46 duplicate",
		edits: []edit{{
			"internal/produce/errors.go",
			`kafka.DuplicateSequenceNumber: classDelivered,`,
			`kafka.DuplicateSequenceNumber: classSequence,`,
		}},
	},
	{
		name: "new-producer-id-after-a-network-error", promise: "produce", pkg: producePkg, test: "TestEveryClassOfAnswer/13 network",
		edits: []edit{{
			"internal/produce/send.go",
			"	case classNetwork, classBroker, classLeader:\n",
			"	case classNetwork, classBroker, classLeader:\n		l.id = -1\n",
		}},
	},
	{
		name: "old-producer-id-for-ever", promise: "produce", pkg: producePkg, test: "TestEveryClassOfAnswer/45 out of order",
		edits: []edit{{
			"internal/produce/send.go",
			"	case classSequence:\n		l.id = -1\n",
			"	case classSequence:\n		b.sealed = false\n",
		}},
	},
	{
		name: "two-requests-in-flight", promise: "produce", pkg: producePkg, test: "TestNoRequestBeforeTheAnswer",
		edits: []edit{{
			"internal/produce/lane.go",
			"		if !l.deliver(ctx, b) {\n			return\n		}\n",
			"		go l.deliver(ctx, b)\n		b = &batch{}\n",
		}},
	},
	{
		name: "the-leader-alone-acknowledges", promise: "produce", pkg: producePkg, test: "TestNoRequestBeforeTheAnswer",
		edits: []edit{{
			"internal/produce/send.go",
			`kafka.RequireAll`,
			`kafka.RequireOne`,
		}},
	},
	{
		name: "what-fills-is-lost-with-the-topic", promise: "produce", pkg: producePkg, test: "TestTopicRefused/closed",
		edits: []edit{{
			"internal/produce/lane.go",
			"	tags = append(tags, l.filling.tags...)\n",
			"",
		}},
	},
	{
		name: "unknown-answer-is-a-refusal", promise: "produce", pkg: producePkg, test: "TestClassify",
		edits: []edit{{
			"internal/produce/errors.go",
			`return classBroker, int16(code)`,
			`return classRecord, int16(code)`,
		}},
	},
	{
		name: "refused-time-parks-the-record", promise: "produce", pkg: producePkg, test: "TestClockAhead",
		edits: []edit{{
			"internal/produce/errors.go",
			`kafka.InvalidTimestamp: classTimestamp,`,
			`kafka.InvalidTimestamp: classRecord,`,
		}},
	},
	{
		name: "refused-time-is-kept", promise: "produce", pkg: producePkg, test: "TestClockAhead",
		edits: []edit{{
			"internal/produce/send.go",
			"		b.sealed = false // nothing was taken, so the bytes may change\n",
			"",
		}},
	},
	{
		name: "set-back-clock-hides-an-outage", promise: "produce", pkg: producePkg, test: "TestClockSetBack",
		edits: []edit{{
			"internal/produce/producer.go",
			`return time.Since(p.began) + 1 }`,
			`return p.o.now().Sub(p.began) + 1 }`,
		}},
	},
	{
		name: "ask-the-given-brokers-only", promise: "kafkaconn", pkg: connPkg, test: "TestBrokersAreReplaced",
		edits: []edit{{
			"internal/kafkaconn/conn.go",
			`if told, ok := res.(*metadata.Response); ok && err == nil {`,
			`if told, ok := res.(*metadata.Response); ok && err == nil && len(told.Brokers) == 0 {`,
		}},
	},
	{
		name: "unknown-layout-is-a-missing-topic", promise: "kafkaconn", pkg: connPkg, test: "TestUnknownLayoutIsNoMissingTopic",
		edits: []edit{{
			"internal/kafkaconn/conn.go",
			`if errors.Is(err, protocol.ErrNoTopic) {`,
			`if errors.Is(err, protocol.ErrNoTopic) && res != nil {`,
		}},
	},
}
