package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/schema"
)

// onceCommand sends one signed alarm and follows it.
type onceCommand struct {
	kafkaconn.Flags
	URL         string        `default:"http://127.0.0.1:8080/" placeholder:"URL" help:"The gateway; loopback only (default ${default})."`
	AppsFile    string        `required:"" placeholder:"FILE" help:"Apps and their tokens, the file that the gateway has."`
	App         int64         `required:"" placeholder:"ID" help:"SdkAppid to send for."`
	Store       string        `default:"sqlite:data/tidegate.db" env:"TIDEGATE_CONSUMER_STORE" placeholder:"URL" help:"The consumer's --store, read with bin/consumer (default ${default})."`
	ConsumerBin string        `placeholder:"FILE" help:"The consumer binary (default: beside this one, else bin/consumer)."`
	Used        int64         `default:"7321" help:"QuotaUsed of the alarm (default ${default})."`
	Quota       int64         `default:"10000" help:"Quota of the alarm (default ${default})."`
	Timeout     time.Duration `default:"20s" help:"How long to wait for all hops (default ${default})."`
}

// hops are the places that an alarm comes by, in order, each with where to look when the
// alarm does not come.
var hops = []struct{ name, advice string }{
	{"answer", "is the gateway up, and does it listen at --url?"},
	{"raw", "does the gateway reach Kafka? ask its /readyz?verbose; is --topic-prefix the gateway's?"},
	{"row", "does the consumer run, does it reach Kafka and its database, is --store its own? ask its /readyz?verbose"},
	{"enriched", "does the consumer reach Kafka to write? ask its /readyz?verbose"},
}

// arrivalAt is an alarm that was seen at a hop.
type arrivalAt struct {
	hop  string
	what string
	err  error
}

// errMissing is wrapped by what once returns for a hop that the alarm did not come to.
var errMissing = errors.New("missing hop")

// Run sends the alarm and prints each hop as it is reached, with the milliseconds since
// the request left. The first missing hop is the error.
func (c *onceCommand) Run(ctx context.Context, out io.Writer) error {
	if c.Used < 0 || c.Quota < 1 {
		return errors.New("--used cannot be negative and --quota must be positive")
	}
	target, err := parseTarget(c.URL)
	if err != nil {
		return err
	}
	from, err := c.sender()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	topics := schema.NewTopics(c.TopicPrefix)
	start, err := stack.Ends(ctx, c.Flags, topics.AlarmsRaw, topics.Alarms, topics.AlarmsDLQ)
	if err != nil {
		return err
	}
	now := time.Now()
	request, body := c.request(target, from, now)
	t := &trail{command: c, topics: topics, body: body, id: c.alarmID(now), out: out, began: time.Now()}
	if err := t.answer(ctx, target, request); err != nil {
		return err
	}
	return t.follow(ctx, start)
}

// sender returns the app with its first token, as the gateway resolves it.
func (c *onceCommand) sender() (*sender, error) {
	snapshot, err := readApps(c.AppsFile)
	if err != nil {
		return nil, err
	}
	for app := range snapshot.All() {
		if app.ID == c.App {
			return &sender{id: app.ID, token: firstToken(app), quota: c.Quota}, nil
		}
	}
	return nil, fmt.Errorf("--app %d is not in %s", c.App, c.AppsFile)
}

// request makes the request and returns its body too.
func (c *onceCommand) request(target target, from *sender, now time.Time) (request, body []byte) {
	composer := newComposer(&recipe{target: target}, nil)
	e := ledger.Entry{
		App: from.id, Kind: ledger.KindAlarm, Command: schema.CommandQuotaAlarm,
		EventTime: now.UnixMilli(), Used: c.Used, Quota: c.Quota,
	}
	facts := facts{eventTime: e.EventTime, used: e.Used}
	if from.token != nil {
		facts.request = now.Unix()
		facts.sign = signature(from.token, facts.request)
	}
	composer.body = appendAlarm(nil, &e, "string", false)
	composer.makeRequest(&e, &facts)
	return composer.request, composer.body
}

// alarmID is the identity that the consumer will give the alarm.
func (c *onceCommand) alarmID(now time.Time) string {
	return schema.AlarmID(
		&schema.Callback{AppID: c.App, Command: []byte(schema.CommandQuotaAlarm)},
		&schema.QuotaAlarm{QuotaUsed: c.Used, Quota: c.Quota, EventTime: now.UTC().Truncate(time.Millisecond)})
}

// trail follows one alarm.
type trail struct {
	command *onceCommand
	topics  schema.Topics
	body    []byte
	id      string // alarm id
	out     io.Writer
	began   time.Time

	// Owned by the goroutine that reads: topics are fetched side by side, so the event may be
	// read before the raw record.
	sawRaw, sawEvent bool
}

// reached prints one hop.
func (t *trail) reached(hop, what string) {
	fmt.Fprintf(t.out, "%-9s %9.1f ms  %s\n", hop, float64(time.Since(t.began).Microseconds())/1000, what)
}

// answer sends the request and prints what came back.
func (t *trail) answer(ctx context.Context, target target, request []byte) error {
	connection := &connection{target: target, timeout: t.command.Timeout}
	defer connection.close()
	result := connection.exchange(ctx, request, time.Now())
	if result.failure != "" {
		return t.missing(0, fmt.Sprintf("%s: %s", t.command.URL, result.failure))
	}
	t.reached("answer", fmt.Sprintf("%d, ErrorCode %d", result.status, result.code))
	if result.status != 200 {
		return fmt.Errorf("%w: the gateway refused the alarm with %d, ErrorCode %d; its /apps page says why", errMissing, result.status, result.code)
	}
	return nil
}

