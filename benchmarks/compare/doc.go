//go:build linux

// Compare measures the gateway beside a handler that only answers, in one run on one
// machine, so that what is read is the ratio and not the machine.
//
// The servers take turns in rounds: bare (fasthttp, answers the envelope, reads nothing),
// then the gateway at each ack level asked for, each as a process of its own that is
// started, warmed up, driven and stopped. Every server gets the same bytes from the same
// driver: one thread on epoll, keep-alive connections, each sending its next request when
// it has read the answer (closed loop). The driver costs little, but on two cores it is
// beside the server; a round in which it used its whole core says so, for then the
// server could have done more.
//
// Reported for each server: requests per second, latency percentiles, CPU seconds of the
// server process per million requests (from /proc, user and system), and the ratio of
// each to bare within the same round; the median of the rounds, with their spread. All of
// them are per answer of 200. A refusal (503 or 429 with the envelope: a stall of the disk
// can fill a batch) is counted apart, so that it never makes a server look fast: its time
// is in no latency, its CPU is shared by the 200s. A turn with more than 0.1 % of refusals
// says nothing about speed and is in no median; the table says so. Any other answer, and
// a closed connection, ends the run.
//
// The commands, the raw rounds and the table are written to the folder --out.
package main
