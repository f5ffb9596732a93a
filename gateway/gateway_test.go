package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

var rawTopic = schema.NewTopics("").AlarmsRaw

func TestFromPostToRecord(t *testing.T) {
	c := broker(t, rawTopic)
	r := start(t, t.TempDir(), "--brokers="+strings.Join(c.ListenAddrs(), ","))
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(7321))
	record := consume(t, c, rawTopic, 1)[0]
	if string(record.Value) != alarm(7321) || string(record.Key) != "1400000001" {
		t.Errorf("record %s: %s", record.Key, record.Value)
	}
	for key, want := range map[string]string{
		schema.HeaderGateway: "g1", schema.HeaderAuthenticated: "sign", schema.HeaderSubject: "1400000001", "ce_clientip": "192.0.2.7",
		schema.HeaderType: schema.RawTypePrefix + schema.CommandQuotaAlarm, schema.HeaderID: fmt.Sprintf("%016x-1", r.delivery.journal.ID()),
	} {
		if got := headerOf(record, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	// Dropped by the default routes: answered and nowhere.
	r.mustPost(t, unsignedApp, "Group.CallbackAfterGroupInfoChanged", "{}")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if got := consume(t, c, rawTopic, 1); len(got) != 1 {
		t.Errorf("%d records", len(got))
	}
}

func TestReadinessSpeaksOfTheJournalOnly(t *testing.T) {
	r := start(t, t.TempDir(), "--brokers="+nowhere, "--drain-timeout=0s")
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(1))
	status, body := r.page(t, "/readyz?verbose")
	if status != http.StatusOK || !strings.HasSuffix(body, "\nready\n") {
		t.Errorf("%d\n%s", status, body)
	}
	for _, part := range []string{
		"[+] listener: callbacks on 127.0.0.1:", "[+] journal: 1 undelivered, ", "[-] kafka (not required): does not answer",
		"[-] topics (not required): im.alarms.raw not seen yet", "[+] file apps (not required): " + r.dir + "/apps.yaml, sha256 ",
		"[+] file routes (not required): none, the default is in use", "[+] apps (not required): 2 listed, 1 of them unsigned",
		"*: answered, counted and dropped", "[+] build (not required): ",
	} {
		if !strings.Contains(body, part) {
			t.Errorf("%q is not in\n%s", part, body)
		}
	}
}

func TestAdminPages(t *testing.T) {
	r := start(t, t.TempDir(), "--brokers="+nowhere, "--drain-timeout=0s")
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(1))
	_, metrics := r.page(t, "/metrics")
	for _, name := range []string{
		"tidegate_gateway_callbacks_total{", "tidegate_gateway_answer_seconds_bucket{", "tidegate_gateway_journal_entries ", "tidegate_gateway_journal_bytes ",
		"tidegate_gateway_journal_limit_bytes ", "tidegate_gateway_journal_seconds_to_full ", "tidegate_gateway_journal_oldest_undelivered_seconds ",
		"tidegate_gateway_journal_sync_seconds_bucket{", "tidegate_gateway_journal_batch_entries_bucket{", "tidegate_gateway_kafka_up 0", "tidegate_gateway_unsigned_apps 1",
		`tidegate_reload_success{file="apps"} 1`, `tidegate_file_info{file="apps",sha256="`, "tidegate_build_info{",
	} {
		if !strings.Contains(metrics, "\n"+name) {
			t.Errorf("%s is not in /metrics", name)
		}
	}
	if status, body := r.page(t, "/apps"); status != http.StatusOK || !strings.Contains(body, "1400000001") {
		t.Errorf("/apps: %d\n%.500s", status, body)
	}
}

