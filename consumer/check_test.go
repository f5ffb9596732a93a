package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

// check runs `check` and returns its status and what it printed.
func check(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out, errs bytes.Buffer
	status := execute(t.Context(), append([]string{"check"}, args...), &out, &errs)
	return status, out.String() + errs.String()
}

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		name    string
		kafka   []kfake.Opt
		prepare func(b *bench)
		more    []string
		status  int
		want    []string // stands in the output; with a leading ! does not
	}{
		{"all is well", []kfake.Opt{allTopics()}, nil, nil, process.ExitOK, []string{
			"ok:      settings", "1 apps", "does not exist yet: the first start makes it", "topic im.alarms.dlq: 3 partitions",
			"gives out producer ids", "group tidegate: reachable and new: it begins at the earliest of 0 records", "replication is 1", "no errors", "!NOT_SET_HERE",
		}},
		{"beside a consumer that has worked", []kfake.Opt{allTopics()}, func(b *bench) {
			b.store = sqliteStore(b.t)
			r := b.run()
			b.produce("im.alarms.raw", 1, alarm(8000))
			eventually(b.t, "the event", func() bool { return b.count("im.alarms") == 1 })
			eventually(b.t, "the commit", func() bool { return len(b.kafka.GroupInfo("tidegate").Commits) == 1 })
			_ = r.end()
			b.produce("im.alarms.raw", 1, alarm(8001))
		}, nil, process.ExitOK, []string{"ok:      --store", "SQLite 3.", "tables are of version", "is for one consumer", "offsets in 1 of 3 partitions, 1 records behind"}},
		{"no topic", nil, nil, nil, process.ExitFailed, []string{"topic im.alarms.raw", "deploy/kafka/topics.sh", "3 errors", "!group tidegate"}},
		{"topics to publish to are missing", []kfake.Opt{kfake.SeedTopics(1, "im.alarms.raw")}, nil, nil, process.ExitFailed, []string{"ok:      topic im.alarms.raw", "error:   topic im.alarms:", "error:   topic im.alarms.dlq", "group tidegate: reachable", "2 errors"}},
		{"Kafka away", nil, func(b *bench) { b.kafka.Close() }, nil, process.ExitFailed, []string{"error:   kafka", "1 errors"}},
		{"no right to produce", []kfake.Opt{allTopics()}, func(b *bench) {
			b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TopLevel: true, Err: kerr.ClusterAuthorizationFailed, Count: -1})
		}, nil, process.ExitFailed, []string{"idempotent producer; does its user have that right"}},
		{"young cluster", []kfake.Opt{allTopics()}, func(b *bench) {
			b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TopLevel: true, Err: kerr.CoordinatorLoadInProgress, Count: 2})
		}, nil, process.ExitOK, []string{"gives out producer ids"}},
		{"group of somebody else", []kfake.Opt{allTopics()}, func(b *bench) {
			b.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: "tidegate", Err: kerr.GroupAuthorizationFailed, Count: -1})
		}, nil, process.ExitFailed, []string{"error:   group tidegate"}},
		{"store of another program", []kfake.Opt{allTopics()}, func(b *bench) {
			b.store = sqliteStore(b.t)
			if err := os.WriteFile(strings.TrimPrefix(b.store, "sqlite:"), bytes.Repeat([]byte("not a database. "), 512), 0o600); err != nil {
				b.t.Fatal(err)
			}
		}, nil, process.ExitFailed, []string{"error:   --store"}},
		{"unknown key in the apps file", []kfake.Opt{allTopics()}, func(b *bench) {
			if err := os.WriteFile(b.apps, []byte("apps:\n  - {sdk_app_id: 1, name: x, colour: red}\n"), 0o600); err != nil {
				b.t.Fatal(err)
			}
		}, nil, process.ExitFailed, []string{"apps.yaml:2:", "colour"}},
		{"no apps", []kfake.Opt{allTopics()}, func(b *bench) {
			if err := os.WriteFile(b.apps, []byte("apps: []\n"), 0o600); err != nil {
				b.t.Fatal(err)
			}
		}, nil, process.ExitOK, []string{"warning:", "no app is listed"}},
		{"rows kept for ever", []kfake.Opt{allTopics()}, nil, []string{"--retention-days", "0"}, process.ExitOK, []string{"rows are kept for ever"}},
		{"offline asks nothing", nil, func(b *bench) { b.kafka.Close() }, []string{"--offline"}, process.ExitOK, []string{"ok:      settings", "1 apps", "!--store:", "!kafka", "no errors"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, test.kafka...)
			if test.prepare != nil {
				test.prepare(b)
			}
			status, out := check(t, b.flags(test.more...)...)
			if status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			for _, want := range test.want {
				if text, not := strings.CutPrefix(want, "!"); strings.Contains(out, text) == not {
					t.Errorf("%q: wanted %v", text, !not)
				}
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

func TestCheckOfflineNeedsNoBrokers(t *testing.T) {
	apps := filepath.Join(t.TempDir(), "apps.yaml")
	if err := os.WriteFile(apps, []byte(appsYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, out := check(t, "--offline", "--apps", apps); status != process.ExitOK || !strings.Contains(out, "--brokers: not given") {
		t.Errorf("status %d:\n%s", status, out)
	}
	if status, out := check(t, "--apps", apps); status != process.ExitFailed || !strings.Contains(out, "no brokers") {
		t.Errorf("status %d:\n%s", status, out)
	}
}

func TestCheckTopicWarns(t *testing.T) {
	good := kafkaconn.TopicInfo{Name: schema.NewTopics("").AlarmsDLQ, Partitions: 12, Replication: 3, MinISR: 2, MaxMessageBytes: 1048588}
	for _, test := range []struct {
		name   string
		change func(*kafkaconn.TopicInfo)
		want   string
	}{
		{"as recommended", func(*kafkaconn.TopicInfo) {}, ""},
		{"few replicas", func(t *kafkaconn.TopicInfo) { t.Replication = 2 }, "replication is 2"},
		{"one disk is enough for an answer", func(t *kafkaconn.TopicInfo) { t.MinISR = 1 }, "min.insync.replicas is 1"},
		{"small records", func(t *kafkaconn.TopicInfo) { t.MaxMessageBytes = 1000 }, "max.message.bytes is 1000"},
		{"settings not ours to read", func(t *kafkaconn.TopicInfo) { t.ConfigErr = os.ErrPermission }, "cannot be read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			info := good
			test.change(&info)
			var out bytes.Buffer
			checkTopic(process.NewFindings(&out), &info, true)
			if got := strings.Contains(out.String(), "warning:"); got != (test.want != "") || !strings.Contains(out.String(), test.want) {
				t.Errorf("got %s", out.String())
			}
		})
	}
}
