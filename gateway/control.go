package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/internal/process"
)

// socketName is the control socket's, in the journal's directory.
const socketName = "control.sock"

// maxSocketPath is the longest path in a socket address: 107 bytes on Linux, 103 on macOS.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// control serves what changes a live gateway, and its profiles, to its own user: HTTP on a Unix
// socket (0600) in the journal's directory.
//
//	/debug/pprof/         profiles
//	/journal/skip         GET: the entry as it would be kept; POST: settle it
//	/journal/replay       POST: deliver again
//	/journal/limit        GET: the budget; POST: change it until the next start
//	/quarantine/admit     POST: let out what passes now, of one app; see quarantine.go
type control struct {
	delivery  *delivery
	log       *zap.Logger
	path      string
	replaying sync.Mutex // held by the one replay that runs
	more      []func(*http.ServeMux)
}

// openControl serves the control socket of the journal in dir, whose LOCK this process holds.
// A gateway without it still takes callbacks, so that a failure is one warning and no error. more
// add what others serve there.
func openControl(p *process.Process, d *delivery, dir string, log *zap.Logger, more ...func(*http.ServeMux)) {
	c := &control{delivery: d, log: log, more: more, path: filepath.Join(process.Absolute(dir), socketName)}
	listener, err := listenSocket(dir)
	if err != nil {
		log.Warn("no control socket: journal skip, replay, limit and profiles do not reach this gateway", zap.String("path", c.path), zap.Error(err))
		return
	}
	log.Info("control socket", zap.String("path", c.path))
	p.Go("control", func(ctx context.Context) error {
		c.serve(ctx, listener)
		return nil
	})
}

// serve answers until ctx ends, ends then what still runs, and removes the socket.
func (c *control) serve(ctx context.Context, listener net.Listener) {
	errorLog, _ := zap.NewStdLogAt(c.log, zap.WarnLevel) // fails for levels that do not exist
	server := &http.Server{
		Handler: c.handler(), ErrorLog: errorLog, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer os.Remove(c.path)
	select {
	case err := <-served:
		c.log.Error("control socket ended", zap.Error(err))
		return
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if server.Shutdown(stop) != nil {
		_ = server.Close() // a profile that is being taken is cut off
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		c.log.Warn("control socket ended badly", zap.Error(err))
	}
}

func (c *control) handler() http.Handler {
	mux := http.NewServeMux()
	handleProfiles(mux)
	mux.HandleFunc("GET /journal/skip", c.showSkippable)
	mux.HandleFunc("POST /journal/skip", c.skip)
	mux.HandleFunc("POST /journal/replay", c.replay)
	mux.HandleFunc("GET /journal/limit", c.showLimit)
	mux.HandleFunc("POST /journal/limit", c.setLimit)
	for _, add := range c.more {
		add(mux)
	}
	return mux
}

// listenSocket binds the control socket, in place of one that a killed process left.
func listenSocket(dir string) (net.Listener, error) {
	path := filepath.Join(dir, socketName)
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is in the way: it is no socket", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	address, release, err := socketAddress(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	// On Linux the file gets the socket's own mode, so that it is never open to others; where
	// that does not work, its mode is changed right after.
	private := net.ListenConfig{Control: func(_, _ string, conn syscall.RawConn) error {
		return conn.Control(func(fd uintptr) { _ = unix.Fchmod(int(fd), 0o600) })
	}}
	listener, err := private.Listen(context.Background(), "unix", address)
	if err != nil {
		return nil, err
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false) // address may mean nothing then
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		_ = os.Remove(path) // not left open to others
		return nil, err
	}
	return listener, nil
}

// socketAddress returns a name of dir's control socket that is short enough for a socket
// address; it holds until release is called.
func socketAddress(dir string) (address string, release func(), err error) {
	path := filepath.Join(process.Absolute(dir), socketName)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	if wd, err := os.Getwd(); err == nil {
		if relative, err := filepath.Rel(wd, path); err == nil && len(relative) <= maxSocketPath {
			return relative, func() {}, nil
		}
	}
	if runtime.GOOS != "linux" {
		return "", nil, fmt.Errorf("%s is longer than the %d bytes of a socket address", path, maxSocketPath)
	}
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), socketName), func() { f.Close() }, nil
}

// errNoGateway says that nobody answers at a journal's control socket.
var errNoGateway = errors.New("no gateway runs on this journal")

// controlClient talks to the gateway that runs on a journal.
type controlClient struct {
	http    *http.Client
	release func()
}

// dialControl finds the gateway that runs on the journal in dir. errNoGateway: there is none;
// other errors say what to do. The caller calls close.
func dialControl(ctx context.Context, dir string) (*controlClient, error) {
	address, release, err := socketAddress(dir)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", address)
	}
	conn, err := dial(ctx, "", "")
	if err == nil {
		conn.Close()
		return &controlClient{http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}, release: release}, nil
	}
	release()
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, errNoGateway
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the gateway's control socket is closed to this user, so run this as the gateway's: %w", err)
	}
	return nil, fmt.Errorf("reach the gateway: %w", err)
}

func (c *controlClient) close() { c.release() }

// call sends a request and returns the body of a 200, which the caller closes. Another answer's
// text is the error.
func (c *controlClient) call(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask the gateway: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the gateway: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil || len(text) == 0 {
		return nil, fmt.Errorf("the gateway answered %s: %w", response.Status, err)
	}
	return nil, errors.New(strings.TrimSpace(string(text)))
}

// follow reads the reports of something that takes a while into report, one a line, until the last:
// ending says whether that is done, or failed and why. each is called after the others.
func follow[T any](body io.Reader, report *T, ending func(*T) (done bool, failed string), each func()) error {
	for decoder := json.NewDecoder(body); ; each() {
		next := new(T)
		switch err := decoder.Decode(next); {
		case errors.Is(err, io.EOF):
			return errors.New("the gateway stopped")
		case err != nil:
			return fmt.Errorf("read the gateway's answer: %w", err)
		}
		*report = *next
		switch done, failed := ending(report); {
		case failed != "":
			return errors.New(failed)
		case done:
			return nil
		}
	}
}

// openedElsewhere explains that a journal cannot be opened although nobody answers at its
// control socket.
func openedElsewhere(dir string, err error) error {
	return fmt.Errorf("nobody answers at %s, but a process has the journal open: a drain, or a gateway whose log says why it has no control socket; stop it and run this again: %w",
		filepath.Join(process.Absolute(dir), socketName), err)
}

// writeJSON answers a request of the control socket.
func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // whoever asked is gone
}
