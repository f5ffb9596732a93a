package main

// forwardMutants are of the way from the journal to Kafka.
var forwardMutants = []mutant{
	{
		name: "forget-the-lane-cursors", promise: "forward", pkg: forwardPkg, test: "TestRestartHonoursCursors",
		edits: []edit{{
			"gateway/internal/forward/checkpoint.go",
			"		s.cursors[partition] = max(s.cursors[partition], c.LSN)\n",
			"		s.cursors[partition] = 0\n",
		}},
	},
	{
		name: "do-not-keep-lane-cursors", promise: "forward", pkg: forwardPkg, test: "TestRestartHonoursCursors",
		edits: []edit{{
			"gateway/internal/forward/checkpoint.go",
			`if c := f.cursorOf(l); c > settled {`,
			`if c := f.cursorOf(l); c > settled && f.now.IsZero() {`,
		}},
	},
	{
		name: "settle-before-the-answer", promise: "forward", pkg: forwardPkg, test: "TestRestartHonoursCursors",
		edits: []edit{{
			"gateway/internal/forward/checkpoint.go",
			`if first, open := l.window.first(); open {`,
			`if first, open := l.window.first(); open && first == 0 {`,
		}},
	},
	{
		name: "parked-counts-before-it-is-synced", promise: "forward", pkg: forwardPkg, test: "TestParkedCountsOnceItIsSynced",
		edits: []edit{{
			"gateway/internal/forward/park.go",
			`if e.to > synced {`,
			`if e.to > synced && e.lane == nil {`,
		}},
	},
	{
		name: "renumber-without-waiting-for-idle", promise: "forward", pkg: forwardPkg, test: "TestPartitionsAddedWhileAnswersAreDue",
		edits: []edit{{
			"gateway/internal/forward/loop.go",
			`if !t.idle() || t.parked.moving+t.single.moving > 0 {`,
			`if t.target == 0 && (!t.idle() || t.parked.moving+t.single.moving > 0) {`,
		}},
	},
	{
		name: "renumber-forgets-the-old-cursors", promise: "forward", pkg: forwardPkg, test: "TestPartitionsAddedWhileALaneLags",
		edits: []edit{{
			"gateway/internal/forward/loop.go",
			"	t.skips = append(t.skips, old)\n",
			"",
		}},
	},
	{
		name: "newer-ones-before-what-a-lane-gave-back", promise: "forward", pkg: forwardPkg, test: "TestPartitionsGoAndComeAgainWhileATopicReturns",
		edits: []edit{{
			"gateway/internal/forward/unpark.go",
			`	if s.back {
`,
			`	if s.back && s.count == 0 {
`,
		}},
	},
	{
		name: "what-a-lane-gave-back-is-forgotten", promise: "forward", pkg: forwardPkg, test: "TestPartitionGoesAndComesAgainUnderARefusedRecord",
		edits: []edit{{
			"gateway/internal/forward/loop.go",
			`			if s.back {
`,
			`			if s.back && s.kind == kindTopic {
`,
		}},
	},
	{
		name: "live-reader-overtakes-a-lagging-lane", promise: "forward", pkg: forwardPkg, test: "TestCatchUp",
		edits: []edit{{
			"gateway/internal/forward/read.go",
			"	if l.lagging {\n		f.over++\n		return true\n	}\n",
			"",
		}},
	},
	{
		name: "live-reader-rests-for-a-stuck-lane", promise: "forward", pkg: forwardPkg, test: "TestStuckLaneDoesNotRestTheLiveReader",
		edits: []edit{{
			"gateway/internal/forward/read.go",
			`l.out != nil && !l.out.lane.Stalled() {`,
			`l.out != nil {`,
		}, {
			"gateway/internal/forward/read.go",
			`f.now.Sub(f.rests) >= restFor`,
			`f.now.Sub(f.rests) >= time.Hour`,
		}},
	},
	{
		name: "live-reader-rests-for-a-slow-lane", promise: "forward", pkg: forwardPkg, test: "TestSlowLaneDoesNotRestTheLiveReader",
		edits: []edit{{
			"gateway/internal/forward/read.go",
			`f.now.Sub(f.rests) >= restFor`,
			`f.now.Sub(f.rests) >= time.Hour`,
		}},
	},
	{
		name: "lane-that-is-full-does-not-lag", promise: "forward", pkg: forwardPkg, test: "TestCatchUp",
		edits: []edit{{
			"gateway/internal/forward/read.go",
			"	case r != took:\n		l.lag(o.lsn, f)\n",
			"	case r != took && l.lagging:\n		l.lag(o.lsn, f)\n",
		}},
	},
	{
		name: "newer-entries-before-parked-ones", promise: "forward", pkg: forwardPkg, test: "TestStuckReturnHoldsUpNobody",
		edits: []edit{{
			"gateway/internal/forward/offer.go",
			`case t.target != 0 || t.state == returning || t.pausing:`,
			`case t.target != 0:`,
		}, {
			"gateway/internal/forward/read.go",
			`case t.target != 0 || t.state == returning || t.pausing:`,
			`case t.target != 0:`,
		}},
	},
	{
		name: "parked-before-what-is-in-flight", promise: "forward", pkg: forwardPkg, test: "TestParkingWaitsForAnswers",
		edits: []edit{{
			"gateway/internal/forward/offer.go",
			`		if l.inflight > 0 {
			return blocked
		}
`,
			"",
		}},
	},
	{
		name: "handed-back-is-not-sent-again", promise: "forward", pkg: forwardPkg, test: "TestTopicClosesUnderLoad",
		edits: []edit{{
			"gateway/internal/forward/settle.go",
			"			l.window.cut(lsn)\n			l.lag(lsn, f)\n",
			"			l.window.cut(lsn)\n",
		}},
	},
	{
		name: "unreadable-entry-passed-over", promise: "forward", pkg: forwardPkg, test: "TestEntryThatNobodyCanRead",
		edits: []edit{{
			"gateway/internal/forward/read.go",
			"			f.halt(o)\n			return moved\n",
			"			f.halt(o)\n",
		}},
	},
	{
		name: "forget-what-is-parked", promise: "forward", pkg: forwardPkg, test: "TestParkedSurvivesRestart",
		edits: []edit{{
			"gateway/internal/forward/checkpoint.go",
			`settled = min(settled, s.open()-1)`,
			`settled, f.park.settled = f.park.tail, 0`,
		}},
	},
}

