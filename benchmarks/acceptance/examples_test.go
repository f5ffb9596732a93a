package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/schema"
)

// The consumers in schema/examples, each in another language and over another client, print
// the same lines of one run's enriched alarms: the right ones.
func TestExamples(t *testing.T) {
	s := newScene(t, 6, beyondASCII(t))
	s.variety()
	topic := s.stack.Topics().Alarms
	events := s.records(topic)
	checkVariety(t, events)
	want := map[string]string{} // by the alarm's id
	for i := range events {
		a, err := schema.ParseEnriched(&events[i])
		if err != nil {
			t.Fatal(err)
		}
		want[a.AlarmID] = exampleLine(&a)
	}
	arguments := func(language string) []string {
		return []string{strings.Join(s.stack.Kafka().Brokers, ","), topic, "reader-" + language + "-" + strconv.FormatInt(s.apps[0], 10)}
	}
	examples := filepath.Join("..", "..", "schema", "examples")
	t.Run("Go", func(t *testing.T) {
		if os.Getenv("TIDEGATE_TEST_KAFKA_SECRETS") != "" {
			t.Skip("a Kafka with users, which the example leaves out")
		}
		program := filepath.Join(t.TempDir(), "alarms")
		if out, err := exec.Command("go", "build", "-o", program, "../../schema/examples/go").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		printed(t, append([]string{program}, arguments("go")...), want)
	})
	t.Run("Python", func(t *testing.T) {
		command := append([]string{python(t), filepath.Join(examples, "python", "alarms.py")}, arguments("python")...)
		printed(t, withSettings(t, command, ".librdkafka"), want)
	})
	t.Run("Java", func(t *testing.T) {
		libs := os.Getenv("KAFKA_LIBS")
		if libs == "" {
			t.Skip("KAFKA_LIBS is not set: Kafka's Java libraries come with a real one, see .ci/test-kafka")
		}
		command := append([]string{"java", "-cp", filepath.Join(libs, "*"), filepath.Join(examples, "java", "Alarms.java")}, arguments("java")...)
		printed(t, withSettings(t, command, ".properties"), want)
	})
}

// exampleLine is what the examples print of an alarm.
func exampleLine(a *schema.EnrichedAlarm) string {
	text := func(s *string) string {
		if s == nil {
			return "-"
		}
		return *s
	}
	return fmt.Sprintf("%s %s %d %s %d/%d %.2f%% %s %s", a.AlarmID, a.EventTime, a.SdkAppID, a.Severity, a.QuotaUsed, a.Quota,
		a.UsedPercent, text(a.Owner), text(a.ExhaustionAt))
}

// withSettings adds the reader's settings of the connection, where the cluster wants any.
func withSettings(t *testing.T, command []string, suffix string) []string {
	t.Helper()
	if given(t) == nil {
		return command
	}
	if file := settingsOf(t, "reader", suffix); file != "" {
		command = append(command, file)
	}
	return command
}

// python returns an interpreter that has the client of the example. Debian's own comes first:
// its packages are for that one.
func python(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(path, "-c", "import confluent_kafka").Run() == nil {
			return path
		}
	}
	if given(t) != nil {
		t.Fatal("a Kafka that is there, and no Python with confluent_kafka (Debian: apt-get install python3-confluent-kafka)")
	}
	t.Skip("no Python with confluent_kafka (Debian: apt-get install python3-confluent-kafka)")
	return ""
}

// printed runs an example until it has printed a line for each alarm, by its id. Those of other
// scenes' alarms are passed over.
func printed(t *testing.T, command []string, want map[string]string) {
	t.Helper()
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
	seen := map[string]bool{}
	lines := bufio.NewScanner(out)
	for len(seen) < len(want) && lines.Scan() {
		id, _, _ := strings.Cut(lines.Text(), " ")
		line, ours := want[id]
		if !ours {
			continue
		}
		if lines.Text() != line {
			t.Errorf("printed is\n%s\nwant\n%s", lines.Text(), line)
		}
		seen[id] = true
	}
	cancel() // it goes on for ever
	ended := program.Wait()
	if len(seen) < len(want) {
		t.Fatalf("%d of %d alarms were printed; the example: %v\n%s", len(seen), len(want), ended, complaint.String())
	}
	t.Logf("%d lines", len(seen))
}
