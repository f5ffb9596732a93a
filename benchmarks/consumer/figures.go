//go:build linux

package main

import (
	"strings"

	"github.com/tidegate/tidegate/benchmarks/rounds"
)

// figure is a line of the table: where it is measured, and what is asked of it.
type figure struct {
	rounds.Goal
	part, variant, figure string
	scale                 float64 // what the sample's unit is multiplied with; 0: 1
}

// of returns what was measured.
func (f figure) of(all []sample) rounds.Spread {
	s := of(all, f.part, f.variant, f.figure)
	if f.scale != 0 {
		s.Middle, s.Least, s.Most = s.Middle*f.scale, s.Least*f.scale, s.Most*f.scale
	}
	return s
}

// least and most are figures that something is asked of; stated ones are not.
func least(what string, floor, goal float64, format, part, variant, name string) figure {
	return figure{Goal: rounds.Goal{What: what, Floor: floor, Goal: goal, Format: format}, part: part, variant: variant, figure: name}
}

func most(what string, floor, goal float64, format, part, variant, name string) figure {
	f := least(what, floor, goal, format, part, variant, name)
	f.Most = true
	return f
}

func stated(what, format, part, variant, name string) figure {
	return least(what, 0, 0, format, part, variant, name)
}

// figures are the lines of the table, those that something is asked of and what stands beside
// each.
func figures() []figure {
	live := func(variant, store string) string { return variant + " " + store }
	seconds := func(f figure) figure { f.scale = 0.001; return f }
	return []figure{
		least("alarms/s through all steps, rows to SQLite", 10_000, 25_000, "%.0f", partSQLite, "", alarmsPerSecond),
		stated("bulk insert of the same rows in the same transactions, and nothing else, alarms/s", "%.0f", partSQLite, "", bulkPerSecond),
		stated("through all steps over that", "%.2f", partSQLite, "", overBulk),
		least("the same to PostgreSQL, over COPY of the same rows", 0.4, 0.6, "%.2f", partPostgres, "", overCopy),
		stated("over COPY in the consumer's transactions, on two connections", "%.2f", partPostgres, "", overBulk),
		stated("over COPY of the same rows encoded beforehand", "%.2f", partPostgres, "", overRaw),
		stated("alarms/s through all steps, rows to PostgreSQL", "%.0f", partPostgres, "", alarmsPerSecond),
		stated("COPY of the same rows, alarms/s", "%.0f", partPostgres, "", copyPerSecond),
		stated("the store alone over COPY in its transactions, one worker", "%.2f", partStore, "1", overBulk),
		stated("the store alone over COPY in its transactions, two workers", "%.2f", partStore, "2", overBulk),
		most("backlog of raw alarms, SQLite: most resident, MiB", 256, 128, "%.0f", partSQLite, "afterwards", peakMiB),
		most("backlog of raw alarms, PostgreSQL: most resident, MiB", 256, 128, "%.0f", partPostgres, "afterwards", peakMiB),
		most("answered to readable, SQLite, p99, ms", 150, 60, "%.1f", partLive, live(variantReadable, "SQLite"), p99Millis),
		most("answered to readable, PostgreSQL, p99, ms", 150, 60, "%.1f", partLive, live(variantReadable, "PostgreSQL"), p99Millis),
		stated("a record through Kafka alone, once, p99, ms", "%.1f", partLive, variantKafka, p99Millis),
		stated("the gateway's answer, SQLite, p99, ms", "%.1f", partLive, live(variantAnswer, "SQLite"), p99Millis),
		seconds(most("crossing to Alertmanager, SQLite, p99, s", 3, 1, "%.3f", partLive, live(variantCrossing, "SQLite"), p99Millis)),
		seconds(most("crossing to Alertmanager, PostgreSQL, p99, s", 3, 1, "%.3f", partLive, live(variantCrossing, "PostgreSQL"), p99Millis)),
		seconds(stated("a post to Alertmanager alone, p99, s", "%.3f", partLive, variantDirect, p99Millis)),
		seconds(most("generation stable to processing again, a second consumer joins, the last partition, s", 3, 1, "%.3f", partRebalance, variantJoins, worstMillis)),
		seconds(most("generation stable to processing again, it is killed, the last partition, s", 3, 1, "%.3f", partRebalance, variantKilled, worstMillis)),
	}
}

// goalTable is the figures as Markdown.
func goalTable(all []sample) string {
	var b strings.Builder
	b.WriteString("| figure | not resolved below | goal | measured | verdict |\n|---|---|---|---|---|\n")
	for _, f := range figures() {
		b.WriteString(f.Row(f.of(all)))
	}
	return b.String()
}
