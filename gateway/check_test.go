package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with testdata/name. Each file is what a person sees on the screen.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant\n%s", path, got, want)
	}
}

// check runs `gateway check` in dir and returns what it printed, dir written as DIR.
func check(t *testing.T, dir string, args ...string) (status int, printed string) {
	t.Helper()
	t.Setenv("HARBOR_OLD", "old")
	var out, errOut bytes.Buffer
	status = execute(t.Context(), append([]string{"check", "--gateway-name=g1"}, args...), &out, &errOut)
	if errOut.Len() > 0 {
		t.Errorf("on stderr: %s", &errOut)
	}
	noSecrets(t, "check", out.String())
	return status, strings.ReplaceAll(out.String(), dir, "DIR")
}

func TestCheckOffline(t *testing.T) {
	for name, row := range map[string]struct {
		apps   string
		routes string // none when empty
		args   []string
		status int
	}{
		"good": {"apps: [{sdk_app_id: 1, name: a, tokens: [\"file:/nowhere\"]}]\n", "", []string{"--brokers=a:1"}, process.ExitOK},
		"doubtful": {
			"apps:\n  - {sdk_app_id: 1, name: a}\n  - {sdk_app_id: 2, name: b, tokens: [\"plain:s3cr3t\", \"env:HARBOR_OLD\"]}\n",
			"routes:\n  - {command: C2C.CallbackBeforeSendMsg, drop: true}\n  - {command: \"Group.*\", topic: im.callbacks.raw, ack: memory}\n",
			[]string{"--ack-deadline=2s", "--unknown-apps=accept"}, process.ExitOK,
		},
		"nobody": {"apps: []\n", "", []string{"--brokers=a:1"}, process.ExitOK},
		"wrong": {
			"apps:\n  - sdk_app_id: 1400000001\n    naame: Harbor\n    tokens: [s3cr3t]\n  - sdk_app_id: x\n    name: 5\n",
			"routes:\n  - {command: \"Group.*\"}\n  - {comand: x, topic: im.alarms}\n",
			[]string{"--listen=8080", "--max-body-bytes=2MiB", "--kafka-tls-ca=ca.pem"}, process.ExitFailed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			args := []string{"--offline", "--apps=" + write(t, dir, "apps.yaml", row.apps), "--journal-dir=" + dir + "/journal"}
			if row.routes != "" {
				args = append(args, "--routes="+write(t, dir, "routes.yaml", row.routes))
			}
			status, printed := check(t, dir, append(args, row.args...)...)
			if status != row.status {
				t.Errorf("exit status %d", status)
			}
			if strings.Contains(printed, "s3cr3t") {
				t.Error("a token was printed")
			}
			if _, err := os.Stat(dir + "/journal"); err == nil {
				t.Error("check made a directory")
			}
			golden(t, "check/offline-"+name+".txt", printed)
		})
	}
}

func TestCheckMissingFiles(t *testing.T) {
	dir := t.TempDir()
	status, printed := check(t, dir, "--offline", "--brokers=a:1", "--apps="+dir+"/apps.yaml", "--routes="+dir+"/routes.yaml")
	if status != process.ExitFailed {
		t.Errorf("exit status %d", status)
	}
	golden(t, "check/offline-missing.txt", printed)
}

