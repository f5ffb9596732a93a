package main

// edgeMutants are of who may connect, and of what a request's source is.
var edgeMutants = []mutant{
	{
		name: "x-forwarded-for-of-anybody", promise: "receive", pkg: receivePkg, test: "TestSource",
		edits: []edit{{
			"gateway/internal/receive/source.go",
			`if !s.trusted.Contains(peer) {`,
			`if s.trusted.Len() == 0 {`,
		}},
	},
	{
		name: "x-forwarded-for-from-its-beginning", promise: "receive", pkg: receivePkg, test: "TestSource",
		edits: []edit{{
			"gateway/internal/receive/source.go",
			`if hop = addr; !s.trusted.Contains(hop) {`,
			`if hop = addr; !more && i == 0 {`,
		}},
	},
	{
		name: "any-source-may-send", promise: "receive", pkg: receivePkg, test: "TestAllowedSources",
		edits: []edit{{
			"gateway/internal/receive/source.go",
			`return refusedSource`,
			`return notRefused`,
		}},
	},
	{
		name: "empty-list-of-sources", promise: "edge", pkg: edgePkg, test: "TestSourcesFile",
		edits: []edit{{
			"gateway/internal/edge/sources.go",
			`file.Sources == nil || len(*file.Sources) == 0`,
			`file.Sources == nil`,
		}},
	},
	{
		name: "proxy-header-of-anybody", promise: "edge", pkg: edgePkg, test: "TestSpoofedProxyHeader",
		edits: []edit{{
			"gateway/internal/edge/listener.go",
			`l.proxyFrom.Contains(Peer(raw.RemoteAddr()))`,
			`l.proxyFrom.Len() > 0`,
		}},
	},
	{
		name: "front-end-without-a-proxy-header", promise: "edge", pkg: edgePkg, test: "TestNoProxyHeader",
		edits: []edit{{
			"gateway/internal/edge/conn.go",
			"	if err != nil {\n		return err\n	}\n	if source, ok",
			"	if err != nil {\n		if ahead.Buffered() > 0 {\n			c.raw.ahead = ahead\n		}\n		return nil\n	}\n	if source, ok",
		}},
	},
	{
		name: "client-certificate-if-there-is-one", promise: "edge", pkg: edgePkg, test: "TestClientCA",
		edits: []edit{{
			"gateway/internal/edge/listener.go",
			`tls.RequireAndVerifyClientCert`,
			`tls.VerifyClientCertIfGiven`,
		}},
	},
	{
		name: "failed-handshake-is-answered", promise: "edge", pkg: receivePkg, test: "TestFailedHandshakeIsNoRequest",
		edits: []edit{{
			"gateway/internal/edge/conn.go",
			`return 0, io.EOF`,
			`return 0, io.ErrUnexpectedEOF`,
		}, {
			"gateway/internal/edge/conn.go",
			`		return 0, errNotOpen
`,
			`		return c.raw.Write(p)
`,
		}},
	},
}
