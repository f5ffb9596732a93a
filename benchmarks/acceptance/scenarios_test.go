package acceptance

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/schema"
)

// The gateway's ErrorCodes (gateway/internal/receive/refusal.go) of callbacks that it did not
// take, for as long as something lasts.
const (
	overRate    = 19 // the app sends too fast
	journalFull = 20 // no room
	tooBusy     = 21 // both batches are full
	parkedFull  = 22 // no room for what this topic refuses
)

// Callbacks that are no quota alarm. The default routes drop them.
const (
	commandOther = "State.StateChange"
	commandFlood = "Group.CallbackAfterSendMsg"
)

// keepEverything is a routes file that drops nothing: the alarms go where they always go,
// the rest to the topic of the other raw callbacks.
func keepEverything(t *testing.T) string {
	t.Helper()
	topics, path := schema.NewTopics(""), filepath.Join(t.TempDir(), "routes.yaml")
	text := fmt.Sprintf("routes:\n  - {command: %s, topic: %s}\n  - {command: \"*\", topic: %s}\n", schema.CommandQuotaAlarm, topics.AlarmsRaw, topics.CallbacksRaw)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// keptCommands are the commands that keepEverything keeps beside the alarm, with their ack level.
var keptCommands = map[string]string{commandOther: levelDisk, commandFlood: levelDisk}

// arrived waits until every 200 of a topic is there, while others may not be, and returns the
// comparison, which is good.
func (s *scene) arrived(topic string, entries []ledger.Entry) *ledger.Report {
	s.t.Helper()
	var report *ledger.Report
	s.eventually("every 200 is in "+topic, func() (err error) {
		if report, err = s.compareTopic(topic, entries); err == nil && len(report.Lost) > 0 {
			err = report.Err()
		}
		return err
	})
	if err := report.Err(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("%s: %s", topic, report.String())
	return report
}

// answered waits until the run's ledger has n more requests that got this answer.
func (r *run) answered(n, status, code int) {
	r.scene.t.Helper()
	r.wait(n, fmt.Sprintf(`"status":%d,"code":%d,`, status, code))
}

// tally counts the ledger's answers: "200 0", "503 20", or the failure.
type tally map[string]int

// tallied counts the answers, and fails the test for one that refuses for now and does not
// say when to come again.
func tallied(t *testing.T, entries []ledger.Entry) tally {
	t.Helper()
	counts := tally{}
	for i := range entries {
		e := &entries[i]
		if (e.Status == 503 || e.Status == 429) && e.Retry == 0 {
			t.Errorf("no Retry-After: %s", e.String())
		}
		if e.Failure != "" {
			counts[string(e.Failure)]++
			continue
		}
		counts[fmt.Sprintf("%d %d", e.Status, e.Code)]++
	}
	return counts
}

// of returns how many got this answer.
func (c tally) of(status, code int) int { return c[fmt.Sprintf("%d %d", status, code)] }

// Answers of a tally.
var (
	answer429  = fmt.Sprintf("429 %d", overRate)
	answerFull = fmt.Sprintf("503 %d", journalFull)

	// slow are the answers of a gateway whose disk is slow for a moment, as it may be where
	// everything shares one: both batches of so small a journal are full, or a sync took too long.
	slow = []string{fmt.Sprintf("503 %d", tooBusy), fmt.Sprintf("503 %d", notConfirmed.NotConfirmed[0])}
)

// only fails the test where there was another answer than a 200 or one of these.
func (c tally) only(t *testing.T, what string, answers ...string) {
	t.Helper()
	for _, answer := range slices.Sorted(maps.Keys(c)) {
		if answer != "200 0" && !slices.Contains(answers, answer) {
			t.Errorf("%s: %d answers %s, want 200 0 and %q only", what, c[answer], answer, answers)
		}
	}
}

func (c tally) String() string {
	var parts []string
	for _, answer := range slices.Sorted(maps.Keys(c)) {
		parts = append(parts, fmt.Sprintf("%d x %s", c[answer], answer))
	}
	return strings.Join(parts, ", ")
}

// metric returns the sum of the gateway's series whose name, with its first labels, begins
// with prefix.
func (s *scene) metric(prefix string) (sum float64) {
	s.t.Helper()
	response, err := http.Get(s.stack.GatewayAdminURL() + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			s.t.Fatalf("metric %q: %v", lines.Text(), err)
		}
		sum += v
	}
	if err := lines.Err(); err != nil {
		s.t.Fatal(err)
	}
	return sum
}

// reaches waits until the sum of the gateway's series passes.
func (s *scene) reaches(what, prefix string, pass func(float64) bool) {
	s.t.Helper()
	s.eventually(what, func() error {
		if v := s.metric(prefix); !pass(v) {
			return fmt.Errorf("%s is %v", prefix, v)
		}
		return nil
	})
}

// appsFileOf writes an apps file with some of the scene's signed apps, for a load that is
// to send for them alone, and returns its path.
func (s *scene) appsFileOf(apps []int64) string {
	s.t.Helper()
	text := "apps:\n"
	for _, app := range apps {
		text += fmt.Sprintf("  - {sdk_app_id: %d, name: App, owner: team, tokens: [\"plain:token-%d\"]}\n", app, app)
	}
	path := filepath.Join(s.t.TempDir(), "apps.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// loadFor starts the generator over some of the signed apps.
func (s *scene) loadFor(apps []int64, args ...string) *run {
	s.t.Helper()
	return s.load(append([]string{"--apps-file=" + s.appsFileOf(apps), "--app-count=0"}, args...)...)
}

// steady are the flags of a load that goes on until it is stopped.
func steady(perSecond int, command string, more ...string) []string {
	return append([]string{"--rate=" + strconv.Itoa(max(1, perSecond)), "--duration=0s", "--connections=32", "--mix=" + command + "=1", withoutAnswer}, more...)
}

// alarms is the quota alarm's name in --mix.
const alarms = "alarm"

// gatewayKafka returns the flags by which the scene's gateway reaches Kafka.
func (s *scene) gatewayKafka() []string {
	s.t.Helper()
	flags := s.stack.Kafka()
	if cluster := given(s.t); cluster != nil {
		prefix := flags.TopicPrefix
		flags = cluster.gateway
		flags.TopicPrefix = prefix
	}
	return stack.KafkaFlags(flags)
}

// killAndStart kills the gateway (-9) and starts it again. It does not wait until it is ready:
// one whose journal is full is not.
func (s *scene) killAndStart() {
	s.t.Helper()
	s.kill()
	if err := s.stack.Gateway().Start(); err != nil {
		s.t.Fatal(err)
	}
}

// ready returns the status of the gateway's /readyz.
func (s *scene) ready() int {
	s.t.Helper()
	status, _, err := s.readyz()
	if err != nil {
		s.t.Fatal(err)
	}
	return status
}

// says reports an error unless the gateway's /readyz?verbose has the text.
func (s *scene) says(text string) error {
	_, got, err := s.readyz()
	if err == nil && !strings.Contains(got, text) {
		err = fmt.Errorf("no %q in\n%s", text, got)
	}
	return err
}

// saysSoon waits until the gateway's /readyz?verbose has the text.
func (s *scene) saysSoon(text string) {
	s.t.Helper()
	s.eventually("the gateway has noticed", func() error { return s.says(text) })
}

// refuses is what /readyz?verbose says of a topic that refuses.
func refuses(topic string) string { return topic + " refused" }

// readyz returns the status and the text of the gateway's /readyz?verbose.
func (s *scene) readyz() (status int, text string, err error) {
	response, err := http.Get(s.stack.GatewayAdminURL() + "/readyz?verbose")
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	return response.StatusCode, string(all), err
}
