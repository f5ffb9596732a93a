//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tidegate/tidegate/benchmarks/drive"
	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/internal/kafkaconn"
)

// Scenarios: what Kafka does while the servers are measured.
const (
	kafkaAway      = "away"
	kafkaThere     = "there"
	kafkaReturning = "returning" // away for some seconds, counted from its return on
)

// kafkaCommand serves an embedded broker, in a process of its own so that it shares no
// scheduler with the driver, until it is asked to end.
type kafkaCommand struct {
	Port    int    `required:"" help:"Port to listen on, on loopback."`
	DataDir string `required:"" help:"Folder of its data; a broker that is started again on it goes on where it was."`
}

// Run serves until SIGTERM or SIGINT.
func (k kafkaCommand) Run() error {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT)
	broker, err := stack.StartBroker(stack.BrokerOptions{DataDir: k.DataDir, Ports: []int{k.Port}})
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	<-asked
	broker.Stop()
	return nil
}

// broker is an embedded broker as a child. Its methods are called one after the other.
type broker struct {
	address string
	child   *stack.Child
}

// startBroker starts one with its data in dir and makes the topics.
func startBroker(ctx context.Context, dir string) (*broker, error) {
	address, err := stack.FreeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := strings.Cut(address, ":") // there is one
	b := &broker{address: address}
	args := []string{"kafka", "--port", port, "--data-dir", filepath.Join(dir, "kafka")}
	if b.child, err = drive.Launch(ctx, stack.ChildOptions{Name: "kafka", Args: args}, filepath.Join(dir, "kafka.log")); err != nil {
		return nil, err
	}
	if err := b.listens(ctx); err != nil {
		return nil, errors.Join(err, b.child.Kill())
	}
	if err := makeTopics(ctx, address); err != nil {
		return nil, errors.Join(err, b.child.Kill())
	}
	return b, nil
}

func makeTopics(ctx context.Context, brokers string) error {
	ctx, cancel := context.WithTimeout(ctx, drive.Starting)
	defer cancel()
	if err := stack.CreateTopics(ctx, kafkaconn.Flags{Brokers: []string{brokers}}, stack.DefaultPartitions); err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	return nil
}

// leave ends the broker; what it has answered stays.
func (b *broker) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drive.Starting)
	defer cancel()
	if err := b.child.Stop(ctx); err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	return nil
}

// comeBack starts it again and returns when it listens.
func (b *broker) comeBack(ctx context.Context) error {
	if err := b.child.Start(); err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	return b.listens(ctx)
}

func (b *broker) listens(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drive.Starting)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp", b.address); err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case err := <-b.child.Unasked():
			return fmt.Errorf("kafka: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("kafka: the embedded broker does not listen on %s after %s", b.address, drive.Starting)
		}
	}
}

// catchUp waits until the gateway has no more in its journal than settled, and returns how
// long after from that was; 0 when it was not within patience. The scrapes, five a second,
// are the gateway's work.
func catchUp(ctx context.Context, admin string, settled float64, from time.Time, patience time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithDeadline(ctx, from.Add(patience))
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := scrape(admin)
		if err != nil {
			return 0, err
		}
		if s.waiting <= settled {
			return s.at.Sub(from), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, nil
		}
	}
}
