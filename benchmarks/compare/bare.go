//go:build linux

package main

import (
	"fmt"
	"net"

	"github.com/valyala/fasthttp"
)

// bareCommand serves the bare handler, in a process of its own, until it is killed.
type bareCommand struct {
	Listen string `required:"" help:"Address to listen on, on loopback."`
}

// Run listens and answers every request with the envelope, the same headers as the
// gateway's, without looking at anything.
func (b bareCommand) Run() error { return serve(b.Listen, func() {}) }

// serve answers every request with the envelope once wait returned.
func serve(address string, wait func()) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	body := []byte(envelope)
	server := fasthttp.Server{
		NoDefaultServerHeader: true,
		Handler: func(ctx *fasthttp.RequestCtx) {
			wait()
			ctx.SetContentType("application/json")
			ctx.Response.SetBodyRaw(body)
		},
	}
	if err := server.Serve(ln); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
