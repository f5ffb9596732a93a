package main

// registryMutants are of the apps file: what a slip in it must not do, and of who fails authentication.
var registryMutants = []mutant{
	{
		name: "reload-without-its-guard", promise: "reload", pkg: reloadPkg, test: "TestGuardKeepsTheFileInUse",
		edits: []edit{{
			"internal/reload/file.go",
			`errs = f.guarded(value, sum)`,
			`_ = f.guarded(value, sum)`,
		}},
	},
	{
		name: "time-takes-what-was-refused", promise: "reload", pkg: reloadPkg, test: "TestGuardKeepsTheFileInUse",
		edits: []edit{{
			"internal/reload/guard.go",
			`if sum != f.refused.sum {`,
			`if sum != "" {`,
		}},
	},
	{
		name: "tokens-of-two-states", promise: "reload", pkg: reloadPkg, test: "TestValueIsOfOneState",
		edits: []edit{{
			"internal/reload/file.go",
			`const wholeTries = 3`,
			`const wholeTries = 1`,
		}},
	},
	{
		name: "quote-what-the-parser-quotes", promise: "reload", pkg: reloadPkg, test: "TestParsersTextIsShownUnlessItQuotes",
		edits: []edit{{
			"internal/reload/syntax.go",
			`if i%2 == 1 && len(part) > 1 ||`,
			`if i%2 == 1 && len(part) > 100 ||`,
		}},
	},
	{
		name: "reload-never-rests", promise: "reload", pkg: reloadPkg, test: "TestPaceRests",
		edits: []edit{{
			"internal/reload/pace.go",
			`opening.Load() > 0 {`,
			`opening.Load() >= 0 {`,
		}},
	},
	{
		name: "app-that-sends-is-removed", promise: "apps", pkg: appsPkg, test: "TestGuard/one that sent",
		edits: []edit{{
			"internal/apps/guard.go",
			`case len(sending) > 0:`,
			`case len(sending) > 1:`,
		}},
	},
	{
		name: "app-loses-its-tokens", promise: "apps", pkg: appsPkg, test: "TestGuard/its tokens are gone",
		edits: []edit{{
			"internal/apps/guard.go",
			`len(app.Tokens) > 0 && len(now.Tokens) == 0 &&`,
			`len(app.Tokens) == 0 && len(now.Tokens) == 0 &&`,
		}},
	},
	{
		name: "over-its-rate-is-not-sent", promise: "receive", pkg: receivePkg, test: "TestSentOverRate",
		edits: []edit{{
			"gateway/internal/receive/ledger.go",
			`case refusedRequestTime, refusedRate, `,
			`case refusedRequestTime, `,
		}},
	},
	{
		name: "match-belongs-to-the-position", promise: "receive", pkg: receivePkg, test: "TestMatchBelongsToTheToken",
		edits: []edit{{
			"gateway/internal/receive/tokens.go",
			`if !taken[k] && sameToken(app.Tokens[i], before.app.Tokens[k]) {`,
			`if !taken[k] && i == k {`,
		}},
	},
	{
		name: "guessing-hurts-right-signs", promise: "receive", pkg: receivePkg, test: "TestGuessingHurtsNobodyElse",
		edits: []edit{{
			"gateway/internal/receive/handler.go",
			`if f := r.identify(q); f != notRefused {`,
			`if f := r.identify(q); f != notRefused || r.guessing.fail(r.source(q), int64(q.now.Sub(r.started))) > 0 {
		if f == notRefused {
			return outcome(refusedGuessing)
		}`,
		}},
	},
}
