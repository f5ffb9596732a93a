//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tidegate/tidegate/benchmarks/drive"
)

// measurement is a run that has been prepared.
type measurement struct {
	runCommand
	counted   time.Duration // of each turn
	fdatasync time.Duration
	work      string // folder for everything that is written while measuring
	starter   starter
}

// rounds gives every server its turn in every cell, round by round.
func (m measurement) rounds(ctx context.Context) ([]turn, error) {
	var turns []turn
	for round := range m.Rounds {
		for _, c := range m.cells() {
			for _, name := range m.serversIn(c) {
				if ctx.Err() != nil {
					return nil, fmt.Errorf("compare: interrupted after %d turns", len(turns))
				}
				t := turn{Scenario: m.Scenario, Server: name, cell: c, Round: round, SyncMicros: float64(m.fdatasync.Nanoseconds()) / 1000}
				t, err := m.turn(ctx, t)
				if err != nil {
					return nil, fmt.Errorf("compare: %s at %s: %w", name, c, err)
				}
				fmt.Println(t)
				turns = append(turns, t)
			}
		}
	}
	return turns, nil
}

// turn gives t.Server its turn and returns t with its figures. Nothing of it is left, no
// process and no file.
func (m measurement) turn(ctx context.Context, t turn) (_ turn, err error) {
	dir, err := os.MkdirTemp(m.work, t.Server+"-")
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, settleDisk(m.work, dir)) }()
	brokers, kafka := drive.Nowhere, (*broker)(nil)
	if m.Brokers != "" {
		brokers = m.Brokers
	} else if m.Scenario != kafkaAway && isGateway(t.Server) {
		if kafka, err = startBroker(ctx, dir); err != nil {
			return t, err
		}
		defer func() { err = errors.Join(err, kafka.child.Kill()) }()
		brokers = kafka.address
	}
	srv, err := m.starter.start(ctx, t.Server, dir, brokers, t.TLS)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, srv.kill()) }()
	t, err = m.drive(ctx, t, srv, kafka)
	if err != nil {
		err = drive.Explain(err, srv.output)
	}
	return t, err
}

// drive drives srv through the stages of the scenario.
func (m measurement) drive(ctx context.Context, t turn, srv *server, kafka *broker) (turn, error) {
	var before sample
	var caughtUp time.Duration
	stages := []stage{{length: m.Warmup}}
	returning := m.Scenario == kafkaReturning && kafka != nil
	if returning {
		stages = append(stages, stage{length: m.Outage, begin: func() error { return kafka.leave(ctx) }})
	}
	stages = append(stages, stage{length: m.counted, begin: func() (err error) {
		end := time.Now().Add(m.counted)
		if srv.admin != "" {
			if before, err = scrape(srv.admin); err != nil {
				return err
			}
		}
		if returning {
			if err = kafka.comeBack(ctx); err != nil {
				return err
			}
			now := time.Now()
			// In a quarter of a second's arrivals there is what is on its way at any time.
			caughtUp, err = catchUp(ctx, srv.admin, float64(t.Rate)/4, now, end.Sub(now))
		}
		return err
	}})
	seen, err := load{
		address: srv.address, requests: requests(srv.address, t.Body, time.Now()), conns: t.Connections, rate: float64(t.Rate),
		stages: stages, pid: srv.child.PID(), tls: m.starter.pair.client(t.TLS),
	}.run()
	if err != nil {
		return t, err
	}
	t = t.measured(seen)
	t.CaughtUpSeconds = caughtUp.Seconds()
	if srv.admin != "" {
		after, err := scrape(srv.admin)
		if err != nil {
			return t, err
		}
		t.journalUse = after.since(before)
	}
	return t, nil
}
