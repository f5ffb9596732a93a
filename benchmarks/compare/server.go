//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidegate/tidegate/benchmarks/drive"
	"github.com/tidegate/tidegate/deploy/local/stack"
)

// Servers that know no Kafka and no disk; every other name is an ack level of the gateway.
const (
	bareServer = "bare"
	parkServer = "park"
	diskServer = "disk" // the gateway's default
)

// server is one process under test.
type server struct {
	child   *stack.Child
	address string
	admin   string // address of the gateway's admin listener; empty: none
	output  string // path of what it printed
}

// starter starts servers, each in a folder of its own.
type starter struct {
	bin  string        // folder of the gateway binary
	wait time.Duration // of park
	pair pair          // of servers over TLS
}

// isGateway says whether the server called name is the gateway.
func isGateway(name string) bool { return name != bareServer && name != parkServer }

// start starts the server called name with its files in dir, over TLS or not, and returns when it
// answers.
func (s starter) start(ctx context.Context, name, dir, brokers string, tls bool) (*server, error) {
	addresses, err := stack.FreeAddresses(2)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	address, second := addresses[0], addresses[1]
	srv := &server{address: address, output: filepath.Join(dir, name+".log")}
	options := stack.ChildOptions{Name: name, Ready: "http://" + address + "/"}
	switch name {
	case bareServer:
		options.Args = []string{"bare", "--listen", address}
		if tls {
			options.Ready = "http://" + second + "/"
			options.Args = append(options.Args, "--plain", second, "--cert", s.pair.cert, "--key", s.pair.key)
		}
	case parkServer:
		options.Args = []string{"park", "--listen", address, "--wait", s.wait.String()}
	default:
		srv.admin = second
		options.Path, options.Ready = filepath.Join(s.bin, "gateway"), "http://"+srv.admin+"/readyz"
		if options.Args, err = gatewayArgs(name, srv, dir, brokers); err != nil {
			return nil, err
		}
		if tls {
			options.Args = append(options.Args, "--tls-cert", s.pair.cert, "--tls-key", s.pair.key)
		}
	}
	if srv.child, err = drive.Launch(ctx, options, srv.output); err != nil {
		return nil, err
	}
	return srv, nil
}

// gatewayArgs are the gateway's arguments: the same callbacks, rate limits out of the way.
func gatewayArgs(ack string, srv *server, dir, brokers string) ([]string, error) {
	var apps strings.Builder
	apps.WriteString("defaults: {rate_limit: {per_second: 10000000, burst: 10000000}}\napps:\n")
	for i := range appCount {
		fmt.Fprintf(&apps, "  - {sdk_app_id: %d, name: App %d, tokens: [\"plain:%s\"]}\n", firstApp+i, i, token)
	}
	routes := "routes:\n  - {command: \"*\", topic: im.callbacks.raw, ack: " + ack + "}\n"
	for name, text := range map[string]string{"apps.yaml": apps.String(), "routes.yaml": routes} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("server: %w", err)
		}
	}
	return []string{
		"--listen", srv.address, "--admin-listen", srv.admin, "--brokers", brokers, "--gateway-name", "compare",
		"--apps", filepath.Join(dir, "apps.yaml"), "--routes", filepath.Join(dir, "routes.yaml"), "--journal-dir", filepath.Join(dir, "journal"),
		"--drain-timeout", "0s", "--log-level", "warn",
	}, nil
}

// kill ends the process: nothing that it holds is wanted.
func (s *server) kill() error {
	if err := s.child.Kill(); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	return nil
}
