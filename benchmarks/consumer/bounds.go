//go:build linux

package main

import (
	"fmt"
	"strings"
)

// with says what was measured with, as far as it was measured.
func (b *bench) with() string {
	var text strings.Builder
	line := func(part, format string, args ...any) {
		if b.has(part) {
			fmt.Fprintf(&text, "- "+format+"\n", args...)
		}
	}
	prepared := func(part, figure string) float64 { return of(b.samples, part, "prepared", figure).Middle }
	for _, part := range []string{partSQLite, partPostgres} {
		line(part, "%s: %s over %s. %.0f rows there before, of %d days, filled in %.0f s; %.0f raw alarms of %.0f apps in %s, %s; %.0f of them were left afterwards.", part,
			fact(b.samples, part, factServer, "?"), fact(b.samples, part, factKafka, "?"), prepared(part, rowsBefore), filledDays, prepared(part, fillSeconds),
			prepared(part, backlogRecords), prepared(part, appsOf), "twelve partitions", made(prepared(part, backlogSeconds)), of(b.samples, part, "afterwards", lagLeft).Middle)
	}
	line(partLive, "live: %s, and %s. %.0f alarms each turn; every app climbs through all steps once.", fact(b.samples, partLive, factKafka, "?"),
		fact(b.samples, partLive, factAlertmanager, "?"), of(b.samples, partLive, variantReadable+" SQLite", samples).Middle)
	line(partRebalance, "rebalance: a session timeout of %s, which is no part of the figure, and %d alarms a second meanwhile.", session, steadyRate)
	return text.String()
}

// made says how long the backlog took to make.
func made(seconds float64) string {
	if seconds == 0 {
		return "those of the part before"
	}
	return fmt.Sprintf("made in %.0f s", seconds)
}

// has says whether there are samples of a part.
func (b *bench) has(part string) bool {
	for _, s := range b.samples {
		if s.Part == part {
			return true
		}
	}
	return false
}

// processorMicros is the time of all processors for an alarm at a rate.
func (b *bench) processorMicros(part, rate string) float64 {
	return 1e6 * of(b.samples, part, "prepared", processors).Middle / max(1, of(b.samples, part, "", rate).Middle)
}

// bounds says what bounds each figure: what is known of it, with this run's numbers.
func (b *bench) bounds() string {
	var text strings.Builder
	paragraph := func(part, format string, args ...any) {
		if b.has(part) {
			fmt.Fprintf(&text, format+"\n\n", args...)
		}
	}
	value := func(part, variant, figure string) float64 { return of(b.samples, part, variant, figure).Middle }
	paragraph(partSQLite, "**Alarms/s to SQLite**: SQLite has one writer, so that one batch at a time is between load and commit, whatever the partitions do. With that alone, and no other step, "+
		"the same rows take a bulk insert to %.0f/s. The processors were %.0f %% busy; the consumer used %.0f us of them for an alarm, of all its steps.",
		value(partSQLite, "", bulkPerSecond), value(partSQLite, "", machineBusy), value(partSQLite, "", cpuPerAlarm))
	paragraph(partPostgres, "**Over COPY**: the processors, %.0f %% busy. The consumer used %.0f us of them for an alarm, PostgreSQL, Kafka and the system's work for them the rest of %.0f us; "+
		"a COPY beside which nothing runs has all of them to itself, for the rows alone, and took %.0f us. It is one COPY by pgx's CopyFrom, which encodes the rows as the consumer has to, "+
		"into a table of the same partitions and indexes, with as many rows. What the kernel writes to the disk afterwards is in neither's turn. The store alone has no Kafka beside it, and no step before it.",
		value(partPostgres, "", machineBusy), value(partPostgres, "", cpuPerAlarm), b.processorMicros(partPostgres, alarmsPerSecond), b.processorMicros(partPostgres, copyPerSecond))
	paragraph(partSQLite, "**Memory**: what is in hand, not what waits. Of every partition there are one fetch, one queue and one batch with its rows and events, and two batches "+
		"for each processor are in the database at a time; Go's collector lets that double before it collects.")
	paragraph(partLive, "**Answered to readable**: two ways through Kafka, each with a p99 of %.1f ms when nothing else runs, up to 50 ms in which the gateway waits for more records of a partition, "+
		"a commit of the database, synced, and five times a second at most a commit of the offset before the partition's next batch begins. The processors, %s, are shared with Kafka, database and driver.",
		value(partLive, variantKafka, p99Millis), b.liveBusy())
	paragraph(partLive, "**Crossing to Alertmanager**: the worker looks for new notices every quarter of a second, and gives them to the channel's sender. A post alone has a p99 of %.0f ms.",
		value(partLive, variantDirect, p99Millis))
	paragraph(partRebalance, "**Stable to processing**: the assignment's way to the members, one question for where each partition begins, a connection and a fetch for each, and the first batch. "+
		"The soonest partition was there after %.0f ms where a member joins and %.0f ms where one is killed.", value(partRebalance, variantJoins, firstMillis), value(partRebalance, variantKilled, firstMillis))
	return strings.TrimSpace(text.String()) + "\n"
}

// liveBusy says how busy the machine was in the part live, over each database.
func (b *bench) liveBusy() string {
	var over []string
	for _, store := range []string{"SQLite", "PostgreSQL"} {
		if percent := of(b.samples, partLive, variantReadable+" "+store, machineBusy).Middle; percent > 0 {
			over = append(over, fmt.Sprintf("%.0f %% busy over %s", percent, store))
		}
	}
	return strings.Join(over, " and ")
}
