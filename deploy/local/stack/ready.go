package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	fetchWait = 100 * time.Millisecond // of a reader at the end of a topic
	pollEvery = 50 * time.Millisecond  // between two questions for readiness
)

// readyClient asks one question at a time and keeps no connection: a child that was killed
// is asked anew.
var readyClient = &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// Ready waits until the child says that it is ready. ErrNotReady, with its last answer,
// when ctx ends; an error that wraps ErrExited when the child ended instead.
func (c *Child) Ready(ctx context.Context) error {
	p := c.current()
	if p == nil {
		return fmt.Errorf("wait for %s: never started: %w", c.name, ErrState)
	}
	if c.ready == "" {
		return nil
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	last := "no answer yet"
	for {
		said, ok := ask(ctx, c.ready)
		if ok {
			return nil
		}
		if ctx.Err() == nil {
			last = said
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return c.exited(p.err)
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %s", c.name, ErrNotReady, last)
		}
	}
}

// ask returns what url answered, and whether that was 200.
func ask(ctx context.Context, url string) (said string, ok bool) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err.Error(), false
	}
	answer, err := readyClient.Do(request)
	if err != nil {
		return err.Error(), false
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil {
		return err.Error(), false
	}
	return answer.Status + " " + strings.TrimSpace(string(text)), answer.StatusCode == http.StatusOK
}

// FreeAddress returns an address of the loopback, HOST:PORT, that nobody listens on at this moment.
// Whoever binds it next has it; it is none that a client's connection is given by the system.
func FreeAddress() (string, error) {
	addresses, err := FreeAddresses(1)
	if err != nil {
		return "", err
	}
	return addresses[0], nil
}

// Ports of FreeAddresses: below those that Linux (ip_local_port_range, from 32768) and Darwin (from
// 49152) give to connections, of which there are always some to take a port that was free a moment ago.
const firstPort, lastPort = 20_000, 32_000

// FreeAddresses returns n different ones.
func FreeAddresses(n int) ([]string, error) {
	addresses := make([]string, 0, n)
	for tries := 0; len(addresses) < n; tries++ {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(lastPort-firstPort))) //nolint:gosec // no secret
		listener, err := net.Listen("tcp", address)
		switch {
		case err == nil:
			defer listener.Close() // when all are found: so that they differ
			addresses = append(addresses, address)
		case !errors.Is(err, syscall.EADDRINUSE) || tries > 1000*n:
			return nil, fmt.Errorf("find a free port: %w", err)
		}
	}
	return addresses, nil
}
