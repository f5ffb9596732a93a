package main

// quarantineMutants are of refused callbacks that are kept for a second look: that each comes back
// once, that nobody's flood costs another app's, and that no Sign is shown.
var quarantineMutants = []mutant{
	{
		name: "admit-without-announcing-it", promise: "Q4", pkg: quarantinePkg, test: "TestAdmitOnceOverCrashes",
		edits: []edit{{
			"gateway/internal/quarantine/admit.go",
			`if err := s.announce(b); err != nil {`,
			`if err := error(nil); err != nil {`,
		}},
	},
	{
		name: "announcement-not-synced", promise: "Q4", pkg: quarantinePkg, test: "TestAdmitOnceOverCrashes",
		edits: []edit{{
			"gateway/internal/quarantine/intent.go",
			`		err = f.Sync()
`,
			`		err = nil
`,
		}},
	},
	{
		name: "removed-before-it-is-durable", promise: "Q4", pkg: quarantinePkg, test: "TestAdmitOnceOverCrashes",
		edits: []edit{{
			"gateway/internal/quarantine/admit.go",
			`err := a.to.Wait(t, journal.Disk)`,
			`err := error(nil)`,
		}},
	},
	{
		name: "marks-of-what-was-there-before", promise: "Q4", pkg: quarantinePkg, test: "TestMarksOfAnotherSegment",
		edits: []edit{{
			"gateway/internal/quarantine/intent.go",
			` && le.Uint32(at[offsetCRC:]) == m.crc {`,
			` && len(at) > 0 {`,
		}},
	},
	{
		name: "a-flood-evicts-others", promise: "Q2", pkg: quarantinePkg, test: "TestEvictionInItsOwnPart",
		edits: []edit{{
			"gateway/internal/quarantine/parts.go",
			`for p.bytes+n > s.partBytes() && len(p.segs) > 0 {`,
			`for false {`,
		}},
	},
	{
		name: "a-flood-takes-all-memory", promise: "Q1", pkg: quarantinePkg, test: "TestFloodInMemory",
		edits: []edit{{
			"gateway/internal/quarantine/offer.go",
			`case share+size > maxPartPending:`,
			`case false:`,
		}},
	},
	{
		name: "forged-ones-are-admitted", promise: "receive", pkg: receivePkg, test: "TestRechecker",
		edits: []edit{{
			"gateway/internal/receive/quarantine.go",
			`if f != notRefused && (f != refusedRequestTime || p.position == noPosition) {`,
			`if f == refusedSignMissing {`,
		}},
	},
	{
		name: "show-shows-the-sign", promise: "gateway", pkg: gatewayPkg, test: "TestQuarantineCommands",
		edits: []edit{{
			"gateway/quarantinecommand.go",
			`return strings.EqualFold(name, "Sign")`,
			`return name == ""`,
		}},
	},
	{
		name: "many-floods-leave-nothing", promise: "quarantine", pkg: quarantinePkg, test: "TestManyFloodsInMemory",
		edits: []edit{{
			"gateway/internal/quarantine/offer.go",
			`(share+size > littlePending || `,
			`(share+size > 0 || `,
		}},
	},
	{
		name: "an-admit-holds-the-store", promise: "quarantine", pkg: quarantinePkg, test: "TestAdmitHoldsNobodyUp",
		edits: []edit{{
			"gateway/internal/quarantine/admit.go",
			"	a.s.mu.Unlock()\n	defer a.s.mu.Lock()\n",
			"",
		}},
	},
}
