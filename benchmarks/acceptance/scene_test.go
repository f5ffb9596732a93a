package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/benchmarks/acceptance/proof"
	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/schema"
)

// A scenario's apps are nobody else's: on a shared cluster the topics hold those of others.
var nextApp atomic.Int64

func init() { nextApp.Store(1_500_000_000 + time.Now().Unix()%1_000_000*1_000) }

// scene is a running stack with apps of its own.
type scene struct {
	t        *testing.T
	stack    *stack.Stack
	appsFile string
	apps     []int64  // the last one has no token
	tokens   []string // that were ever in use, beside those that the apps file has itself
	from     stack.Position
	runs     int

	routed map[string]string         // command to its ack level, of what goes to the raw callbacks' topic; see mixedScene
	kept   map[string][]ledger.Found // by topic: what was read of it so far
	read   stack.Position            // up to where
	row    proof.Row                 // what the scenario came to
	bound  *int                      // of duplicates; nil: see proof
	began  time.Time                 // when the stack was up

	forgotten []ledger.Entry // what was excused in the last comparison
}

// patience bounds every wait for something that must come.
const patience = 90 * time.Second

// newScene starts a stack with signed apps and one more that has no token.
func newScene(t *testing.T, signed int, change func(*stack.Options)) *scene {
	t.Helper()
	bin(t, "load")
	folder := t.TempDir()
	s := &scene{t: t, appsFile: filepath.Join(folder, "apps.yaml"), kept: map[string][]ledger.Found{}}
	s.report()
	text := "defaults: {rate_limit: {per_second: 100000, burst: 100000}, alarm_rate_limit: {per_second: 100000, burst: 100000}}\napps:\n"
	first := nextApp.Add(int64(signed)+1) - int64(signed) - 1
	for i := range int64(signed) + 1 {
		s.apps = append(s.apps, first+i)
		tokens := fmt.Sprintf(`, tokens: ["plain:token-%d"]`, first+i)
		if i == int64(signed) {
			tokens = ""
		}
		text += fmt.Sprintf("  - {sdk_app_id: %d, name: App %d, owner: team-%d%s}\n", first+i, first+i, i%3, tokens)
	}
	if err := os.WriteFile(s.appsFile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(folder, "stack.log"))
	if err != nil {
		t.Fatal(err)
	}
	o := stack.Options{DataDir: filepath.Join(folder, "data"), AppsFile: s.appsFile, Log: log, ReadyTimeout: patience}
	// A consumer that was killed gives its partitions back after this long.
	o.ConsumerFlags = []string{"--session-timeout=6s"}
	if kafka := given(t); kafka != nil {
		o.Kafka, o.GatewayKafka, o.ConsumerKafka, o.KeepTopics = kafka.admin, &kafka.gateway, &kafka.consumer, true
	}
	if change != nil {
		change(&o)
	}
	if s.stack, err = stack.Start(t.Context(), o); err != nil {
		t.Fatalf("%v\n%s", err, tail(log.Name()))
	}
	secrets := newWatch(s)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
		defer cancel()
		secrets.served()
		if err := s.stack.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
		secrets.printed(log.Name())
		if t.Failed() {
			t.Logf("the end of the stack's log:\n%s", tail(log.Name()))
		}
		log.Close()
	})
	s.from, err = stack.Ends(t.Context(), s.stack.Kafka(), s.stack.Topics().All()...)
	if err != nil {
		t.Fatal(err)
	}
	s.read, s.began = stack.Position{}, time.Now()
	for topic, ends := range s.from {
		s.read[topic] = maps.Clone(ends)
	}
	return s
}

// tail returns the last part of a file.
func tail(path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		return []byte(err.Error())
	}
	return data[max(0, len(data)-12_000):]
}

func (s *scene) unsignedApp() int64 { return s.apps[len(s.apps)-1] }

// run is a load generator at work.
type run struct {
	scene  *scene
	child  *stack.Child
	ledger string
	output bytes.Buffer
}

// load starts the generator over the signed apps.
func (s *scene) load(args ...string) *run {
	s.t.Helper()
	s.runs++
	r := &run{scene: s, ledger: filepath.Join(s.t.TempDir(), fmt.Sprintf("ledger-%d.jsonl", s.runs))}
	args = append([]string{
		"run", "--url=" + s.stack.GatewayURL(), "--apps-file=" + s.appsFile, "--app-count=" + strconv.Itoa(len(s.apps)-1),
		"--ledger=" + r.ledger, "--format=json", "--seed=" + strconv.Itoa(s.runs),
	}, args...)
	r.child = stack.NewChild(stack.ChildOptions{Name: "load", Path: bin(s.t, "load"), Args: args, Log: &r.output})
	if err := r.child.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { r.child.Kill() })
	return r
}

