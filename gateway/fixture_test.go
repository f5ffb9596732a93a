package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

const (
	signedApp   = 1400000001
	unsignedApp = 1400000002
	token       = "xxxxyyyy"
	okEnvelope  = `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`

	appsYAML = `apps:
  - {sdk_app_id: 1400000001, name: Harbor Chat, tokens: ["plain:xxxxyyyy"]}
  - {sdk_app_id: 1400000002, name: Lantern}
`
)

// broker starts an embedded broker with these topics, and none with no topics.
func broker(t *testing.T, topics ...string) *kfake.Cluster {
	t.Helper()
	options := []kfake.Opt{kfake.NumBrokers(1)}
	if len(topics) > 0 {
		options = append(options, kfake.SeedTopics(3, topics...))
	}
	c, err := kfake.NewCluster(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// consume returns the first n records of a topic, in the order of each partition.
func consume(t *testing.T, c *kfake.Cluster, topic string, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var records []*kgo.Record
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records came", len(records), n)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

func headerOf(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// running is a gateway in this process.
type running struct {
	*gateway
	dir  string
	logs *buffer
	stop func() error // as a SIGTERM does; may be called again
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newLog(w io.Writer) *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(zapcore.AddSync(w)), zapcore.DebugLevel))
}

// write puts a file into dir and returns its path.
func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// arguments are a command line whose files and journal are in dir.
func arguments(t *testing.T, dir string, more ...string) []string {
	t.Helper()
	args := []string{
		"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--apps=" + write(t, dir, "apps.yaml", appsYAML),
		"--journal-dir=" + filepath.Join(dir, "journal"), "--journal-max-bytes=16MiB", "--parked-max-bytes=16MiB", "--gateway-name=g1",
		"--ack-deadline=1m", // what the disk of a busy machine needs is not what these tests are about
	}
	return append(args, more...)
}

// start runs a gateway over dir until the test ends.
func start(t *testing.T, dir string, more ...string) *running {
	t.Helper()
	return startWith(t, seams{}, dir, more...)
}

// startWith is start with seams.
func startWith(t *testing.T, with seams, dir string, more ...string) *running {
	t.Helper()
	r := &running{dir: dir, logs: new(buffer)}
	set := settingsOf(t, arguments(t, dir, more...)...)
	p := process.New(newLog(r.logs))
	g, err := openWith(p, set, with, newLog(r.logs))
	if err != nil {
		t.Fatal(err)
	}
	r.gateway = g
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	budget := set.stopBudget() // here: tests change set later
	go func() { done <- p.Run(ctx, budget) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		r.tellsNoSecrets(t)
		if err := r.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		noSecrets(t, "the log", r.logs.String())
		if t.Failed() {
			t.Logf("log of the gateway:\n%s", r.logs)
		}
	})
	return r
}

func settingsOf(t *testing.T, args ...string) *settings {
	t.Helper()
	cli, err := parse(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	set := &cli.Run.settings
	if err := set.complete(); err != nil {
		t.Fatal(err)
	}
	if errs := set.wrong(true); errs != nil {
		t.Fatal(errs)
	}
	return set
}

// query returns the URL of a callback of an app, signed when it has a token.
func (r *running) url(app int64, command string) string {
	values := url.Values{"SdkAppid": {strconv.FormatInt(app, 10)}, "CallbackCommand": {command}, "ClientIP": {"192.0.2.7"}}
	if app == signedApp {
		now := strconv.FormatInt(time.Now().Unix(), 10)
		sum := sha256.Sum256([]byte(token + now))
		values.Set("RequestTime", now)
		values.Set("Sign", hex.EncodeToString(sum[:]))
	}
	return "http://" + r.listener.Addr().String() + "/?" + values.Encode()
}

// alarm is the body of the n-th quota alarm, different from every other.
func alarm(n int) string {
	return fmt.Sprintf(`{"CallbackCommand":%q,"QuotaUsed":%d,"Quota":10000,"EventTime":"1670574414123"}`, schema.CommandQuotaAlarm, n)
}

// post sends a callback. status is 0 when there was no answer.
func (r *running) post(app int64, command, body string) (status int, answer string) {
	res, err := http.Post(r.url(app, command), "application/json", strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(data)
}

func (r *running) mustPost(t *testing.T, app int64, command, body string) {
	t.Helper()
	if status, answer := r.post(app, command, body); status != http.StatusOK || answer != okEnvelope {
		t.Fatalf("answer %d %s", status, answer)
	}
}

// page returns an admin page.
func (r *running) page(t *testing.T, path string) (status int, body string) {
	t.Helper()
	res, err := http.Get("http://" + r.admin.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(10 * time.Millisecond) // polling, with a deadline
	}
}

type topicResult = kmsg.CreateTopicsResponseTopic

func createTopics(topic string, partitions int32) *kmsg.CreateTopicsRequest {
	request := kmsg.NewPtrCreateTopicsRequest()
	one := kmsg.NewCreateTopicsRequestTopic()
	one.Topic, one.NumPartitions, one.ReplicationFactor = topic, partitions, 1
	request.Topics = append(request.Topics, one)
	return request
}
