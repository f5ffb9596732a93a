package stack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/kafkaconn"
)

// guarded is a buffer that children may write to while a test reads it.
type guarded struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (g *guarded) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.Write(p)
}

func (g *guarded) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.String()
}

// options returns a stack of fakes whose starts and ends are noted in the events file.
func options(t *testing.T) (Options, *guarded, string) {
	t.Helper()
	events, log := filepath.Join(t.TempDir(), "events"), &guarded{}
	return Options{
		DataDir: t.TempDir(), AppsFile: "apps.yaml", BinDir: fakeBin(t), Log: log, Partitions: 3,
		GatewayFlags: []string{"--events=" + events}, ConsumerFlags: []string{"--events=" + events},
		ReadyTimeout: 10 * time.Second,
	}, log, events
}

func start(t *testing.T, o Options) *Stack {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestPartsStartAndStopInOrder(t *testing.T) {
	o, log, events := options(t)
	o.Kafka.TopicPrefix = "here."
	s := start(t, o)
	if got, want := read(t, events), "gateway started\nconsumer started\n"; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
	position, err := Ends(t.Context(), s.Kafka(), s.Topics().All()...)
	if err != nil {
		t.Fatal(err)
	}
	if len(position) != 4 || len(position["here.im.alarms.raw"]) != 3 {
		t.Errorf("topics %v, want four of three partitions", position)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, events), "gateway started\nconsumer started\ngateway stopped\nconsumer stopped\n"; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
	if _, err := s.Broker().Fault(); !errors.Is(err, ErrState) {
		t.Errorf("the broker still runs: %v", err)
	}
	for _, want := range []string{"gateway  | one line\n", "consumer | and another\n"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, log)
		}
	}
}

func TestChildrenGetTheirFlags(t *testing.T) {
	o, _, _ := options(t)
	o.GatewayFlags = append(o.GatewayFlags, "--ack=broker")
	own := kafkaconn.Flags{Brokers: []string{"127.0.0.1:1"}, SASL: "plain", SASLUser: "consumer", SASLPasswordFile: "/p", TLS: true}
	o.ConsumerKafka = &own
	s := start(t, o)
	for _, want := range []string{"--ack=broker", "--apps=apps.yaml", "--brokers=" + s.Broker().Addrs()[0], "--journal-dir=" + s.JournalDir()} {
		if !slices.Contains(s.Gateway().Args(), want) {
			t.Errorf("gateway's flags %q lack %s", s.Gateway().Args(), want)
		}
	}
	for _, want := range []string{"--store=" + s.StoreURL(), "--brokers=127.0.0.1:1", "--kafka-sasl=plain", "--kafka-sasl-user=consumer", "--kafka-tls"} {
		if !slices.Contains(s.Consumer().Args(), want) {
			t.Errorf("consumer's flags %q lack %s", s.Consumer().Args(), want)
		}
	}
}

func TestEnvironmentOfTheTwoBinariesIsKeptBack(t *testing.T) {
	t.Setenv("TIDEGATE_GATEWAY_ACK", "memory")
	t.Setenv("TIDEGATE_OTHER", "kept")
	o, _, _ := options(t)
	s := start(t, o)
	answer, err := http.Get(s.GatewayAdminURL() + "/settings")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, _ := io.ReadAll(answer.Body); string(body) != "kept" {
		t.Errorf("the child's environment: %q, want only what is not a setting", body)
	}
}

func TestAnExitIsReportedAndNothingIsRestarted(t *testing.T) {
	o, _, events := options(t)
	s := start(t, o)
	if answer, err := http.Get(s.ConsumerAdminURL() + "/exit"); err == nil {
		answer.Body.Close()
	}
	err := s.Wait(t.Context())
	if !errors.Is(err, ErrExited) || !strings.Contains(err.Error(), "consumer") || !strings.Contains(err.Error(), "status 7") {
		t.Fatalf("wait: %v, want the consumer's exit", err)
	}
	if got := strings.Count(read(t, events), "consumer started"); got != 1 {
		t.Errorf("the consumer was started %d times", got)
	}
}

