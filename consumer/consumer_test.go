package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidegate/tidegate/consumer/internal/store/storetest"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

const patience = 30 * time.Second // for what must happen; never waited for when it does

const appsYAML = "apps:\n  - {sdk_app_id: 1400000001, name: Harbor Chat, owner: team-harbor, tier: pro, site: cn, tokens: ['env:NOT_SET_HERE']}\n"

// received is when the callbacks of the test that runs were received: at its beginning, as a
// notice that is older than a quarter of an hour is told in a digest only.
var received time.Time

// bench is a broker in memory, an apps file and a place for a database.
type bench struct {
	t      *testing.T
	kafka  *kfake.Cluster
	client *kgo.Client
	addrs  string // of kafka, which cannot be asked once it is closed
	apps   string
	store  string
	lsn    uint64
}

func newBench(t *testing.T, opts ...kfake.Opt) *bench {
	t.Helper()
	k, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(100 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	received = time.Now().UTC().Truncate(time.Second)
	b := &bench{t: t, kafka: k, client: client, addrs: strings.Join(k.ListenAddrs(), ","), apps: filepath.Join(t.TempDir(), "apps.yaml"), store: newStore(t)}
	if err := os.WriteFile(b.apps, []byte(appsYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

// newStore returns the --store value of an empty database: PostgreSQL where there is a server
// for tests, so that all of the consumer is tested over both.
func newStore(t *testing.T) string {
	t.Helper()
	if os.Getenv(storetest.Variable) != "" {
		return storetest.Postgres(t)
	}
	return sqliteStore(t)
}

func sqliteStore(t *testing.T) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "tidegate.db")
}

func allTopics() kfake.Opt { return kfake.SeedTopics(3, schema.NewTopics("").All()...) }

// produce puts a callback with the body into the raw topic, as the gateway does.
func (b *bench) produce(topic string, app int64, body string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	if err := b.client.ProduceSync(ctx, b.raw(topic, app, body)).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

// raw returns the record of a new callback with the body.
func (b *bench) raw(topic string, app int64, body string) *kgo.Record {
	b.lsn++
	c := schema.Callback{
		ID: schema.CallbackID{Journal: 7, LSN: b.lsn}, Gateway: []byte("gw-1"), AppID: app,
		Command: []byte(schema.CommandQuotaAlarm), ReceivedAt: received.Add(time.Duration(b.lsn) * time.Millisecond), Body: []byte(body),
	}
	r := c.Record(topic)
	k := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return k
}

func alarm(used int) string {
	return fmt.Sprintf(`{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":%d,"Quota":10000,"EventTime":"%d"}`, used, received.UnixMilli())
}

// flags are those of a run or check on the bench.
func (b *bench) flags(more ...string) []string {
	return append([]string{"--brokers", b.addrs, "--apps", b.apps, "--store", b.store}, more...)
}

// output is a writer that can be read while it is written to.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// running is a consumer that runs in this process.
type running struct {
	t    *testing.T
	logs *output
	stop context.CancelFunc
	done chan int
}

func (b *bench) run(more ...string) *running {
	b.t.Helper()
	return b.runWith(b.flags(more...))
}

// runWith runs a consumer with all its flags.
func (b *bench) runWith(flags []string) *running {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: b.t, logs: &output{}, stop: cancel, done: make(chan int, 1)}
	go func() {
		r.done <- execute(ctx, append(flags, "--admin-listen", "127.0.0.1:0"), io.Discard, r.logs)
	}()
	b.t.Cleanup(func() { r.end() })
	return r
}

// end stops the consumer and returns its exit status.
func (r *running) end() int {
	r.t.Helper()
	r.stop()
	return r.wait()
}

// wait waits until the consumer ends by itself.
func (r *running) wait() int {
	r.t.Helper()
	select {
	case status := <-r.done:
		r.done <- status
		return status
	case <-time.After(patience):
		r.t.Fatalf("consumer did not end:\n%s", r.logs)
		return -1
	}
}

var adminAddress = regexp.MustCompile(`"message":"consumer started".*"admin":"([^"]+)"`)

// get asks the admin listener.
func (r *running) get(path string) (int, string) {
	r.t.Helper()
	var address string
	eventually(r.t, "the start", func() bool {
		m := adminAddress.FindStringSubmatch(r.logs.String())
		if m != nil {
			address = m[1]
		}
		return m != nil
	})
	response, err := http.Get("http://" + address + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// metric returns a line of /metrics without its name.
func (r *running) metric(series string) string {
	_, text := r.get("/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return "missing"
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("did not happen in %v: %s", patience, what)
		case <-tick.C:
		}
	}
}

// alarms runs `alarms --format json` and returns what it printed.
func (b *bench) alarms(more ...string) []savedAlarm {
	b.t.Helper()
	var out, errs bytes.Buffer
	if status := execute(b.t.Context(), append([]string{"alarms", "--store", b.store, "--format", "json"}, more...), &out, &errs); status != process.ExitOK {
		b.t.Fatalf("alarms: status %d: %s", status, errs.String())
	}
	var all []savedAlarm
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		b.t.Fatalf("%v in %s", err, out.String())
	}
	return all
}

func TestAlarmGoesAllTheWay(t *testing.T) {
	b := newBench(t, allTopics())
	r := b.run()
	for range 5 { // the same alarm, five times
		b.produce("im.alarms.raw", 1400000001, alarm(7321))
	}
	b.produce("im.alarms.raw", 1400000002, alarm(10001))
	b.produce("im.alarms.raw", 1400000001, "{// not JSON\n}")
	eventually(t, "all seven records", func() bool {
		return r.metric(`tidegate_consumer_records_total{outcome="saved"}`) == "2" &&
			r.metric(`tidegate_consumer_records_total{outcome="repeated"}`) == "4" &&
			r.metric(`tidegate_consumer_records_total{outcome="dead_letter"}`) == "1"
	})
	all := b.alarms()
	if len(all) != 2 || all[0].SdkAppID != 1400000002 || all[0].Registered || all[1].Deliveries != 5 || *all[1].AppName != "Harbor Chat" {
		t.Errorf("alarms: %+v", all)
	}
	if one := b.alarms("--app", "1400000001"); len(one) != 1 || one[0].QuotaUsed != 7321 {
		t.Errorf("alarms of one app: %+v", one)
	}
	for topic, want := range map[string]int{"im.alarms": 2, "im.alarms.dlq": 1} {
		if got := b.count(topic); got != want {
			t.Errorf("%d records in %s, want %d", got, topic, want)
		}
	}
	for series, want := range map[string]string{
		"tidegate_consumer_store_up": "1", "tidegate_consumer_kafka_up": "1", "tidegate_consumer_offset_gaps_total": "0",
		`tidegate_consumer_dead_letters_total{reason="bad_json"}`: "1", `tidegate_reload_success{file="apps"}`: "1",
	} {
		if got := r.metric(series); got != want {
			t.Errorf("%s is %s, want %s", series, got, want)
		}
	}
	for _, name := range []string{"tidegate_consumer_lag_records{partition=\"0\"}", "tidegate_consumer_lag_seconds", "tidegate_consumer_retention_headroom_seconds", "tidegate_consumer_batch_seconds_count", "tidegate_build_info"} {
		if _, text := r.get("/metrics"); !strings.Contains(text, name) {
			t.Errorf("no %s", name)
		}
	}
	if status, text := r.get("/readyz?verbose"); status != http.StatusOK || !strings.Contains(text, "3 partitions of im.alarms.raw assigned in group tidegate") {
		t.Errorf("readyz: %d %s", status, text)
	}
	if status := r.end(); status != process.ExitOK {
		t.Errorf("exit status %d:\n%s", status, r.logs)
	}
	if strings.Contains(r.logs.String(), "not JSON") || strings.Contains(r.logs.String(), "NOT_SET_HERE") {
		t.Errorf("a body or a token's place stands in the logs:\n%s", r.logs)
	}
}

// count returns how many records a topic holds.
func (b *bench) count(topic string) (n int) {
	for _, p := range b.kafka.PartitionInfos(topic) {
		n += int(p.HighWatermark)
	}
	return n
}

// committed returns how many raw alarms the group's offsets are past.
func (b *bench) committed() (n int) {
	if info := b.kafka.GroupInfo("tidegate"); info != nil {
		for _, commit := range info.Commits["im.alarms.raw"] {
			n += int(commit.Offset)
		}
	}
	return n
}

func TestRestartGoesOnAndRepeatsNothing(t *testing.T) {
	b := newBench(t, allTopics())
	for i := range 30 {
		b.produce("im.alarms.raw", 1400000001+int64(i%3), alarm(7000+i))
		if i%10 == 5 {
			r := b.run()
			// A stop between publishing and commit may repeat, byte for byte: not this one.
			eventually(t, "everything so far", func() bool { return b.committed() == i+1 && b.count("im.alarms") == i+1 })
			if status := r.end(); status != process.ExitOK {
				t.Fatalf("exit status %d:\n%s", status, r.logs)
			}
		}
	}
	b.run()
	eventually(t, "all alarms", func() bool { return b.count("im.alarms") == 30 })
	all := b.alarms("--limit", "0")
	for _, a := range all {
		if a.Deliveries != 1 {
			t.Errorf("alarm %s has %d deliveries", a.AlarmID, a.Deliveries)
		}
	}
	if len(all) != 30 {
		t.Errorf("%d alarms", len(all))
	}
}

func TestMissingTopicIsNotReadyAndNotACrash(t *testing.T) {
	b := newBench(t)
	r := b.run("--topic-prefix", "test.")
	eventually(t, "waiting", func() bool {
		status, text := r.get("/readyz?verbose")
		return status == http.StatusServiceUnavailable && strings.Contains(text, "[+] kafka: answers") &&
			strings.Contains(text, "waiting for topic test.im.alarms.raw")
	})
	for _, topic := range schema.NewTopics("test.").All() {
		if err := b.kafka.CreateTopic(topic, 2, nil); err != nil {
			t.Fatal(err)
		}
	}
	b.produce("test.im.alarms.raw", 1400000001, alarm(8000))
	eventually(t, "the event", func() bool { return b.count("test.im.alarms") == 1 })
	if status, text := r.get("/readyz"); status != http.StatusOK {
		t.Errorf("readyz: %d %s", status, text)
	}
}

func TestSecondConsumerOfASingleStoreStops(t *testing.T) {
	b := newBench(t, allTopics())
	b.store = sqliteStore(t)
	first := b.run("--session-timeout=4s") // a share is refused for one and a half times as long
	eventually(t, "the first consumer", func() bool { status, _ := first.get("/readyz"); return status == http.StatusOK })
	other := *b
	other.store = "sqlite:" + filepath.Join(t.TempDir(), "other.db")
	second := other.run("--session-timeout=4s")
	if status := second.wait(); status != process.ExitFailed {
		t.Errorf("exit status %d", status)
	}
	if !strings.Contains(second.logs.String(), "is for one consumer that has all partitions") || !strings.Contains(second.logs.String(), "PostgreSQL") {
		t.Errorf("logs:\n%s", second.logs)
	}
}

func TestKafkaThatIsAwayIsWaitedFor(t *testing.T) {
	b := newBench(t)
	b.kafka.Close()
	r := b.run()
	eventually(t, "not ready", func() bool {
		status, text := r.get("/readyz?verbose")
		return status == http.StatusServiceUnavailable && strings.Contains(text, "[-] kafka: does not answer")
	})
	if got := r.metric("tidegate_consumer_kafka_up"); got != "0" {
		t.Errorf("kafka_up is %s", got)
	}
	if status := r.end(); status != process.ExitOK {
		t.Errorf("exit status %d:\n%s", status, r.logs)
	}
}

func TestStartRefuses(t *testing.T) {
	b := newBench(t, allTopics())
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("apps:\n  - {sdk_app_id: -1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	brokers := b.addrs
	for _, test := range []struct {
		name   string
		args   []string
		status int
		want   []string
	}{
		{"no apps file given", []string{"--brokers", brokers}, process.ExitUsage, []string{"--apps"}},
		{"unknown flag", b.flags("--retention-month", "1"), process.ExitUsage, []string{"--retention-month", "consumer -h"}},
		{"unknown start", b.flags("--start", "yesterday"), process.ExitUsage, []string{"--start"}},
		{"everything wrong at once", []string{"--apps", b.apps, "--admin-listen", "here", "--group", "", "--retention-days=-1", "--topic-prefix", "a b"}, process.ExitFailed,
			[]string{"--admin-listen", "--group", "--retention-days", "--topic-prefix", "no brokers"}},
		{"apps file with a mistake", []string{"--brokers", brokers, "--apps", bad, "--store", b.store, "--admin-listen", "127.0.0.1:0"}, process.ExitFailed, []string{"bad.yaml:2:"}},
		{"apps file missing", []string{"--brokers", brokers, "--apps", bad + "x", "--store", b.store, "--admin-listen", "127.0.0.1:0"}, process.ExitFailed, []string{"no such file"}},
		{"unknown database", []string{"--brokers", brokers, "--apps", b.apps, "--store", "oracle:x", "--admin-listen", "127.0.0.1:0"}, process.ExitFailed, []string{"--store", "sqlite:PATH"}},
		{"password in clear", b.flags("--kafka-sasl", "plain", "--kafka-sasl-user", "u", "--kafka-sasl-password-file", b.apps), process.ExitFailed, []string{"sasl without tls"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var errs bytes.Buffer
			if status := execute(t.Context(), test.args, io.Discard, &errs); status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			for _, want := range test.want {
				if !strings.Contains(errs.String(), want) {
					t.Errorf("%q is not in\n%s", want, errs.String())
				}
			}
		})
	}
}

func TestEnvironmentSetsFlags(t *testing.T) {
	b := newBench(t, allTopics())
	t.Setenv("TIDEGATE_CONSUMER_BROKERS", b.addrs)
	t.Setenv("TIDEGATE_CONSUMER_APPS", b.apps)
	t.Setenv("TIDEGATE_CONSUMER_STORE", b.store)
	t.Setenv("TIDEGATE_CONSUMER_GROUP", "from-environment")
	var out bytes.Buffer
	if status := execute(t.Context(), []string{"check"}, &out, &out); status != process.ExitOK || !strings.Contains(out.String(), "group from-environment") {
		t.Errorf("status %d:\n%s", status, out.String())
	}
	out.Reset()
	if status := execute(t.Context(), []string{"check", "--group", "from-flag"}, &out, &out); status != process.ExitOK || !strings.Contains(out.String(), "group from-flag") {
		t.Errorf("a flag does not override the environment: %d:\n%s", status, out.String())
	}
}

func TestHelpIsTheWholeReference(t *testing.T) {
	var out bytes.Buffer
	if status := execute(t.Context(), []string{"-h"}, &out, &out); status != process.ExitOK {
		t.Errorf("status %d", status)
	}
	for _, name := range []string{
		"brokers", "group", "apps", "store", "start", "admin-listen", "retention-days", "topic-prefix", "kafka-tls", "kafka-tls-ca", "kafka-tls-cert",
		"kafka-tls-key", "kafka-sasl", "kafka-sasl-user", "kafka-sasl-password-file", "log-level", "log-format",
	} {
		env := "$TIDEGATE_CONSUMER_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if !strings.Contains(out.String(), "--"+name) || !strings.Contains(out.String(), env+"]") {
			t.Errorf("--%s or %s is not in the help", name, env)
		}
	}
	for _, text := range []string{"sqlite:data/tidegate.db", "127.0.0.1:9181", "[default: 90]", "[default: tidegate]", "[default: earliest]", "alarms", "check"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("%q is not in the help", text)
		}
	}
	out.Reset()
	if status := execute(t.Context(), []string{"--version"}, &out, &out); status != process.ExitOK || !strings.HasPrefix(out.String(), "consumer ") {
		t.Errorf("--version: %d %s", status, out.String())
	}
}
