package main

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// target is where callbacks go, as the request line and the dialler want it.
type target struct {
	addr string // host:port to dial, an address of the loopback
	host string // for the Host header
	path string // begins with a slash
}

// parseTarget reads --url. Only http to this machine is taken: the host must be localhost
// or a loopback address. There is no override, because a generator of signed callbacks at
// full speed is no tool to point at somebody else's machine.
func parseTarget(text string) (target, error) {
	u, err := url.Parse(text)
	if err != nil {
		return target{}, fmt.Errorf("--url: %w", err)
	}
	if u.Scheme != "http" || u.Host == "" {
		return target{}, fmt.Errorf("--url %q: want http://127.0.0.1:PORT/PATH", text)
	}
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return target{}, fmt.Errorf("--url %q: the vendor's URL has a path at most; query and user are not taken", text)
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "80"
	}
	if strings.EqualFold(host, "localhost") {
		host = "127.0.0.1"
	}
	address, err := netip.ParseAddr(host)
	if err != nil || !address.IsLoopback() {
		return target{}, fmt.Errorf("--url %q: %s is not on this machine; load talks to loopback only (127.0.0.1, ::1, localhost)", text, u.Hostname())
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return target{addr: net.JoinHostPort(host, port), host: u.Host, path: path}, nil
}
