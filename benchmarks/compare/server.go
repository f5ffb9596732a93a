//go:build linux

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Apps and token of the driven callbacks: enough apps that no per-app structure is hot
// by accident, each connection one app.
const (
	firstApp = 1400000001
	appCount = 256
	token    = "compare-token"
)

// command is not the quota alarm's: that one has a bucket of its own per app, which a
// closed loop would only measure. The body is the alarm's all the same.
const command = "Group.CallbackAfterGroupInfoChanged"

// nowhere is a broker that is not there: Kafka away.
const nowhere = "127.0.0.1:1"

// server is one process under test.
type server struct {
	command *exec.Cmd
	address string
	output  string // path of what it printed
}

// starter starts servers, each in a folder of its own below dir.
type starter struct {
	dir, bin, brokers string
	body              int
}

// start starts the server called name: bare, memory, disk or broker.
func (s starter) start(name string) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.dir, name+"-")
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	srv := &server{address: address, output: filepath.Join(dir, "output")}
	if name == "bare" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("server: %w", err)
		}
		srv.command = exec.Command(self, "bare", "--listen", address)
	} else if srv.command, err = s.gateway(name, address, dir); err != nil {
		return nil, err
	}
	return srv, srv.run()
}

// gateway is the gateway's command line: the same callbacks, rate limits out of the way.
func (s starter) gateway(ack, address, dir string) (*exec.Cmd, error) {
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
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	brokers := s.brokers
	if brokers == "" {
		brokers = nowhere
	}
	return exec.Command(filepath.Join(s.bin, "gateway"), "--listen", address, "--admin-listen", admin, "--brokers", brokers,
		"--apps", filepath.Join(dir, "apps.yaml"), "--routes", filepath.Join(dir, "routes.yaml"), "--journal-dir", filepath.Join(dir, "journal"),
		"--drain-timeout", "0s", "--log-level", "warn"), nil
}

// run starts the process and waits until it takes connections.
func (s *server) run() error {
	out, err := os.Create(s.output)
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	defer out.Close()
	s.command.Stdout, s.command.Stderr = out, out
	s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.command.Start(); err != nil {
		return fmt.Errorf("server: %w (make build makes it)", err)
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", s.address); err == nil {
			return conn.Close()
		}
	}
	printed, _ := os.ReadFile(s.output)
	return errors.Join(fmt.Errorf("server: %s does not listen on %s:\n%s", s.command.Path, s.address, printed), s.stop())
}

// stop ends the process, by force when it does not end by itself within ten seconds.
func (s *server) stop() error {
	_ = s.command.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(10*time.Second, func() { _ = s.command.Process.Kill() })
	defer timer.Stop()
	_ = s.command.Wait() // how it ended says nothing here: bare ends by the signal
	return nil
}

// requests makes one request for each app, signed now, with a body of n bytes that is a
// quota alarm padded by white space.
func requests(address string, n int, now time.Time) [][]byte {
	second := strconv.FormatInt(now.Unix(), 10)
	sum := sha256.Sum256([]byte(token + second))
	all := make([][]byte, 0, appCount)
	for i := range appCount {
		body := fmt.Sprintf(`{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":7321,"Quota":10000,"EventTime":"%d"`, now.UnixMilli()+int64(i))
		body += strings.Repeat(" ", max(0, n-len(body)-1)) + "}"
		all = append(all, fmt.Appendf(nil, "POST /?SdkAppid=%d&CallbackCommand=%s&contenttype=json&ClientIP=192.0.2.7&OptPlatform=RESTAPI&RequestTime=%s&Sign=%s HTTP/1.1\r\n"+
			"Host: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", firstApp+i, command, second, hex.EncodeToString(sum[:]), address, len(body), body))
	}
	return all
}

func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("server: %w", err)
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}