func TestStartLogSaysWhatMatters(t *testing.T) {
	dir := t.TempDir()
	routes := write(t, dir, "routes.yaml", `routes: [{command: C2C.CallbackBeforeSendMsg, drop: true}]`)
	r := start(t, dir, "--brokers="+nowhere, "--drain-timeout=0s", "--routes="+routes)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"journal_dir":"` + dir + `/journal"`, `"apps":"` + dir + `/apps.yaml"`, `"routes":"` + dir + `/routes.yaml"`,
		"answered, counted and dropped", "C2C.CallbackBeforeSendMsg: blocking callbacks are answered OK",
		`"first":["1400000002 Lantern"]`, `"msg":"gateway ready"`,
	} {
		if !strings.Contains(r.logs.String(), part) {
			t.Errorf("%s is not in the log:\n%s", part, r.logs)
		}
	}
	if strings.Contains(r.logs.String(), token) {
		t.Error("a token is in the log")
	}
}

// TestStopLosesNothing stops a gateway under load and looks for every callback that was
// answered 200.
func TestStopLosesNothing(t *testing.T) {
	c := broker(t, rawTopic)
	r := start(t, t.TempDir(), "--brokers="+strings.Join(c.ListenAddrs(), ","))
	var senders sync.WaitGroup
	var mu sync.Mutex
	answered := map[string]bool{}
	enough := make(chan struct{})
	for sender := range 8 {
		senders.Go(func() {
			for n := range 100_000 {
				body := alarm(sender*100_000 + n)
				status, _ := r.post(signedApp, schema.CommandQuotaAlarm, body)
				if status != http.StatusOK && status != http.StatusTooManyRequests {
					return // refused because it drains, or the listener is closed
				}
				mu.Lock()
				if status == http.StatusOK {
					answered[body] = true
				}
				if len(answered) == 300 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	senders.Wait()
	seen := map[string]int{}
	for _, record := range consume(t, c, rawTopic, len(answered)) {
		seen[string(record.Value)]++
	}
	for body := range answered {
		if seen[body] != 1 {
			t.Errorf("%s was answered 200 and is there %d times", body, seen[body])
		}
	}
	if report, err := journal.Stat(filepath.Join(r.dir, "journal")); err != nil || report.Entries != 0 {
		t.Errorf("%d are left in the journal, error %v", report.Entries, err)
	}
	if !strings.Contains(r.logs.String(), "everything was delivered") {
		t.Error("the drain is not in the log")
	}
}

// TestKafkaAwayThenDrain: callbacks are taken while Kafka is away; what the stop leaves is
// delivered by `gateway drain`, under the same ids and in order.
func TestKafkaAwayThenDrain(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, "--brokers="+nowhere, "--drain-timeout=10ms")
	id := r.delivery.journal.ID()
	for n := range 20 {
		r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(n))
	}
	if err := r.stop(); err != nil {
		t.Fatalf("what is left in the journal is no error: %v", err)
	}
	if !strings.Contains(r.logs.String(), `"msg":"not everything was delivered; the rest stays in the journal","left":20,`) {
		t.Error("the log does not say what is left")
	}
	c := broker(t, rawTopic)
	var out, errOut buffer
	args := []string{"drain", "--journal-dir=" + filepath.Join(dir, "journal"), "--brokers=" + c.ListenAddrs()[0], "--timeout=60s"}
	if status := execute(t.Context(), args, &out, &errOut); status != process.ExitOK {
		t.Fatalf("exit status %d\n%s", status, &errOut)
	}
	if want := "20 callbacks delivered, " + dir + "/journal is empty\n"; out.String() != want {
		t.Errorf("printed %q, want %q", &out, want)
	}
	records := consume(t, c, rawTopic, 20)
	for n, record := range records {
		if string(record.Value) != alarm(n) || headerOf(record, schema.HeaderID) != fmt.Sprintf("%016x-%d", id, n+1) {
			t.Errorf("record %d is %s: %s", n, headerOf(record, schema.HeaderID), record.Value)
		}
	}
	// Once more: nothing is left, nothing is sent again.
	if status := execute(t.Context(), args, &out, &errOut); status != process.ExitOK || !strings.Contains(out.String(), "0 callbacks delivered") {
		t.Errorf("exit status %d\n%s\n%s", status, &out, &errOut)
	}
	if got := consume(t, c, rawTopic, 20); len(got) != 20 {
		t.Errorf("%d records after the second drain", len(got))
	}
}

func TestDrainRefuses(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, "--brokers="+nowhere, "--drain-timeout=0s")
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(1))
	live := filepath.Join(dir, "journal")
	for name, row := range map[string]struct {
		args []string
		want string
	}{
		"no brokers":       {[]string{"--journal-dir=" + live}, "no brokers: set --brokers"},
		"no directory":     {[]string{"--journal-dir=" + dir + "/none", "--brokers=" + nowhere}, "no such file or directory"},
		"not a journal":    {[]string{"--journal-dir=" + dir, "--brokers=" + nowhere}, "holds no journal"},
		"a live gateway's": {[]string{"--journal-dir=" + live, "--brokers=" + nowhere}, "directory is in use by another process"},
		"timeout":          {[]string{"--journal-dir=" + live, "--brokers=" + nowhere, "--timeout=-1s"}, "--timeout: want 0s or more, have -1s"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut buffer
			status := execute(t.Context(), append([]string{"drain", "--log-level=error"}, row.args...), &out, &errOut)
			if status != process.ExitFailed || !strings.Contains(errOut.String(), row.want) {
				t.Errorf("exit status %d\n%s", status, &errOut)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("drain made a directory")
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	var out, errOut buffer
	status := execute(t.Context(), []string{"drain", "--journal-dir=" + live, "--brokers=" + nowhere, "--timeout=200ms", "--log-level=error"}, &out, &errOut)
	if want := "gateway: 1 callbacks are left in " + live + ": --timeout 200ms is over"; status != process.ExitFailed || !strings.Contains(errOut.String(), want) {
		t.Errorf("exit status %d\n%s\nwant %s", status, &errOut, want)
	}
}

// TestMissingTopicWaits: a topic that is missing is a waiting state, and its callbacks go
// out when somebody makes it.
func TestMissingTopicWaits(t *testing.T) {
	c := broker(t)
	r := start(t, t.TempDir(), "--brokers="+c.ListenAddrs()[0])
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(1))
	eventually(t, "the page says that the topic is refused", func() bool {
		status, body := r.page(t, "/readyz?verbose")
		return status == http.StatusOK && strings.Contains(body, "[-] topics (not required): im.alarms.raw refused (Kafka error 3), its callbacks are parked")
	})
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(2))
	eventually(t, "both are parked, and can be looked at", func() bool {
		status, printed := inspect(t, r.dir, "dump", "--bodies", "--journal-dir="+r.dir+"/journal/parked")
		return status == process.ExitOK && strings.Count(printed, " im.alarms.raw 1400000001 ") == 2 && strings.Contains(printed, `\"QuotaUsed\":2`)
	})
	makeTopic(t, c.ListenAddrs()[0], rawTopic)
	records := consume(t, c, rawTopic, 2)
	if string(records[0].Value) != alarm(1) || string(records[1].Value) != alarm(2) {
		t.Error("not in order")
	}
}

