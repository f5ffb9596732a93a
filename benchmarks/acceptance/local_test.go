package acceptance

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What `make run` does: alarms and notices within a minute, and a clean stop on Ctrl-C.
func TestDemoShowsAlarmsAndStopsCleanly(t *testing.T) {
	if given(t) != nil {
		t.Skip("the demo brings its own broker")
	}
	for _, name := range []string{"gateway", "consumer", "load"} {
		bin(t, name)
	}
	address := freeAddress(t)
	data := t.TempDir()
	t.Cleanup(func() { logsOfFailed(t, data) })
	command := exec.Command(bin(t, "local"), "--demo", "--demo-rate=20", "--gateway-listen="+address, "--data-dir="+data)
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { command.Process.Kill() })
	overdue := time.AfterFunc(time.Minute, func() { command.Process.Kill() })
	defer overdue.Stop()

	alarm := regexp.MustCompile(`^\d\d:\d\d:\d\d  (Harbor Chat|Lighthouse Live|Ferry Support|Tidal Games|Pier Market|Buoy Classroom|Try It) .*█.*/.* % .*(ok|watch|warning|critical|exhausted)`)
	var shown bytes.Buffer
	reader, alarms, letters, notices := bufio.NewReader(io.TeeReader(out, &shown)), 0, 0, 0
	for alarms < 60 || letters == 0 || notices == 0 {
		line, err := reader.ReadString('\n')
		if err != nil {
			t.Fatalf("after %d alarms, %d dead letters and %d notices: %v\n%s", alarms, letters, notices, err, shown.String())
		}
		if alarm.MatchString(line) {
			alarms++
		}
		if strings.Contains(line, "dead letter of app 1400") {
			letters++
		}
		if strings.Contains(line, "✉ notice [") {
			notices++
		}
	}
	if !strings.Contains(shown.String(), "not for production") || !strings.Contains(shown.String(), "▲ ") {
		t.Errorf("no label or no step was entered:\n%s", shown.String())
	}
	overdue.Reset(30 * time.Second)
	if err := command.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil || !strings.Contains(string(rest), "Stopped.") {
		t.Errorf("Ctrl-C: %v\n%s", err, rest)
	}
	demoTellsNoSecrets(t, data, shown.Bytes())
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("the gateway still listens")
	}
}

// logsOfFailed shows the ends of the logs below data, where the test failed.
func logsOfFailed(t *testing.T, data string) {
	if !t.Failed() {
		return
	}
	files, _ := filepath.Glob(filepath.Join(data, "logs", "*.log"))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		t.Logf("the end of %s:\n%s", filepath.Base(file), text[max(0, len(text)-4096):])
	}
}
