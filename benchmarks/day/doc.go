// Package day plays a day of callbacks through the real binaries and holds what came of it to a
// computation that is written apart from them.
//
//	plan ──▶ gateway ──▶ Kafka ──▶ consumers ──▶ database, im.alarms, im.alarms.dlq ──┐
//	                       │        (killed, stopped, added)  └──▶ relay ──▶ Alertmanager ──┤
//	                       └──▶ reference: rows, dead letters, notices, alerts ◀── equal? ──┘
//
// As a test it is a small day with an embedded broker, SQLite and a stand-in for Alertmanager;
// `make day` plays the whole one (300 apps, 400,000 callbacks) with three nodes of Kafka,
// PostgreSQL and Alertmanager, and writes benchmarks/results/day.md.
//
// # Time
//
// The binaries go by a clock that the test sets (package clock), so that the day is a day: what
// is news when it is received is news, midnights pass, and eight notices in 24 hours are not
// five minutes' worth. Alertmanager goes by the machine's clock: the relay before it moves the
// times of what is posted by the difference of the two clocks, and nothing else. So what a midnight
// ended while the clock was moved on stands there until it is five minutes old by its own clock.
//
// # What is compared
//
// Raw records: each app's bodies, in order, none twice, none missing. Rows: one for each alarm,
// every field of its event, deliveries, and the columns beside them. Events: at least one of
// each row, all with the row's bytes. Dead letters, in the table and in the topic: place, reason,
// key, bytes, headers. Notices: app, period, kind, step, and the alarm that each is of. Alerts:
// after every wave, Alertmanager has what was told and stands, with equal labels, and nothing
// that is over or that nobody should be told.
//
// Left out, as it depends on the moment or is words: when rows were written; the message of a
// dead letter; the number of alarms that a digest stands for, which is of a batch, and the
// batch's end depends on the machine; the alarm of a forecast notice, which is the last of its
// batch (it has to be one of the period that says that the cap is reached within the hour); what
// alerts say beside their labels and their period. A rate may differ by 0.01 groups an hour and a time of
// exhaustion by a millisecond: both come from floating point, summed up in another order.
package day