// TestSmallerBodiesAndARefusedTopic: a callback larger than today's --max-body-bytes waits for a
// topic that refuses it: it is parked, and the gateway goes on.
func TestSmallerBodiesAndARefusedTopic(t *testing.T) {
	dir := t.TempDir()
	large := `{"x":"` + strings.Repeat("y", 200<<10) + `"}`
	r := start(t, dir, "--brokers="+nowhere, "--drain-timeout=0s")
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, large)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	c := broker(t)
	r = start(t, dir, "--brokers="+c.ListenAddrs()[0], "--max-body-bytes=4096")
	eventually(t, "it is parked", func() bool {
		_, body := r.page(t, "/readyz?verbose")
		return strings.Contains(body, "parked (not required): 1 undelivered")
	})
	r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(1))
	makeTopic(t, c.ListenAddrs()[0], rawTopic)
	if records := consume(t, c, rawTopic, 2); string(records[0].Value) != large || string(records[1].Value) != alarm(1) {
		t.Error("not in order")
	}
}

// TestReadyOnceTheJournalHasASegment: until then a callback would wait for it, so that a balancer
// has to wait.
func TestReadyOnceTheJournalHasASegment(t *testing.T) {
	made := make(chan struct{})
	slow := vfs.NewFaulty(vfs.NewMem(), func(op vfs.Op) vfs.Fault {
		if op.Kind == vfs.KindSync && strings.Contains(op.Name, ".spare") && !strings.Contains(op.Name, parkedName) {
			<-made
		}
		return vfs.Fault{}
	})
	r := startWith(t, seams{fs: slow}, t.TempDir(), "--brokers="+nowhere, "--drain-timeout=0s")
	release := sync.OnceFunc(func() { close(made) })
	t.Cleanup(release) // before the stop, however the test ends
	if status, body := r.page(t, "/readyz?verbose"); status != http.StatusServiceUnavailable || !strings.Contains(body, "[-] journal: has no segment to write to yet: ") {
		t.Errorf("%d\n%s", status, body)
	}
	release()
	eventually(t, "ready", func() bool {
		status, _ := r.page(t, "/readyz")
		return status == http.StatusOK
	})
}

