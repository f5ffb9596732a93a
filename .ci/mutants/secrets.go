package main

const processPkg = "internal/process"

// secretMutants are of what the log and the command line tell, and must not.
var secretMutants = []mutant{
	{
		name: "log-the-sign-of-a-refusal", promise: "receive", pkg: receivePkg, test: "TestLogsTellNoSecrets",
		edits: []edit{{
			"gateway/internal/receive/handler.go",
			"		r.refuse(l, refusal(result), q.now,",
			"		r.log.Warn(\"refused\", zap.ByteString(\"sign\", q.query.sign))\n		r.refuse(l, refusal(result), q.now,",
		}},
	},
	{
		name: "log-what-the-http-server-quotes", promise: "receive", pkg: receivePkg, test: "TestLogsTellNoSecrets",
		edits: []edit{{
			"gateway/internal/receive/server.go",
			"Printf(format string, _ ...any) {\n	l.log.Debug(\"http server reports\", zap.String(\"format\", format))",
			"Printf(format string, args ...any) {\n	l.log.Debug(\"http server reports\", zap.String(\"format\", format), zap.Any(\"args\", args))",
		}},
	},
	{
		name: "a-line-for-every-refusal", promise: "receive", pkg: receivePkg, test: "TestFloodIsOneLine",
		edits: []edit{{
			"gateway/internal/receive/refusallog.go",
			"early > 0 && early <= int64(lineEvery)",
			"early > 0 && early < 0",
		}},
	},
	{
		name: "forget-what-was-left-out", promise: "receive", pkg: receivePkg, test: "TestLeftOutIsWhole",
		edits: []edit{{
			"gateway/internal/receive/refusallog.go",
			"	s.leftOut.Add(1)\n	return nil, 0\n",
			"	return nil, 0\n",
		}},
	},
	{
		name: "blocking-callbacks-wait-for-room", promise: "receive", pkg: receivePkg, test: "TestBlockingWaitsForNoRoom",
		edits: []edit{{
			"gateway/internal/receive/handler.go",
			"if d.Blocking || !errors.Is(err, journal.ErrBusy) {",
			"if !errors.Is(err, journal.ErrBusy) {",
		}},
	},
	{
		name: "quote-a-secret-flag", promise: "process", pkg: processPkg, test: "TestSecretsAreNoFlags",
		edits: []edit{{
			"internal/process/commandline.go",
			"refuseSecrets(parser, args); err != nil {",
			"refuseSecrets(parser, nil); err != nil {",
		}},
	},
	{
		name: "the-yaml-parser-quotes-the-file", promise: "reload", pkg: reloadPkg, test: "TestDecodeProblems",
		edits: []edit{{
			"internal/reload/syntax.go",
			`if strings.HasPrefix(why, unknownAnchor) {`,
			`if why == "" {`,
		}, {
			"internal/reload/syntax.go",
			`if i%2 == 1 && len(part) > 1 ||`,
			`if i%2 == 1 && len(part) > 1000 ||`,
		}},
	},
}