// TestCheckTokenFiles: with Kafka or without, the files of tokens are looked at unless
// --offline.
func TestCheckTokenFiles(t *testing.T) {
	dir := t.TempDir()
	apps := write(t, dir, "apps.yaml", "apps: [{sdk_app_id: 1, name: a, tokens: [\"file:"+dir+"/token\"]}]\n")
	c := broker(t, rawTopic)
	args := []string{"--brokers=" + c.ListenAddrs()[0], "--apps=" + apps, "--journal-dir=" + dir + "/journal"}
	status, printed := check(t, dir, args...)
	if want := "error:   DIR/apps.yaml:1:42: apps[0].tokens[0]: file:DIR/token cannot be read: no such file or directory\n"; status != process.ExitFailed || !strings.Contains(printed, want) {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	write(t, dir, "token", "abc\n")
	if status, printed := check(t, dir, args...); status != process.ExitOK {
		t.Errorf("exit status %d\n%s", status, printed)
	}
}

// TestCheckCluster asks a real (embedded) broker.
func TestCheckCluster(t *testing.T) {
	dir := t.TempDir()
	c := broker(t, rawTopic)
	routes := write(t, dir, "routes.yaml", "routes: [{command: \"Group.*\", topic: im.callbacks.raw}]\n")
	args := []string{"--brokers=" + c.ListenAddrs()[0], "--apps=" + write(t, dir, "apps.yaml", appsYAML), "--journal-dir=" + dir + "/journal", "--journal-max-bytes=16MiB", "--parked-max-bytes=16MiB"}
	status, printed := check(t, dir, args...)
	if status != process.ExitOK || !strings.Contains(printed, "ok:      topic im.alarms.raw: 3 partitions, replication 1\n") ||
		!strings.Contains(printed, "ok:      kafka: the cluster answers and gives out producer ids\n") ||
		!strings.Contains(printed, "warning: topic im.alarms.raw: replication is 1") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
	status, printed = check(t, dir, append(args, "--routes="+routes)...)
	if status != process.ExitFailed || !strings.Contains(printed, "error:   topic im.callbacks.raw: ") || !strings.Contains(printed, "make it with deploy/kafka/topics.sh") {
		t.Errorf("a missing topic: exit status %d\n%s", status, printed)
	}
}

func TestCheckClusterAway(t *testing.T) {
	dir := t.TempDir()
	status, printed := check(t, dir, "--brokers="+nowhere, "--apps="+write(t, dir, "apps.yaml", appsYAML), "--journal-dir="+dir+"/journal")
	if status != process.ExitFailed || !strings.Contains(printed, "error:   kafka: ask for topics: ") || !strings.HasSuffix(printed, "\nerrors: 1\n") {
		t.Errorf("exit status %d\n%s", status, printed)
	}
}

// fakeCluster answers what the test says.
type fakeCluster struct {
	topics []kafkaconn.TopicInfo
	err    error
	ids    []error // answers to InitProducerID, the last one for ever
}

func (c *fakeCluster) Topics(context.Context, ...string) ([]kafkaconn.TopicInfo, error) {
	return c.topics, c.err
}

func (c *fakeCluster) InitProducerID(context.Context) (int64, int16, error) {
	err := c.ids[0]
	if len(c.ids) > 1 {
		c.ids = c.ids[1:]
	}
	return 1, 0, err
}

// passing is an error that a young cluster gives.
type passing struct{}

func (passing) Error() string   { return "coordinator is loading" }
func (passing) Temporary() bool { return true }

func TestAskCluster(t *testing.T) {
	good := kafkaconn.TopicInfo{Name: "t", Partitions: 12, Replication: 3, MinISR: 2, MaxMessageBytes: 1 << 20, Retention: 7 * 24 * time.Hour}
	with := func(change func(*kafkaconn.TopicInfo)) []kafkaconn.TopicInfo {
		topic := good
		change(&topic)
		return []kafkaconn.TopicInfo{topic}
	}
	const answers = "ok:      kafka: the cluster answers and gives out producer ids\n"
	const topicOK = "ok:      topic t: 12 partitions, replication 3\n"
	for name, row := range map[string]struct {
		cluster fakeCluster
		want    string
		errors  int
	}{
		"as recommended": {fakeCluster{topics: []kafkaconn.TopicInfo{good}}, topicOK + answers, 0},
		"kept for ever":  {fakeCluster{topics: with(func(t *kafkaconn.TopicInfo) { t.Retention = -1 })}, topicOK + answers, 0},
		"missing": {fakeCluster{topics: []kafkaconn.TopicInfo{{Name: "t", Err: errors.New("unknown topic")}}},
			"error:   topic t: unknown topic; make it with deploy/kafka/topics.sh, or give this user the right to it. Until then its callbacks are parked\n" + answers, 1},
		"one replica": {fakeCluster{topics: with(func(t *kafkaconn.TopicInfo) { t.Replication = 1 })},
			"warning: topic t: replication is 1: with less than 3, losing brokers can lose callbacks\nok:      topic t: 12 partitions, replication 1\n" + answers, 0},
		"one in sync": {fakeCluster{topics: with(func(t *kafkaconn.TopicInfo) { t.MinISR = 1 })},
			"warning: topic t: min.insync.replicas is 1: with less than 2, one broker's disk is all that an acknowledged callback is on\n" + topicOK + answers, 0},
		"small messages": {fakeCluster{topics: with(func(t *kafkaconn.TopicInfo) { t.MaxMessageBytes = 262144 + 8191 })},
			"warning: topic t: max.message.bytes is 270335: a body of --max-body-bytes needs 270336; larger callbacks would be parked\n" + topicOK + answers, 0},
		"short retention": {fakeCluster{topics: with(func(t *kafkaconn.TopicInfo) { t.Retention = time.Hour })},
			"warning: topic t: retention.ms is 1h0m0s: shorter than the 24h0m0s of callbacks that the journal may hold and deliver at once\n" + topicOK + answers, 0},
		"settings hidden": {fakeCluster{topics: with(func(t *kafkaconn.TopicInfo) { t.ConfigErr = errors.New("not authorized") })},
			"warning: topic t: its settings cannot be read, so they were not checked: not authorized\n" + answers, 0},
		"unreachable": {fakeCluster{err: errors.New("dial: refused")}, "error:   kafka: dial: refused\n", 1},
		"no producer id": {fakeCluster{topics: []kafkaconn.TopicInfo{good}, ids: []error{errors.New("not authorized")}},
			topicOK + "error:   kafka: not authorized: the gateway writes as an idempotent producer; does its user have that right?\n", 1},
		"young cluster": {fakeCluster{topics: []kafkaconn.TopicInfo{good}, ids: []error{passing{}, passing{}, nil}}, topicOK + answers, 0},
		"for ever young": {fakeCluster{topics: []kafkaconn.TopicInfo{good}, ids: []error{passing{}}},
			topicOK + "error:   kafka: coordinator is loading: the gateway writes as an idempotent producer; does its user have that right?\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				f := process.NewFindings(&out)
				if row.cluster.ids == nil {
					row.cluster.ids = []error{nil}
				}
				ctx, cancel := context.WithTimeout(t.Context(), checkTimeout)
				defer cancel()
				askCluster(ctx, f, &row.cluster, []string{"t"}, 262144)
				if out.String() != row.want || f.Errors() != row.errors {
					t.Errorf("%d errors\n%s\nwant\n%s", f.Errors(), &out, row.want)
				}
			})
		})
	}
}