// TestShutdownDelay: not ready any more, but still taking callbacks, each on a connection
// that is closed behind its answer, so that clients go elsewhere.
func TestShutdownDelay(t *testing.T) {
	r := start(t, t.TempDir(), "--brokers="+nowhere, "--drain-timeout=0s", "--shutdown-delay=1h")
	t.Cleanup(func() { r.set.ShutdownDelay = 0 }) // for the test's own stop, however it ends
	eventually(t, "ready", func() bool {
		status, _ := r.page(t, "/readyz")
		return status == http.StatusOK
	})
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- r.leave(ctx) }()
	eventually(t, "draining", func() bool {
		status, body := r.page(t, "/readyz")
		return status == http.StatusServiceUnavailable && body == "not ready: draining\n"
	})
	res, err := http.Post(r.url(signedApp, schema.CommandQuotaAlarm), "application/json", strings.NewReader(alarm(1)))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK || !res.Close {
		t.Errorf("while leaving: %s, connection closed: %v", res.Status, res.Close)
	}
	cancel()
	if err := <-left; err != nil {
		t.Error(err)
	}
}

func TestFilesAreReloaded(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, "--brokers="+nowhere, "--drain-timeout=0s")
	if status, _ := r.post(1400000003, schema.CommandQuotaAlarm, alarm(1)); status != http.StatusForbidden {
		t.Fatalf("an app that is not listed: %d", status)
	}
	write(t, dir, "apps.yaml", appsYAML+"  - {sdk_app_id: 1400000003, name: Pier}\n")
	eventually(t, "the new app is taken", func() bool {
		status, _ := r.post(1400000003, schema.CommandQuotaAlarm, alarm(1))
		return status == http.StatusOK
	})
	write(t, dir, "apps.yaml", "apps: 5\n")
	eventually(t, "the page says what is wrong", func() bool {
		_, body := r.page(t, "/readyz?verbose")
		return strings.Contains(body, "apps.yaml:1:7: apps: want a list")
	})
	r.mustPost(t, 1400000003, schema.CommandQuotaAlarm, alarm(2))
}

