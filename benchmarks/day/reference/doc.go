// Package reference computes what the consumer has to make of the raw alarms of a day: rows,
// dead letters and notices. It is written apart from the product's code, from the written rules
// and with nothing but the standard library, one record after the other, in maps and loops: it
// is the second opinion that the product is held against, and where the two differ, the
// documents decide.
//
// The rules are those of docs/contract.md and of the README's chapters about periods and
// notices. Where they leave a number open, these hold here:
//
//   - An alarm more than 15 minutes old at receipt is late, and so is one of an ended period.
//   - EventTime more than 5 minutes ahead of receipt is not believed: receipt is used.
//   - A period ends by the app's midnight, by a fall of a tenth of the cap, by a raised cap. A
//     fall is from the last alarm in order to this one, and the cap is this one's.
//   - The first period of a date has the whole date, the later ones begin with their first alarm.
//   - A rate takes, of each half minute since 1970, the last point, of these the ones within 30
//     minutes before the alarm and not more than 30 before the period's newest, at most 60.
//   - Of the eight step notices in 24 hours one is kept for each higher step, exhausted included.
//   - Of dates that are over, the last eight are remembered with the highest step told of them.
package reference