// follow waits for the hops behind the answer. They are watched at the same time, so that
// each is seen when it happens, and printed in their order.
func (t *trail) follow(ctx context.Context, start stack.Position) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	arrivals := make(chan arrivalAt)
	send := func(a arrivalAt) {
		select {
		case arrivals <- a:
		case <-ctx.Done():
		}
	}
	reading, polling := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(reading)
		err := stack.Follow(ctx, t.command.Flags, start, func(r *schema.Record) bool { return t.record(r, send) })
		if err != nil {
			send(arrivalAt{hop: "raw", err: err})
		}
	}()
	go func() {
		defer close(polling)
		t.poll(ctx, send)
	}()
	err := t.await(ctx, arrivals)
	cancel()
	<-reading
	<-polling
	return err
}

// await prints the hops until the last, or says which is the first that is missing.
func (t *trail) await(ctx context.Context, arrivals <-chan arrivalAt) error {
	seen := map[string]bool{"answer": true}
	var last error // the last thing that went wrong at a hop, for the reader
	for len(seen) < len(hops) {
		select {
		case a := <-arrivals:
			if a.hop == "dead letter" {
				return fmt.Errorf("%w: the consumer refused the alarm: %w", errMissing, a.err)
			}
			if a.err != nil {
				last = a.err
				continue
			}
			seen[a.hop] = true
			t.reached(a.hop, a.what)
		case <-ctx.Done():
			for i := range hops {
				if !seen[hops[i].name] {
					return t.missing(i, fmt.Sprintf("not seen within %s (%v)", t.command.Timeout, last))
				}
			}
		}
	}
	return nil
}

func (t *trail) missing(hop int, what string) error {
	return fmt.Errorf("%w: %s: %s; %s", errMissing, hops[hop].name, what, hops[hop].advice)
}

// record reports the alarm's records, each once. It returns false after the last one.
func (t *trail) record(r *schema.Record, send func(arrivalAt)) (more bool) {
	id, _ := r.Header(schema.HeaderID)
	place := fmt.Sprintf("%s partition %d offset %d", r.Topic, r.Partition, r.Offset)
	switch r.Topic {
	case t.topics.AlarmsRaw:
		if !t.sawRaw && string(r.Key) == strconv.FormatInt(t.command.App, 10) && bytes.Equal(r.Value, t.body) {
			t.sawRaw = true
			send(arrivalAt{hop: "raw", what: place + ", id " + string(id)})
		}
	case t.topics.AlarmsDLQ:
		if bytes.Equal(r.Value, t.body) {
			reason, _ := r.Header(schema.HeaderDeadReason)
			message, _ := r.Header(schema.HeaderDeadMessage)
			send(arrivalAt{hop: "dead letter", err: fmt.Errorf("%s: %s (%s)", reason, message, place)})
			return false
		}
	case t.topics.Alarms:
		var event schema.EnrichedAlarm
		if !t.sawEvent && json.Unmarshal(r.Value, &event) == nil && event.AlarmID == t.id {
			t.sawEvent = true
			send(arrivalAt{hop: "enriched", what: fmt.Sprintf("%s, severity %s", place, event.Severity)})
		}
	}
	return !t.sawRaw || !t.sawEvent
}

// savedAlarm is what `consumer alarms --format json` says of a row, as far as it is looked at.
type savedAlarm struct {
	AlarmID    string `json:"alarm_id"`
	Deliveries int    `json:"deliveries"`
}

// pollEvery is the pause between two looks into the database: each is a process.
const pollEvery = 20 * time.Millisecond

// poll looks for the row until it is there or ctx ends.
func (t *trail) poll(ctx context.Context, send func(arrivalAt)) {
	var last error
	for ctx.Err() == nil {
		rows, err := t.command.rows(ctx)
		for _, row := range rows {
			if row.AlarmID == t.id {
				send(arrivalAt{hop: "row", what: fmt.Sprintf("alarm %s, deliveries %d", row.AlarmID, row.Deliveries)})
				return
			}
		}
		if err != nil && last == nil && ctx.Err() == nil {
			last = err
			send(arrivalAt{hop: "row", err: err})
		}
		pause(ctx, pollEvery)
	}
}

// rows asks the consumer binary for the newest rows of the app: it is the one way into the
// database that works for every kind of it.
func (c *onceCommand) rows(ctx context.Context) ([]savedAlarm, error) {
	binary := c.ConsumerBin
	if binary == "" {
		var err error
		if binary, err = stack.Bin("consumer"); err != nil {
			return nil, err
		}
	}
	command := exec.CommandContext(ctx, binary, "alarms", "--app="+strconv.FormatInt(c.App, 10), "--limit=50", "--format=json")
	command.Env = append(os.Environ(), "TIDEGATE_CONSUMER_STORE="+c.Store) // no flag: it may have a password
	var complaint bytes.Buffer
	command.Stderr = &complaint
	text, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("consumer alarms: %w: %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	return parseRows(text)
}

// parseRows reads JSON objects, one after the other or in an array.
func parseRows(text []byte) ([]savedAlarm, error) {
	if text = bytes.TrimSpace(text); bytes.HasPrefix(text, []byte("[")) {
		var rows []savedAlarm
		if err := json.Unmarshal(text, &rows); err != nil {
			return nil, fmt.Errorf("read consumer alarms: %w", err)
		}
		return rows, nil
	}
	var rows []savedAlarm
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		var row savedAlarm
		switch err := decoder.Decode(&row); {
		case errors.Is(err, io.EOF):
			return rows, nil
		case err != nil:
			return nil, fmt.Errorf("read consumer alarms: %w", err)
		}
		rows = append(rows, row)
	}
}
