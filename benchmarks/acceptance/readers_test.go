package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/internal/produce"
	"github.com/tidegate/tidegate/schema"
)

// The contract holds for those who have none of our code: Kafka's Java tools and
// librdkafka (as kcat) read the same bytes as the tests' own reader, what they read is
// what the published schemas say, and what they produce goes to our partitions.
func TestForeignReaders(t *testing.T) {
	began := time.Now()
	s := newScene(t, 24, beyondASCII(t))
	bodies := s.variety()
	topics := s.stack.Topics()
	events := s.records(topics.Alarms)
	checkVariety(t, events)

	// The commands are those of docs/contract.md; they begin where the scene did, not at
	// the topic's beginning.
	t.Run("Java console consumer", func(t *testing.T) {
		command := s.javaTool(t, "org.apache.kafka.tools.consumer.ConsoleConsumer", "reader")
		// Java takes the duration from when it has joined, which may be much later than now.
		since := int(time.Since(began).Seconds()) + 120
		command = append(command, "--topic", topics.Alarms, "--group", "reader-acceptance-"+strconv.FormatInt(s.apps[0], 10), "--timeout-ms", "60000",
			"--command-property", fmt.Sprintf("auto.offset.reset=by_duration:PT%dS", since))
		for _, field := range []string{"timestamp", "partition", "offset", "headers", "key"} {
			command = append(command, "--formatter-property", "print."+field+"=true")
		}
		checkShown(t, see(t, command, javaLine, events), events)
	})
	since := fmt.Sprintf("s@%d", began.UnixMilli())
	t.Run("kcat, JSON", func(t *testing.T) {
		command := s.kcat(t, "reader", "-C", "-e", "-o", since, "-t", topics.Alarms, "-J")
		checkShown(t, see(t, command, kcatJSON, events), events)
	})
	for _, topic := range []string{topics.AlarmsRaw, topics.AlarmsDLQ} {
		t.Run("kcat, bytes of "+topic, func(t *testing.T) { // admin: the reader may not read it
			command := s.kcat(t, "admin", "-C", "-e", "-o", since, "-t", topic, "-f", `%p %o %T %K %S %h\x1e%k%s\n`)
			shown := see(t, command, kcatBytes, s.records(topic))
			for _, b := range bodies {
				if topic == topics.AlarmsDLQ && !b.dead {
					continue
				}
				if !slices.ContainsFunc(shown, func(r shownRecord) bool { return r.value == b.text }) {
					t.Errorf("%q was sent and is not shown", b.text)
				}
			}
		})
	}
	t.Run("kcat may not read raw records as reader", func(t *testing.T) {
		if os.Getenv("TIDEGATE_TEST_KAFKA_SECRETS") == "" {
			t.Skip("a Kafka without users")
		}
		command := s.kcat(t, "reader", "-C", "-e", "-o", since, "-t", topics.AlarmsRaw)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "authorization failed") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("Java console producer's partitions", func(t *testing.T) {
		command := s.javaTool(t, "org.apache.kafka.tools.ConsoleProducer", "admin")
		s.checkPartitions(t, append(command, "--topic", topics.CallbacksRaw, "--reader-property", "parse.key=true"), events)
	})
	t.Run("kcat's partitions", func(t *testing.T) {
		s.checkPartitions(t, s.kcat(t, "admin", "-P", "-t", topics.CallbacksRaw, "-K", `\t`, "-X", "partitioner=murmur2_random"), events)
	})
}

// beyondASCII gives the apps names that take more than one byte a letter.
func beyondASCII(t *testing.T) func(*stack.Options) {
	return func(o *stack.Options) {
		text, err := os.ReadFile(o.AppsFile)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(o.AppsFile, bytes.ReplaceAll(text, []byte("name: App"), []byte("name: 港湾 é")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// sent is a body and whether the consumer must refuse it.
type sent struct {
	text string
	dead bool
}

// variety sends what the vendor and others may send, and returns when the consumer is
// through with it: alarms of every severity, late ones and mixed forms of EventTime, and
// malformed bodies. It returns those that it made itself, all of the unsigned app.
func (s *scene) variety() []sent {
	s.t.Helper()
	entries := s.load("--requests=1000", "--rate=400", "--climb=3", "--history=20m", "--event-time=mixed", "--malformed=0.1").entries()
	s.settled(entries)
	s.consumed(entries)

	at := func(ahead time.Duration) int64 { return time.Now().Add(ahead).UnixMilli() }
	bodies := []sent{
		{text: alarmWith(fmt.Sprintf(`"QuotaUsed":11,"Quota":10000,"EventTime":"%d"`, at(0)))},
		{text: alarmWith(fmt.Sprintf(`"QuotaUsed":7200,"Quota":10000,"EventTime":%d`, at(-3*time.Hour)))},
		{text: alarmWith(fmt.Sprintf(`"QuotaUsed":7300,"Quota":10000,"EventTime":"%d"`, at(2*time.Hour)))},
		{text: alarmWith(`"QuotaUsed":7400,"Quota":10000`)},
		{text: "\n\t" + alarmWith(`"QuotaUsed":10500,"Quota":10000,"New":{"a":[null,"\u00e9","é"]}`) + "\r\n"},
		{text: alarmWith(`"QuotaUsed":7500,"Quota":10000,"X":"` + "\xff\xfe\xc0\x80" + `"`), dead: true},
		{text: "\x00\x1e\t\n\r{", dead: true},
	}
	dead := 0
	events, letters := len(s.records(s.stack.Topics().Alarms)), len(s.records(s.stack.Topics().AlarmsDLQ))
	for _, b := range bodies {
		if got := s.post(s.unsignedApp(), schema.CommandQuotaAlarm, []byte(b.text)); got.status != 200 {
			s.t.Fatalf("%q: answer %+v", b.text, got)
		}
		if b.dead {
			dead++
		}
	}
	s.eventually("events and dead letters of the last bodies", func() error {
		e, l := len(s.records(s.stack.Topics().Alarms))-events, len(s.records(s.stack.Topics().AlarmsDLQ))-letters
		if e < len(bodies)-dead || l < dead {
			return fmt.Errorf("%d events and %d dead letters of %d bodies", e, l, len(bodies))
		}
		return nil
	})
	return bodies
}

// checkVariety checks that the events are as different as variety means them to be.
func checkVariety(t *testing.T, events []schema.Record) {
	t.Helper()
	seen := map[string]int{}
	for i := range events {
		var e schema.EnrichedAlarm
		if err := json.Unmarshal(events[i].Value, &e); err != nil {
			t.Fatalf("event %s: %v", events[i].Value, err)
		}
		seen[string(e.Severity)]++
		seen[string(e.EventTimeSource)]++
		seen[fmt.Sprintf("late: %t", e.Late)]++
	}
	want := []string{string(schema.EventTimeVendor), string(schema.EventTimeReceipt), "late: true", "late: false"}
	for _, severity := range schema.Severities() {
		want = append(want, string(severity))
	}
	for _, kind := range want {
		if seen[kind] == 0 {
			t.Errorf("no event is %s: %v", kind, seen)
		}
	}
}

// javaTool returns the command line of one of Kafka's Java tools, connected as user.
func (s *scene) javaTool(t *testing.T, class, user string) []string {
	t.Helper()
	if given(t) == nil {
		t.Skip("an embedded broker: Kafka's Java tools come with a real one, see .ci/test-kafka")
	}
	script := os.Getenv("TIDEGATE_TEST_KAFKA_SH")
	if script == "" {
		t.Fatal("a Kafka that is there, and no TIDEGATE_TEST_KAFKA_SH to run its Java tools with")
	}
	command := []string{script, "tool", class, "--bootstrap-server", strings.Join(s.stack.Kafka().Brokers, ",")}
	if file := settingsOf(t, user, ".properties"); file != "" {
		command = append(command, "--command-config", file)
	}
	return command
}

// kcat returns a command line of kcat, connected as user.
func (s *scene) kcat(t *testing.T, user string, args ...string) []string {
	t.Helper()
	path, err := exec.LookPath("kcat")
	switch {
	case err != nil && given(t) == nil:
		t.Skip("kcat is not installed (Debian: apt-get install kcat)")
	case err != nil:
		t.Fatalf("a Kafka that is there, and no kcat to read it with: %v", err)
	}
	file := os.DevNull // whoever runs the tests may have settings of their own
	if given(t) != nil {
		if own := settingsOf(t, user, ".librdkafka"); own != "" {
			file = own
		}
	}
	return append([]string{path, "-F", file, "-b", strings.Join(s.stack.Kafka().Brokers, ",")}, args...)
}

// settingsOf returns the file of a user's settings of the connection, empty where the
// given cluster wants none.
func settingsOf(t *testing.T, user, suffix string) string {
	t.Helper()
	if secrets := os.Getenv("TIDEGATE_TEST_KAFKA_SECRETS"); secrets != "" {
		return filepath.Join(secrets, user+suffix)
	}
	if flags := os.Getenv("TIDEGATE_TEST_KAFKA_FLAGS"); flags != "" {
		t.Skipf("TIDEGATE_TEST_KAFKA_FLAGS=%q says nothing to programs of others: give TIDEGATE_TEST_KAFKA_SECRETS", flags)
	}
	return ""
}

// shownRecord is a record as a program prints it.
type shownRecord struct {
	partition, offset, time int64  // time in milliseconds since 1970
	key, headers, value     string // headers as NAME=VALUE,NAME=VALUE
}

// showing is how a reader must show r.
func showing(r *schema.Record) shownRecord {
	var headers []string
	for _, h := range r.Headers {
		headers = append(headers, h.Key+"="+string(h.Value))
	}
	return shownRecord{
		partition: int64(r.Partition), offset: r.Offset, time: r.Time.UnixMilli(),
		key: string(r.Key), headers: strings.Join(headers, ","), value: string(r.Value),
	}
}

// see runs a reader until it has shown a record at each place of want, which it returns in
// the order in which they were shown, each equal to that of want in everything. Next takes
// one record from what the reader prints.
func see(t *testing.T, command []string, next func(*bufio.Reader) (shownRecord, error), want []schema.Record) []shownRecord {
	t.Helper()
	missing := map[[2]int64]*schema.Record{}
	for i := range want {
		missing[[2]int64{int64(want[i].Partition), want[i].Offset}] = &want[i]
	}
	if len(missing) == 0 {
		t.Fatal("there is nothing to see")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	program := exec.CommandContext(ctx, command[0], command[1:]...)
	var complaint bytes.Buffer
	program.Stderr = &complaint
	out, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	var all []shownRecord
	for printed := bufio.NewReader(out); len(missing) > 0; {
		var got shownRecord
		if got, err = next(printed); err != nil {
			break
		}
		place := [2]int64{got.partition, got.offset}
		original := missing[place]
		if original == nil {
			continue // another scene's
		}
		delete(missing, place)
		if wanted := showing(original); got != wanted {
			t.Errorf("shown is\n%#v\nwant\n%#v", got, wanted)
		}
		all = append(all, got)
	}
	cancel() // it may have ended by itself
	ended := program.Wait()
	if err != nil {
		t.Fatalf("%d of %d records are not shown: %v; the reader: %v\n%s", len(missing), len(want), err, ended, complaint.String())
	}
	t.Logf("%d records", len(all))
	return all
}

// checkShown holds what a reader of enriched alarms showed to the published schemas. The
// key and the headers are those of the originals, which see found equal.
func checkShown(t *testing.T, shown []shownRecord, originals []schema.Record) {
	t.Helper()
	published := publishedSchemas(t)
	partitions := map[string]int64{}
	for i := range originals {
		partitions[string(originals[i].Key)] = int64(originals[i].Partition)
	}
	for _, got := range shown {
		r := schema.Record{Key: []byte(got.key), Value: []byte(got.value)}
		for header := range strings.SplitSeq(got.headers, ",") { // no header of an event has a comma
			name, value, _ := strings.Cut(header, "=")
			r.Headers = append(r.Headers, schema.Header{Key: name, Value: []byte(value)})
		}
		if _, err := published.check(&r); err != nil {
			t.Errorf("%s\n%v", got.value, err)
		}
		if got.partition != partitions[got.key] {
			t.Errorf("key %s is in partitions %d and %d", got.key, got.partition, partitions[got.key])
		}
	}
}

// javaLine reads a line of the console consumer:
// CreateTime:MS TAB Partition:N TAB Offset:N TAB NAME:VALUE,... TAB KEY TAB VALUE.
func javaLine(r *bufio.Reader) (got shownRecord, err error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return got, err
	}
	fields := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 6)
	if len(fields) < 6 {
		return got, fmt.Errorf("line %q: want 6 fields", line)
	}
	if _, err := fmt.Sscanf(strings.Join(fields[:3], " "), "CreateTime:%d Partition:%d Offset:%d", &got.time, &got.partition, &got.offset); err != nil {
		return got, fmt.Errorf("line %q: %w", line, err)
	}
	headers := strings.Split(fields[3], ",")
	for i := range headers {
		headers[i] = strings.Replace(headers[i], ":", "=", 1)
	}
	got.headers, got.key, got.value = strings.Join(headers, ","), fields[4], fields[5]
	return got, nil
}

// kcatJSON reads a line of kcat -J.
func kcatJSON(r *bufio.Reader) (got shownRecord, err error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return got, err
	}
	var envelope struct {
		Partition, Offset, TS int64
		Key, Payload          string
		Headers               []string
	}
	if err := json.Unmarshal(line, &envelope); err != nil {
		return got, fmt.Errorf("line %q: %w", line, err)
	}
	var headers []string
	for pair := range slices.Chunk(envelope.Headers, 2) {
		headers = append(headers, strings.Join(pair, "="))
	}
	return shownRecord{
		partition: envelope.Partition, offset: envelope.Offset, time: envelope.TS,
		key: envelope.Key, headers: strings.Join(headers, ","), value: envelope.Payload,
	}, nil
}

// kcatBytes reads a record of kcat -f '%p %o %T %K %S %h\x1e%k%s\n': lengths first, so that
// key and value may hold any bytes.
func kcatBytes(r *bufio.Reader) (got shownRecord, err error) {
	head, err := r.ReadString('\x1e')
	if err != nil {
		return got, err
	}
	var key, value int
	if _, err := fmt.Sscan(head, &got.partition, &got.offset, &got.time, &key, &value); err != nil {
		return got, fmt.Errorf("head %q: %w", head, err)
	}
	got.headers = strings.TrimSuffix(strings.SplitN(head, " ", 6)[5], "\x1e")
	rest := make([]byte, key+value+1)
	if _, err := io.ReadFull(r, rest); err != nil {
		return got, fmt.Errorf("after head %q: %w", head, err)
	}
	got.key, got.value = string(rest[:key]), string(rest[key:key+value])
	return got, nil
}

// checkPartitions has a producer send a record for each app to the topic of other
// callbacks, where the scene has none, and checks that each is in the partition that the
// app's events are in: whoever joins the two topics by key finds both on one side.
func (s *scene) checkPartitions(t *testing.T, producer []string, events []schema.Record) {
	t.Helper()
	topics := s.stack.Topics()
	before := len(s.records(topics.CallbacksRaw))
	var lines strings.Builder
	for _, app := range s.apps {
		fmt.Fprintf(&lines, "%d\t%s\n", app, t.Name())
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	program := exec.CommandContext(ctx, producer[0], producer[1:]...)
	program.Stdin = strings.NewReader(lines.String())
	if out, err := program.CombinedOutput(); err != nil {
		t.Fatalf("produce: %v\n%s", err, out)
	}
	partitions := map[string]int32{}
	for i := range events {
		partitions[string(events[i].Key)] = events[i].Partition
	}
	all := s.records(topics.CallbacksRaw)
	if len(all) != before+len(s.apps) || len(partitions) != len(s.apps) {
		t.Fatalf("%d records and events of %d apps, want %d of each", len(all)-before, len(partitions), len(s.apps))
	}
	for i := range all {
		r := &all[i]
		if string(r.Value) != t.Name() {
			continue
		}
		ours := produce.PartitionOf(r.Key, int32(len(s.from[topics.Alarms])))
		if r.Partition != ours || partitions[string(r.Key)] != ours {
			t.Errorf("key %s: the producer chose partition %d, its events are in %d, murmur2 says %d", r.Key, r.Partition, partitions[string(r.Key)], ours)
		}
	}
}
