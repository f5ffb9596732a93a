// Package process is what both binaries need to be well-behaved processes: signals, an
// orderly stop, the admin listener, readiness, logs, the command line, what a check prints,
// and what build this is.
//
// A binary makes a Process first. Whatever it opens, it registers how to stop in the same
// breath (OnStop, or Go for what runs), so that a start that fails half-way undoes exactly
// what it did; Start does the opening, and a signal gives it up. Run waits for SIGINT,
// SIGTERM or the first error and then takes the stop steps in reverse order: what was
// opened last depends on what was opened before, so it goes first. All steps share one time
// budget. A second SIGINT or SIGTERM exits at once: what that leaves behind must be what a
// crash would leave.
package process