// TestStartFailuresUndoWhatWasDone: each of these starts fails, says why, and leaves ports
// and journal free.
func TestStartFailuresUndoWhatWasDone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, row := range map[string]struct {
		prepare func(t *testing.T, dir string) []string
		want    string
	}{
		"listen taken": {func(*testing.T, string) []string { return []string{"--listen=" + taken.Addr().String()} }, "--listen: listen tcp"},
		"admin taken":  {func(*testing.T, string) []string { return []string{"--admin-listen=" + taken.Addr().String()} }, "--admin-listen: admin listener: listen tcp"},
		"apps file is wrong": {func(t *testing.T, dir string) []string {
			return []string{"--apps=" + write(t, dir, "bad.yaml", "apps: [{sdk_app_id: 1, naame: x}]")}
		}, "bad.yaml:1:24: apps[0].naame: unknown key; did you mean name?"},
		"routes file is missing": {func(_ *testing.T, dir string) []string { return []string{"--routes=" + dir + "/none.yaml"} }, "none.yaml: cannot be read: no such file or directory"},
		"foreign journal": {func(t *testing.T, dir string) []string {
			if err := os.Mkdir(filepath.Join(dir, "journal"), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "journal"), "holiday.jpg", "x")
			return nil
		}, "holiday.jpg"},
		"certificate is missing": {func(_ *testing.T, dir string) []string {
			return []string{"--kafka-tls", "--kafka-tls-ca=" + dir + "/ca.pem"}
		}, "read --kafka-tls-ca"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			more := row.prepare(t, dir)
			set := settingsOf(t, arguments(t, dir, append([]string{"--brokers=" + nowhere}, more...)...)...)
			var logs buffer
			p := process.New(newLog(&logs))
			if _, err := open(p, set, newLog(&logs)); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v, want %s", err, row.want)
			}
			if err := p.Stop(10 * time.Second); err != nil {
				t.Error(err)
			}
			if name == "foreign journal" {
				return
			}
			j, err := journal.Open(journal.Options{Dir: filepath.Join(dir, "journal"), MaxBytes: 16 << 20})
			if err != nil {
				t.Fatalf("the journal is not free: %v", err)
			}
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRunCommand goes through the command line: wrong settings are all said, one line each,
// and a cancelled run stops cleanly.
func TestRunCommand(t *testing.T) {
	var out, errOut buffer
	status := execute(t.Context(), []string{"--apps=a", "--brokers=" + nowhere, "--listen=x", "--ack-deadline=0s"}, &out, &errOut)
	if want := "gateway: --listen: want HOST:PORT or :PORT, have \"x\"\ngateway: --ack-deadline: want more than 0s, have 0s\n"; status != process.ExitFailed || errOut.String() != want {
		t.Errorf("exit status %d\n%s", status, &errOut)
	}
	errOut = buffer{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	args := arguments(t, t.TempDir(), "--brokers="+nowhere, "--drain-timeout=0s")
	go func() { done <- execute(ctx, args, &out, &errOut) }()
	eventually(t, "ready", func() bool { return strings.Contains(errOut.String(), `"message":"gateway ready"`) })
	cancel()
	if status := <-done; status != process.ExitOK {
		t.Errorf("exit status %d\n%s", status, &errOut)
	}
}

func makeTopic(t *testing.T, address, topic string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	request := createTopics(topic, 3)
	response, err := request.RequestWith(t.Context(), client)
	if err != nil || slices.ContainsFunc(response.Topics, func(t topicResult) bool { return t.ErrorCode != 0 }) {
		t.Fatalf("create topic: %v %+v", err, response)
	}
}

// J16: the journal is wiped and the gateway keeps its name: what comes then has other ids, although
// the sequence numbers begin anew.
func TestWipedJournalUnderTheSameName(t *testing.T) {
	c := broker(t, rawTopic)
	ids := map[string]bool{}
	for life := range 2 {
		r := start(t, t.TempDir(), "--brokers="+strings.Join(c.ListenAddrs(), ","))
		for n := range 3 {
			r.mustPost(t, signedApp, schema.CommandQuotaAlarm, alarm(10*life+n))
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	for _, record := range consume(t, c, rawTopic, 6) {
		if name := headerOf(record, schema.HeaderGateway); name != "g1" {
			t.Errorf("gateway %q", name)
		}
		ids[headerOf(record, schema.HeaderID)] = true
	}
	if len(ids) != 6 {
		t.Errorf("6 callbacks under %d ids", len(ids))
	}
}