// receiveMutants are of the answers to the vendor.
var receiveMutants = []mutant{
	{
		name: "200-before-the-wait-is-over", promise: "receive", pkg: receivePkg, test: "TestHeldForNobody",
		edits: []edit{{
			"gateway/internal/receive/handler.go",
			`	err = r.journal.Wait(ticket, d.Ack)
`,
			`	go func() { _ = r.journal.Wait(ticket, d.Ack) }()
`,
		}},
	},
	{
		name: "200-although-the-wait-failed", promise: "receive", pkg: receivePkg, test: "TestAnswers/not confirmed",
		edits: []edit{{
			"gateway/internal/receive/handler.go",
			"		return unconfirmed\n",
			"		return notRefused\n",
		}},
	},
	{
		name: "200-although-nothing-was-taken", promise: "receive", pkg: receivePkg, test: "TestAnswers/journal full",
		edits: []edit{{
			"gateway/internal/receive/handler.go",
			`		r.inFlight.leave()
		return outcome(r.notTaken(err))
`,
			`		r.inFlight.leave()
		return outcomeAccepted
`,
		}},
	},
	{
		name: "parked-counts-as-delivered", promise: "receive", pkg: receivePkg, test: "TestAnswers/parked, at broker",
		edits: []edit{{
			"gateway/internal/receive/handler.go",
			`		return unconfirmedParked
`,
			`		return notRefused
`,
		}},
	},
	{
		name: "every-route-waits-for-memory", promise: "receive", pkg: receivePkg, test: "TestRealJournalBroker",
		edits: []edit{{
			"gateway/internal/receive/handler.go",
			`r.journal.Wait(ticket, d.Ack)`,
			`r.journal.Wait(ticket, journal.Memory)`,
		}},
	},
	{
		name: "only-the-first-token-counts", promise: "receive", pkg: receivePkg, test: "TestAuthenticate/rotation: the old token",
		edits: []edit{{
			"gateway/internal/receive/authenticate.go",
			`for i := range tokens {`,
			`for i := range min(tokens, 1) {`,
		}},
	},
	{
		name: "held-answer-leaves-at-once", promise: "J1", pkg: receivePkg, test: "TestHeldAnswer",
		edits: []edit{{
			"gateway/internal/receive/plain.go",
			`c.notify()
`,
			`_, _ = c.Conn.Write(c.held.text)
		c.held.text = nil
		c.notify()
`,
		}},
	},
	{
		name: "plain-takes-what-lies-behind-it", promise: "receive", pkg: receivePkg, test: "TestPlainRequests",
		edits: []edit{{
			"gateway/internal/receive/plain.go",
			`size+length != len(raw)`,
			`size+length > len(raw)`,
		}},
	},
	{
		name: "plain-takes-two-hosts", promise: "receive", pkg: receivePkg, test: "TestPlainRequests",
		edits: []edit{{
			"gateway/internal/receive/plain.go",
			`if named || !plainHost(value)`,
			`if !plainHost(value)`,
		}},
	},
	{
		name: "plain-request-before-its-turn", promise: "receive", pkg: receivePkg, test: "TestHeldOneAtATime",
		edits: []edit{{
			"gateway/internal/receive/plain.go",
			`if !c.begin() {`,
			`if c.held.cut.Load() {`,
		}},
	},
	{
		name: "cut-client-has-more-taken", promise: "receive", pkg: receivePkg, test: "TestNotPlain/CutTakesNoMore",
		edits: []edit{{
			"gateway/internal/receive/handler.go",
			`if c == nil || c.begin() {`,
			`if c == nil || c.begin() || c.held.cut.Load() {`,
		}},
	},
	{
		name: "taken-behind-what-is-not-confirmed", promise: "receive", pkg: receivePkg, test: "TestHeldPipelinedNotConfirmed",
		edits: []edit{{
			"gateway/internal/receive/held.go",
			`return !c.held.over()`,
			`return !c.held.cut.Load()`,
		}},
	},
	{
		name: "end-of-stream-is-not-asked-for", promise: "receive", pkg: "gateway/internal/socket", test: "TestEndWait",
		edits: []edit{{
			"gateway/internal/socket/socket.go",
			`if !c.closed && ended(c.fd) {`,
			`if c.closed {`,
		}},
	},
	{
		name: "wait-ends-without-an-end", promise: "receive", pkg: "gateway/internal/socket", test: "TestEndWaitEndsNothingElse",
		edits: []edit{{
			"gateway/internal/socket/socket.go",
			`if !c.closed && ended(c.fd) {`,
			`if !c.closed {`,
		}},
	},
	{
		name: "end-of-stream-is-missed", promise: "receive", pkg: "gateway/internal/socket", test: "TestReadEachFirstEnd",
		edits: []edit{{
			"gateway/internal/socket/socket.go",
			`if !c.first && n < len(c.into)`,
			`if n < len(c.into)`,
		}},
	},
	{
		name: "held-answer-of-fasthttps-leaves-at-once", promise: "J1", pkg: receivePkg, test: "TestNotPlain/HeldAnswer",
		edits: []edit{{
			"gateway/internal/receive/held.go",
			`h.text = append(h.text[:0], p...)
`,
			`h.text = h.text[:0]
	_, _ = c.Conn.Write(p)
`,
		}},
	},
	{
		name: "held-200-stays-200", promise: "J1", pkg: receivePkg, test: "TestHeldAnswerNotConfirmed",
		edits: []edit{{
			"gateway/internal/receive/held.go",
			`f != notRefused || leaving {`,
			`leaving {`,
		}},
	},
	{
		name: "held-answer-takes-the-place-of-others", promise: "receive", pkg: receivePkg, test: "TestHeldBehindARefusal",
		edits: []edit{{
			"gateway/internal/receive/held.go",
			`h.due && !isAnswer(p, h.decision.Answer) {`,
			`false {`,
		}},
	},
	{
		name: "half-a-request-keeps-a-callback-in-flight", promise: "receive", pkg: receivePkg, test: "TestHeldBeforeHalfARequest",
		edits: []edit{{
			"gateway/internal/receive/held.go",
			`	c.settle()
	if c.held.over() {
`,
			`	if c.held.over() {
`,
		}},
	},
	{
		name: "unresolved-token-matches", promise: "receive", pkg: receivePkg, test: "TestUnresolvedToken",
		edits: []edit{{
			"gateway/internal/receive/authenticate.go",
			`if len(token) == 0 {`,
			`if len(token) < 0 {`,
		}},
	},
	{
		name: "request-time-of-the-future", promise: "receive", pkg: receivePkg, test: "TestAuthenticate/too new",
		edits: []edit{{
			"gateway/internal/receive/authenticate.go",
			`if p.skew.Abs() > window {`,
			`if p.skew > window {`,
		}},
	},
}
