package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// adminShutdown is how long requests that are being answered may take when the listener
// closes.
const adminShutdown = time.Second

// Admin is the listener for those who run the process: health, metrics, and the pages that
// the binary adds. It has no authentication, so it listens on the loopback address unless
// told otherwise.
type Admin struct {
	listener net.Listener
	server   *http.Server
	mux      *http.ServeMux

	mu    sync.Mutex // guards pages
	pages []string   // patterns, for the list at /
}

// NewAdmin binds addr and registers the metrics of Go, of the process, of the build and of
// ready in reg. It serves, from Run on:
//
//	/livez            200 as long as the process answers at all
//	/readyz           200 or 503; with ?verbose what it is made of
//	/metrics          what is in reg
//
// The caller runs Run, which closes the listener.
func NewAdmin(addr string, reg *prometheus.Registry, ready *Readiness, log *zap.Logger) (*Admin, error) {
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	if err := errors.Join(registerBuildInfo(reg), ready.register(reg)); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("admin listener: %w", err)
	}
	a := &Admin{listener: listener, mux: http.NewServeMux()}
	errorLog, _ := zap.NewStdLogAt(log.Named("admin"), zap.WarnLevel) // fails for levels that do not exist
	a.server = &http.Server{
		Handler: a.mux, ErrorLog: errorLog, ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	a.mux.HandleFunc("GET /{$}", a.index)
	a.Handle("GET /livez", http.HandlerFunc(livez))
	a.Handle("GET /readyz", ready)
	a.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorLog: errorLog}))
	return a, nil
}

// Handle adds a page, at any time. pattern is that of http.ServeMux, such as "GET /apps";
// a pattern that is there already panics.
func (a *Admin) Handle(pattern string, h http.Handler) {
	a.mux.Handle(pattern, h)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pages = append(a.pages, pattern)
}

// Addr returns the address that was bound, with the port that the system chose for :0.
func (a *Admin) Addr() string { return a.listener.Addr().String() }

// Run serves until ctx ends and returns nil then; requests that are being answered have a
// second more. Any other end is an error.
func (a *Admin) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- a.server.Serve(a.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("admin listener: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminShutdown)
	defer cancel()
	if err := a.server.Shutdown(stop); err != nil {
		_ = a.server.Close() // whoever reads that slowly is cut off
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin listener: %w", err)
	}
	return nil
}

// Close closes the listener of an Admin that was never run.
func (a *Admin) Close() error { return a.listener.Close() }

func (a *Admin) index(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	pages := slices.Sorted(slices.Values(a.pages))
	a.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, page := range pages {
		fmt.Fprintln(w, page)
	}
}

func livez(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}

// IsAddress says whether net.Listen can be asked for address. The host is not looked up: a
// check must not depend on the machine that it runs on.
func IsAddress(address string) bool {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}
