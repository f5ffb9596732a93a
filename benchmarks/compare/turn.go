//go:build linux

package main

import (
	"fmt"
	"strings"
)

const (
	// driverBound is the share of its core above which the driver, not the server, may
	// have been the limit of a turn.
	driverBound = 0.95

	// lateBound is the share of the 99th percentile of an open loop's latency above which
	// that percentile tells of the driver, which sent late, and not of the server.
	lateBound = 0.5

	// refusedBound is the share of refused answers above which a turn says nothing about
	// speed: the server was kept from its work, by a disk or a broker that stood still.
	refusedBound = 0.001
)

// turn is one server's figures in one round, as written to the raw file.
type turn struct {
	Scenario string `json:"scenario"`
	Server   string `json:"server"`
	cell
	Round            int     `json:"round"`
	CountedSeconds   float64 `json:"counted_seconds"`
	RequestsPerSec   float64 `json:"requests_per_second"` // answered 200
	RefusedShare     float64 `json:"refused_share"`       // of all answers
	Refusal          string  `json:"refusal,omitempty"`   // the first one's envelope
	Unanswered       int64   `json:"unanswered,omitempty"`
	P50Micros        int64   `json:"p50_us"`
	P99Micros        int64   `json:"p99_us"`
	P999Micros       int64   `json:"p99_9_us"`
	ServerCPUMicros  float64 `json:"server_cpu_us_per_request"` // the same number as seconds per million
	ServerRSS        int64   `json:"server_rss_bytes"`
	DriverCore       float64 `json:"driver_core_share"`
	DriverLateMicros int64   `json:"driver_late_p99_us,omitempty"`
	journalUse
	CaughtUpSeconds float64 `json:"caught_up_seconds,omitempty"` // after Kafka's return; 0: not within the turn
	SyncMicros      float64 `json:"fdatasync_us"`                // of this disk, at the start of the run
}

// measured fills in what the driver saw.
func (t turn) measured(o outcome) turn {
	t.CountedSeconds, t.ServerRSS, t.Refusal, t.Unanswered = o.elapsed.Seconds(), o.serverRSS, o.refusal, o.unanswered
	t.DriverCore = o.driverCPU.Seconds() / o.elapsed.Seconds()
	if o.lateness != nil {
		t.DriverLateMicros = o.lateness.ValueAtQuantile(99)
	}
	if all := o.accepted + o.refused; all > 0 {
		t.RefusedShare = float64(o.refused) / float64(all)
	}
	if o.accepted == 0 {
		return t
	}
	t.RequestsPerSec = float64(o.accepted) / o.elapsed.Seconds()
	t.ServerCPUMicros = float64(o.serverCPU.Nanoseconds()) / 1000 / float64(o.accepted)
	t.P50Micros, t.P99Micros, t.P999Micros = o.latency.ValueAtQuantile(50), o.latency.ValueAtQuantile(99), o.latency.ValueAtQuantile(99.9)
	return t
}

// speaks says whether the turn's figures are about speed.
func (t turn) speaks() bool { return t.RequestsPerSec > 0 && t.RefusedShare <= refusedBound }

// driverLimited says whether the load generator, not the server, was the limit.
func (t turn) driverLimited() bool {
	return t.DriverCore >= driverBound || t.Rate > 0 && float64(t.DriverLateMicros) > lateBound*float64(t.P99Micros)
}

// String is the line that is printed while measuring.
func (t turn) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "round %d  %-27s %-7s %8.0f/s  p50 %6d us  p99 %7d us  cpu %6.2f us  rss %4d MiB",
		t.Round+1, t.cell, t.Server, t.RequestsPerSec, t.P50Micros, t.P99Micros, t.ServerCPUMicros, t.ServerRSS>>20)
	if t.EntriesPerSync > 0 {
		fmt.Fprintf(&b, "  %5.0f syncs/s of %4.0f", t.SyncsPerSec, t.EntriesPerSync)
	}
	if t.CaughtUpSeconds > 0 {
		fmt.Fprintf(&b, "  caught up after %.1f s", t.CaughtUpSeconds)
	}
	if t.driverLimited() {
		fmt.Fprintf(&b, "  (the driver was the limit: %.0f %% of its core, late by %d us)", 100*t.DriverCore, t.DriverLateMicros)
	}
	if t.Unanswered > 0 {
		fmt.Fprintf(&b, "  %d not answered", t.Unanswered)
	}
	if t.RefusedShare > 0 {
		fmt.Fprintf(&b, "  refused %.3f %%, first %s", t.RefusedShare*100, t.Refusal)
	}
	if !t.speaks() {
		b.WriteString(" (says nothing about speed)")
	}
	return b.String()
}