func TestWhatIsDoneOnPurposeIsNotReported(t *testing.T) {
	o, _, events := options(t)
	s := start(t, o)
	first := s.Gateway().PID()
	if err := s.Gateway().Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Gateway().Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context(), s.Gateway()); err != nil {
		t.Fatal(err)
	}
	if err := s.Gateway().Start(); !errors.Is(err, ErrState) {
		t.Errorf("second start: %v", err)
	}
	if s.Gateway().PID() == first {
		t.Error("the same process after a kill")
	}
	if strings.Contains(read(t, events), "gateway stopped") {
		t.Error("a killed child had time to stop")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(ctx); err != nil {
		t.Errorf("wait: %v", err)
	}
}

func TestStartThatFailsLeavesNothing(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Options)
		want   error
		text   string
	}{
		{"binaries missing", func(o *Options) { o.BinDir = t.TempDir() }, ErrNotBuilt, "make build"},
		{"gateway ends at once", func(o *Options) { o.GatewayFlags = append(o.GatewayFlags, "--die=at-start") }, ErrExited, "gateway"},
		{"consumer never ready", func(o *Options) {
			o.ConsumerFlags = append(o.ConsumerFlags, "--ready=never")
			o.ReadyTimeout = 3 * time.Second
		}, ErrNotReady, "503"},
		{"no apps file", func(o *Options) { o.AppsFile = "" }, nil, "AppsFile"},
		{"too many partitions", func(o *Options) { o.Partitions = 1 << 20 }, nil, "partitions"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, _, events := options(t)
			test.change(&o)
			_, err := Start(t.Context(), o)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Fatalf("error %v, want %v with %q", err, test.want, test.text)
			}
			if data, err := os.ReadFile(events); err == nil {
				if strings.Count(string(data), "started") != strings.Count(string(data), "stopped") {
					t.Errorf("something was left running: %s", data)
				}
			}
		})
	}
}

func TestStopKillsWhatDoesNotEnd(t *testing.T) {
	o, _, _ := options(t)
	o.GatewayFlags = append(o.GatewayFlags, "--die=never")
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); !errors.Is(err, ErrStopTimeout) || !strings.Contains(err.Error(), "gateway") {
		t.Errorf("stop: %v, want the gateway's timeout", err)
	}
	for _, child := range []*Child{s.Gateway(), s.Consumer()} {
		if err := child.Pause(); !errors.Is(err, ErrState) {
			t.Errorf("%s still runs: %v", child.Name(), err)
		}
	}
}

func TestPausedChildAnswersAgainAfterResume(t *testing.T) {
	o, _, _ := options(t)
	s := start(t, o)
	if err := s.Gateway().Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := s.Gateway().Ready(ctx); !errors.Is(err, ErrNotReady) {
		t.Errorf("ready while paused: %v", err)
	}
	if err := s.Gateway().Resume(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context(), s.Gateway()); err != nil {
		t.Errorf("ready after resume: %v", err)
	}
}

func TestBinFindsTheFolderAbove(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "a", "b")
	for _, folder := range []string{deep, filepath.Join(root, "bin")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(deep)
	if _, err := Bin("something"); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("missing binary: %v", err)
	}
	path := filepath.Join(root, "bin", "something")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Bin("something"); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("a file that cannot be run: %v", err)
	}
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if got, err := Bin("something"); err != nil || got != path {
		t.Errorf("got %q, %v, want %q", got, err, path)
	}
}

func TestReachable(t *testing.T) {
	for listen, want := range map[string]string{
		":8080": "127.0.0.1:8080", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80",
		"127.0.0.1:9": "127.0.0.1:9", "[::1]:9": "[::1]:9", "host:9": "host:9",
	} {
		if got := reachable(listen); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}