// entries waits for the end of the run and returns its ledger.
func (r *run) entries() []ledger.Entry {
	t := r.scene.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if err := r.child.Wait(ctx); err != nil {
		t.Fatalf("load: %v\n%s", err, r.output.String())
	}
	entries, err := ledger.Read(r.ledger)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) == 0 {
		t.Fatalf("load sent nothing:\n%s", r.output.String())
	}
	return entries
}

// end stops a load that goes on until it is stopped, and returns its ledger.
func (r *run) end() []ledger.Entry {
	r.scene.t.Helper()
	if err := r.child.Stop(r.scene.t.Context()); err != nil {
		r.scene.t.Fatal(err)
	}
	return r.entries()
}

// progress waits until the run's ledger has n requests more than at the call.
func (r *run) progress(n int) { r.scene.t.Helper(); r.wait(n, "\n") }

// failures waits until the run's ledger has n more requests that failed so.
func (r *run) failures(n int, kind ledger.Failure) {
	r.scene.t.Helper()
	r.wait(n, `"failure":"`+string(kind)+`"`)
}

// wait waits until mark stands n times more in the ledger than at the call.
func (r *run) wait(n int, mark string) {
	r.scene.t.Helper()
	count := func() int {
		data, err := os.ReadFile(r.ledger)
		if err != nil {
			return 0
		}
		return bytes.Count(data, []byte(mark))
	}
	before := count()
	r.scene.eventually("the load goes on", func() error {
		if got := count() - before; got < n {
			return fmt.Errorf("%d of %d", got, n)
		}
		return nil
	})
}

// eventually polls until check returns nil, and fails the test with its last error.
func (s *scene) eventually(what string, check func() error) {
	s.t.Helper()
	if err := s.poll(check); err != nil {
		s.t.Fatalf("not within %s: %s: %v", patience, what, err)
	}
}

// poll calls check until it returns nil, and returns its last error when patience is over.
// It leaves the machine to others for as long as a check takes.
func (s *scene) poll(check func() error) error {
	deadline := time.Now().Add(patience)
	for {
		asked := time.Now()
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(max(100*time.Millisecond, time.Since(asked))):
		case <-s.t.Context().Done():
			return errors.Join(s.t.Context().Err(), err)
		}
	}
}

// records returns what came to a topic for the scene's apps since it began.
func (s *scene) records(topic string) []schema.Record {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	all, err := stack.ReadAll(ctx, s.stack.Kafka(), topic, s.from)
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(r schema.Record) bool { return !s.isOurs(&r) })
}

// row is one line of `consumer alarms --format json`.
type row struct {
	schema.EnrichedAlarm
	Deliveries int `json:"deliveries"`
}

// rows returns the saved alarms of an app, 0: of all.
func (s *scene) rows(app int64) []row {
	s.t.Helper()
	command := exec.Command(bin(s.t, "consumer"), "alarms", "--store="+s.stack.StoreURL(), "--format=json", "--limit=0", "--app="+strconv.FormatInt(app, 10))
	var complaint bytes.Buffer
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		s.t.Fatalf("consumer alarms: %v\n%s", err, complaint.String())
	}
	var rows []row
	if err := json.Unmarshal(out, &rows); err != nil {
		s.t.Fatalf("consumer alarms: %v in %.200s", err, out)
	}
	return rows
}

// answer is what the gateway said to one callback.
type answer struct {
	status int
	body   string
}

// okAnswer is what the vendor takes for success, byte for byte.
const okAnswer = `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`

// post sends one callback as curl would.
func (s *scene) post(app int64, command string, body []byte) answer {
	s.t.Helper()
	query := url.Values{
		"SdkAppid": {strconv.FormatInt(app, 10)}, "CallbackCommand": {command},
		"contenttype": {"json"}, "ClientIP": {"203.0.113.9"}, "OptPlatform": {"RESTAPI"},
	}
	response, err := http.Post(s.stack.GatewayURL()+"?"+query.Encode(), "application/json", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		s.t.Errorf("content type %q", response.Header.Get("Content-Type"))
	}
	return answer{response.StatusCode, string(text)}
}
