package main

// hostileMutants are of what comes over the socket: where a request ends, and what a body may hold.
var hostileMutants = []mutant{
	{
		name: "length-and-chunked-is-taken", promise: "receive", pkg: receivePkg, test: "TestCorpus",
		edits: []edit{{
			"gateway/internal/receive/framing.go",
			`len(raw) == 0 && (!sized || !chunked)`,
			`len(raw) == 0 && (!sized || !chunked || true)`,
		}},
	},
	{
		name: "another-coding-is-no-coding", promise: "receive", pkg: receivePkg, test: "TestDifferences",
		edits: []edit{{
			"gateway/internal/receive/framing.go",
			"			if !equalFold(trimBlanks(value), \"chunked\") {\n				return b, false\n			}\n			chunked, b.last = true, true\n",
			"			chunked = equalFold(trimBlanks(value), \"chunked\")\n			b.last = b.last || chunked\n",
		}},
	},
	{
		name: "a-chunked-request-is-not-the-last", promise: "receive", pkg: receivePkg, test: "TestCorpus",
		edits: []edit{{
			"gateway/internal/receive/handler.go",
			`if q.header.last || r.leaving.Load() {`,
			`if r.leaving.Load() {`,
		}},
	},
	{
		name: "an-option-may-hold-a-blank", promise: "receive", pkg: receivePkg, test: "TestDifferences",
		edits: []edit{{
			"gateway/internal/receive/framing.go",
			`if bytes.ContainsAny(option, " \t") {`,
			`if len(option) > 99 {`,
		}},
	},
	{
		name: "any-sign-of-a-remembered-time-is-right", promise: "receive", pkg: receivePkg, test: "TestAuthenticate",
		edits: []edit{{
			"gateway/internal/receive/remembered.go",
			`return differ == 0, true`,
			`return differ == differ, true`,
		}},
	},
	{
		name: "a-remembered-sum-is-of-any-time", promise: "receive", pkg: receivePkg, test: "TestRemembered",
		edits: []edit{{
			"gateway/internal/receive/remembered.go",
			`if before == 0 || m.time[0].Load() != words[0] || m.time[1].Load() != words[1] {`,
			`if before == 0 || m.time[0].Load() != words[0] {`,
		}},
	},
	{
		name: "second-request-line-is-not-watched", promise: "receive", pkg: receivePkg, test: "TestRequestLine",
		edits: []edit{{
			"gateway/internal/receive/framing.go",
			`if ahead := l.got - l.used; ahead > 0 {`,
			`if ahead := l.got - l.used; ahead < 0 {`,
		}},
	},
	{
		name: "bodies-need-no-room", promise: "receive", pkg: receivePkg, test: "TestChunksThatGrow",
		edits: []edit{{
			"gateway/internal/receive/waiting.go",
			`if w.now.Add(n) > w.limit {`,
			`if w.now.Add(n) < 0 {`,
		}},
	},
	{
		name: "looking-ahead-takes-a-token", promise: "receive", pkg: receivePkg, test: "TestRetryAfterOfAnEarlyRefusal",
		edits: []edit{{
			"gateway/internal/receive/early.go",
			`return b.peek(int64`,
			`return b.take(int64`,
		}},
	},
	{
		name: "no-body-for-the-quarantine", promise: "receive", pkg: receivePkg, test: "TestBodyOfTheUnprovenIsRead",
		edits: []edit{{
			"gateway/internal/receive/early.go",
			`if wanted && r.waiting`,
			`if wanted && size == 0 && r.waiting`,
		}},
	},
	{
		name: "unproven-chunks-of-any-length", promise: "receive", pkg: receivePkg, test: "TestUnprovenChunksLeaveTheOtherHalf",
		edits: []edit{{
			"gateway/internal/receive/early.go",
			`if size != chunkedLength {`,
			`if size < 0 || size > 0 {`,
		}},
	},
	{
		name: "a-handshake-of-any-length", promise: "edge", pkg: edgePkg, test: "TestLongHandshake",
		edits: []edit{{
			"gateway/internal/edge/conn.go",
			`if e.left -= n; e.left < 0 {`,
			`if e.left -= n; e.left < -1<<20 {`,
		}},
	},
}
