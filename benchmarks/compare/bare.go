//go:build linux

package main

import (
	"crypto/tls"
	"fmt"
	"net"

	"github.com/valyala/fasthttp"
)

// bareCommand serves the bare handler, in a process of its own, until it is killed.
type bareCommand struct {
	Listen string `required:"" help:"Address to listen on, on loopback."`
	Cert   string `help:"PEM file with a certificate: TLS at --listen."`
	Key    string `help:"PEM file with its key."`
	Plain  string `help:"Address for plain HTTP beside it, to ask whether it is ready."`
}

// Run listens and answers every request with the envelope, the same headers as the
// gateway's, without looking at anything.
func (b bareCommand) Run() error {
	if b.Cert == "" {
		return serve(b.Listen, nil, func() {})
	}
	certificate, err := tls.LoadX509KeyPair(b.Cert, b.Key)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	failed := make(chan error, 2)
	go func() { failed <- serve(b.Plain, nil, func() {}) }()
	go func() {
		failed <- serve(b.Listen, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}, func() {})
	}()
	return <-failed
}

// serve answers every request with the envelope once wait returned, over TLS where there is a
// config.
func serve(address string, config *tls.Config, wait func()) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	if config != nil {
		ln = tls.NewListener(ln, config)
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