func TestCheckJournal(t *testing.T) {
	for name, row := range map[string]struct {
		prepare func(t *testing.T, dir string)
		want    string
		errors  int
	}{
		"not there yet": {func(*testing.T, string) {}, "ok:      journal DIR/journal: is not there yet, the first start makes it; ", 0},
		"an empty volume": {func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir+"/journal", 0o700))
		}, "ok:      journal DIR/journal: is not there yet, ", 0},
		"a file": {func(t *testing.T, dir string) { write(t, dir, "journal", "") }, "error:   journal DIR/journal: is not a directory\n", 1},
		"of this gateway": {func(t *testing.T, dir string) {
			fill(t, dir+"/journal", 3)
		}, "note:    journal DIR/journal: --journal-max-bytes is not given; the budget is ", 0},
		"what is in it": {func(t *testing.T, dir string) { fill(t, dir+"/journal", 3) }, "ok:      journal DIR/journal: 3 undelivered, ", 0},
		"beside it":     {func(t *testing.T, dir string) { fill(t, dir+"/journal", 3); fill(t, dir+"/journal/parked", 2) }, "ok:      journal DIR/journal/parked: 2 undelivered, ", 0},
		"of a newer release": {func(t *testing.T, dir string) {
			fill(t, dir+"/journal", 1)
			write(t, dir+"/journal", "journal-id", "something else\n")
		}, "error:   journal DIR/journal: ", 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			row.prepare(t, dir)
			var out bytes.Buffer
			f := process.NewFindings(&out)
			set := settingsOf(t, "--apps=a", "--brokers=a:1", "--journal-dir="+dir+"/journal")
			checkJournal(f, set)
			if printed := strings.ReplaceAll(out.String(), dir, "DIR"); !strings.Contains(printed, row.want) || f.Errors() != row.errors {
				t.Errorf("%d errors\n%s\nwant %s", f.Errors(), printed, row.want)
			}
		})
	}
}

func TestCheckJournalBudget(t *testing.T) {
	var out bytes.Buffer
	f := process.NewFindings(&out)
	checkJournal(f, settingsOf(t, "--apps=a", "--brokers=a:1", "--journal-dir="+t.TempDir()+"/a/b", "--journal-max-bytes=8000TiB"))
	if !strings.HasPrefix(out.String(), "warning: journal ") || !strings.Contains(out.String(), "callbacks are answered 503 when the disk is full") {
		t.Errorf("printed %s", &out)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill makes a journal with n callbacks and returns its id.
func fill(t *testing.T, dir string, n int) uint64 {
	t.Helper()
	j, err := journal.Open(journal.Options{Dir: dir, MaxBytes: 16 << 20, AckDeadline: time.Minute})
	must(t, err)
	for i := range n {
		c := schema.Callback{
			AppID: signedApp, Gateway: []byte("g1"), Command: []byte(schema.CommandQuotaAlarm), ReceivedAt: time.UnixMilli(1670574414000 + int64(i)).UTC(),
			Authenticated: schema.AuthenticatedSign, Body: []byte(alarm(i)),
		}
		c.Attributes[schema.AttributeClientIP] = []byte("192.0.2.7")
		ticket, err := j.Append(false, func(dst []byte) []byte { return appendEntry(dst, rawTopic, &c) })
		must(t, err)
		must(t, j.Wait(ticket, journal.Disk))
	}
	must(t, j.Close())
	return j.ID()
}
