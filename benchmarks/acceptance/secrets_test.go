package acceptance

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/leaks"
)

// Secrets. Whatever a scenario is about, at its end everything that its processes printed and
// served is looked through for its secrets: tokens, Signs made of them, passwords of Kafka's
// users. One that is found fails the test that was running.

// pages are what the admin listeners serve; not every binary has each.
var pages = []string{"/", "/metrics", "/readyz?verbose", "/livez", "/apps", "/apps?format=json"}

// controlPages are what the control socket serves in text. goroutine?debug=2 is what a panic
// prints.
var controlPages = []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1"}

// planted is a token as the apps file has it.
var planted = regexp.MustCompile(`"plain:([^"]+)"`)

// watch looks for the secrets of a scene.
type watch struct {
	*scene
	finder *leaks.Finder
}

func newWatch(s *scene) *watch {
	w := &watch{s, leaks.New()}
	w.collect()
	passwords, _ := filepath.Glob(filepath.Join(os.Getenv("TIDEGATE_TEST_KAFKA_SECRETS"), "*.password"))
	for _, path := range passwords {
		if text, err := os.ReadFile(path); err == nil {
			w.finder.Add("the password in "+filepath.Base(path), strings.TrimSpace(string(text)))
		}
	}
	return w
}

// collect takes over the tokens of the apps file, which scenarios rotate.
func (w *watch) collect() {
	text, err := os.ReadFile(w.appsFile)
	if err != nil {
		w.t.Errorf("secrets: %v", err)
	}
	for _, token := range planted.FindAllSubmatch(text, -1) {
		w.finder.AddToken("a token", string(token[1]))
	}
	for _, token := range w.tokens {
		w.finder.AddToken("a token of a file", token)
	}
}

func (w *watch) look(what string, text []byte) {
	for _, leak := range w.finder.In(text) {
		w.t.Errorf("leak: %s: %s", what, leak)
	}
}

// served looks through the pages of what still runs.
func (w *watch) served() {
	w.collect()
	for _, admin := range []string{w.stack.GatewayAdminURL(), w.stack.ConsumerAdminURL()} {
		for _, path := range pages {
			w.look(admin+path, fetch(http.DefaultTransport, admin+path))
		}
	}
	socket := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialUnix(ctx, filepath.Join(w.stack.JournalDir(), "control.sock"))
	}}
	for _, path := range controlPages {
		w.look("control socket "+path, fetch(socket, "http://gateway"+path))
	}
}

// printed looks through what the processes printed in all their lives, and what the commands
// print about what they left behind.
func (w *watch) printed(log string) {
	text, err := os.ReadFile(log)
	if err != nil {
		w.t.Errorf("secrets: %v", err)
	}
	w.look("what gateway and consumer printed", text)
	for _, args := range w.lookers() {
		w.look(strings.Join(args[:3], " "), output(bin(w.t, args[0]), args[1:]))
	}
}

// demoTellsNoSecrets looks through what the demo printed and logged.
func demoTellsNoSecrets(t *testing.T, data string, shown []byte) {
	t.Helper()
	finder := leaks.New()
	apps, err := os.ReadFile(filepath.Join(data, "apps.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tokens := planted.FindAllSubmatch(apps, -1)
	for _, token := range tokens {
		finder.AddToken("a token", string(token[1]))
	}
	logs, _ := filepath.Glob(filepath.Join(data, "logs", "*.log"))
	if len(tokens) == 0 || len(logs) < 2 {
		t.Errorf("%d tokens, %d logs: nothing to look for, or where", len(tokens), len(logs))
	}
	texts := map[string][]byte{"the terminal": shown}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		texts[filepath.Base(path)] = text
	}
	for what, text := range texts {
		for _, leak := range finder.In(text) {
			t.Errorf("leak: %s: %s", what, leak)
		}
	}
}

// lookers are the commands that print what they find in files, settings and Kafka.
func (w *watch) lookers() [][]string {
	dir := "--journal-dir=" + w.stack.JournalDir()
	return [][]string{
		slices.Concat([]string{"gateway", "check", "--offline"}, w.stack.Gateway().Args()),
		slices.Concat([]string{"gateway", "check"}, w.stack.Gateway().Args()),
		{"gateway", "journal", "stat", dir},
		{"gateway", "journal", "stat", "--format=json", dir},
		{"gateway", "journal", "dump", "--bodies", "--limit=2000", dir},
		{"gateway", "quarantine", "list", dir},
		{"gateway", "quarantine", "show", "--bodies", dir},
		slices.Concat([]string{"consumer", "check", "--offline"}, w.stack.Consumer().Args()),
	}
}

// fetch returns a page, nil where nobody answers.
func fetch(transport http.RoundTripper, url string) []byte {
	client := http.Client{Transport: transport, Timeout: 3 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body) // what came of it
	return text
}

// dialUnix connects to a socket whose path may be too long for an address.
func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return new(net.Dialer).DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}

// output returns what a command prints on both outputs within a few seconds, whatever its exit
// status: check finds much that is wrong when Kafka is away.
func output(path string, args []string) []byte {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, path, args...)
	command.WaitDelay = time.Second
	text, _ := command.CombinedOutput()
	return text
}
