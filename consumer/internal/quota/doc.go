// Package quota holds the rules about one app's daily group quota: what period an alarm
// belongs to, which step it reached, how fast the quota is used up and when it will be
// gone, and what a person is told of it.
//
// It is pure. It reads no clock, opens nothing and keeps nothing between calls: the
// state of an app is a Period, which the caller loads, passes through and saves, so
// that the database row is the only state and a rollback undoes everything.
//
//	alarm ─▶ Period.Apply ─▶ Period', EnrichedAlarm, notices offered
//	                                   all notices offered in a batch ─▶ Reduce ─▶ notices told
//
// # What the vendor's calls allow
//
// The vendor calls only above 70 % of the cap, when a group is created, once or
// thousands of times a day, and does not say when its day begins. So nothing follows
// from silence, a period ends only when an alarm of the next one arrives, and where the
// rules have to guess they guess so that a person is told twice rather than never.
//
// # Late
//
// An event says late where the alarm was older than 15 minutes at receipt, or of a period
// that had ended: a fact of the alarm, the same whenever it is handled. Whether a step is
// still news is asked once more when people are told, against the time of telling: after
// Kafka was away, or in a replay, an alarm that was received in time is hours old, and
// its step goes into the digest. A digest does not count as the step's announcement: the
// next alarm that is news announces it.
//
// # Invariants
//
//   - The state moves forward only, ordered by (event time, alarm id). An alarm that is
//     not after the last one can complete the state (a rate point, a higher step), never
//     move it back, open a period or end one.
//   - Applying an alarm again changes nothing and offers nothing that was told.
//   - No number that leaves the package is NaN or infinite.
//   - In a period each step is told once, and after a whole batch only the highest.
package quota
