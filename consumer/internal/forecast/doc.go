// Package forecast measures the forecasts of quota: it plays the alarms of whole periods, saved
// or generated, through the rules, and compares when they said that the cap would be reached
// with when it was.
//
//	saved alarms or Generate ─▶ []Alarm of one app ─▶ Play ─▶ []Run, one a period ─▶ Summarize
//
// What it is held against is the naive rule: the average since the period's start goes on. Both
// see the same alarms, and are compared at those for which quota has a forecast.
//
// It is pure: no clock, no I/O. Generated periods are the same on every machine and in every
// release, as their random numbers come from fixed seeds.
package forecast
