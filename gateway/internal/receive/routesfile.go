package receive

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/reload"
	"github.com/tidegate/tidegate/schema"
)

// routesFile is routes.yaml as it is written:
//
//	routes:                                  # ordered, the first match wins
//	  - command: Group.CallbackAfter*        # required; a glob: * any run, ? one character, [a-z] a range
//	    apps: [1400000001]                   # absent: all apps
//	    topic: im.callbacks.raw              # this or drop: true; without the prefix of --topic-prefix
//	    ack: disk                            # memory, disk or broker; absent: --ack, or memory for blocking commands
//	    reserve: false                       # may use the last tenth; absent: only the quota alarm
//	  - command: C2C.CallbackBeforeSendMsg
//	    drop: true                           # answered and counted, not kept
//	    answer: {ErrorCode: 1, ErrorInfo: "not allowed"}
//
// An answer is the vendor's envelope: ActionStatus (OK or FAIL; default OK), ErrorInfo (default empty) and
// ErrorCode (default 0), and whatever else the vendor's page of that command allows.
type routesFile struct {
	Routes *[]struct {
		Command string         `yaml:"command"`
		Apps    *[]int64       `yaml:"apps"`
		Topic   *string        `yaml:"topic"`
		Drop    *bool          `yaml:"drop"`
		Ack     *string        `yaml:"ack"`
		Answer  map[string]any `yaml:"answer"`
		Reserve *bool          `yaml:"reserve"`
	} `yaml:"routes"`
}

// topicName is what Kafka takes as a topic's name.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// ParseRoutes returns the parser of routes.yaml. Every mistake is reported, with its place
// and what to write instead.
func ParseRoutes(o RouteOptions) reload.Parse[*Routes] {
	return func(data []byte) (*Routes, reload.Problems) {
		var file routesFile
		doc, problems := reload.Decode(data, &file)
		if len(problems.Errors()) > 0 {
			return nil, problems
		}
		c := routeChecker{doc: doc, problems: problems, o: o}
		if file.Routes == nil {
			// A file that was cut to nothing must not drop all that its routes kept.
			c.problems.Add(doc.At(), "routes is missing; write routes: [] to have none")
			return nil, c.problems
		}
		list := make([]route, len(*file.Routes))
		for i := range *file.Routes {
			in := &(*file.Routes)[i]
			c.index = i
			list[i] = route{
				command: c.command(in.Command),
				apps:    c.apps(in.Apps),
				topic:   c.topic(in.Command, in.Topic, in.Drop),
				ack:     c.ack(in.Ack, in.Topic),
				answer:  c.answer(in.Answer),
				reserve: in.Reserve,
			}
		}
		if len(c.problems.Errors()) > 0 {
			return nil, c.problems
		}
		return newRoutes(list, o), c.problems
	}
}

// GuardRoutes holds a reload back that takes every route out of a file that had some: a template
// that rendered `routes: []` must not drop all that they kept. To route nothing from now on, one
// route says so: {command: "*", drop: true}.
func GuardRoutes(prev, next *Routes) (problems reload.Problems) {
	if prev.written > 0 && next.written == 0 {
		problems.Add(reload.Pos{}, "all %d routes are gone; if that is meant, write routes: [{command: \"*\", drop: true}]", prev.written)
	}
	return problems
}

// routeChecker checks what the values of one route mean.
type routeChecker struct {
	doc      *reload.Document
	problems reload.Problems
	o        RouteOptions
	index    int // of the route in the file
}

func (c *routeChecker) wrong(key, format string, args ...any) {
	at := c.doc.At("routes", c.index)
	if key != "" {
		at = c.doc.At("routes", c.index, key)
	}
	c.problems.Add(at, "%s", strings.TrimSuffix(fmt.Sprintf("routes[%d].%s", c.index, key), ".")+": "+fmt.Sprintf(format, args...))
}

func (c *routeChecker) command(glob string) string {
	if glob == "" {
		c.wrong("", "command is missing; write a CallbackCommand, or a glob such as Group.*")
	} else if _, err := path.Match(glob, ""); err != nil {
		c.wrong("command", "the glob is broken; write * for any run, ? for one character, [a-z] for a range")
	}
	return glob
}

func (c *routeChecker) apps(ids *[]int64) []int64 {
	if ids == nil {
		return nil
	}
	if len(*ids) == 0 {
		c.wrong("apps", "the list is empty, so the route is for nobody; leave apps out for all apps, or remove the route")
		return nil
	}
	for i, id := range *ids {
		if id <= 0 || id > schema.MaxAppID {
			c.problems.Add(c.doc.At("routes", c.index, "apps", i), "routes[%d].apps[%d]: %d is no SdkAppid; write a positive integer", c.index, i, id)
		}
	}
	sorted := slices.Clone(*ids)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// topic returns the topic with its prefix, "" where the route drops.
func (c *routeChecker) topic(command string, name *string, drop *bool) string {
	switch {
	case name == nil && (drop == nil || !*drop):
		c.wrong("", "says neither where to nor that it drops; write topic: NAME or drop: true")
		return ""
	case name == nil:
		return ""
	case drop != nil && *drop:
		c.wrong("drop", "a route with a topic does not drop; write one of the two")
		return ""
	}
	full := c.o.TopicPrefix + *name
	ours := schema.NewTopics("")
	switch {
	case *name == "." || *name == ".." || !topicName.MatchString(full):
		c.wrong("topic", "no topic can have this name; write up to 249 letters, digits, dots, dashes and underscores, the prefix included")
	case *name == ours.Alarms || *name == ours.AlarmsDLQ:
		c.wrong("topic", "%s is written by the consumer only; write %s, or a name of your own", *name, ours.CallbacksRaw)
	case *name == ours.AlarmsRaw && command != schema.CommandQuotaAlarm:
		c.wrong("topic", "%s takes only %s, anything else would become dead letters; write %s", *name, schema.CommandQuotaAlarm, ours.CallbacksRaw)
	}
	return full
}

func (c *routeChecker) ack(text, topic *string) *journal.Level {
	if text == nil {
		return nil
	}
	level, err := journal.ParseLevel(*text)
	if err != nil {
		c.wrong("ack", "is no ack level; write memory, disk or broker")
		return nil
	}
	if topic == nil {
		c.wrong("ack", "a route that drops waits for nothing; leave ack out")
		return nil
	}
	return &level
}

// answer renders a static answer: the three fields of the envelope first, then the rest by
// name.
func (c *routeChecker) answer(fields map[string]any) []byte {
	if fields == nil {
		return nil
	}
	status, info, code := any("OK"), any(""), any(int64(0))
	for _, f := range []struct {
		name  string
		value *any
		valid func(any) bool
		want  string
	}{
		{"ActionStatus", &status, func(v any) bool { return v == "OK" || v == "FAIL" }, "OK or FAIL"},
		{"ErrorInfo", &info, func(v any) bool { _, ok := v.(string); return ok }, "a text"},
		{"ErrorCode", &code, isInteger, "an integer: 0 allows, 1 rejects, 2 drops silently"},
	} {
		value, given := fields[f.name]
		if !given {
			continue
		}
		if !f.valid(value) {
			c.wrong("answer", "%s is wrong; write %s", f.name, f.want)
			return nil
		}
		*f.value = value
	}
	out := fmt.Appendf(nil, `{"ActionStatus":%s,"ErrorInfo":%s,"ErrorCode":%s`, c.json(status), c.json(info), c.json(code))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		switch name {
		case "ActionStatus", "ErrorInfo", "ErrorCode":
		default:
			out = fmt.Appendf(out, ",%s:%s", c.json(name), c.json(fields[name]))
		}
	}
	return append(out, '}')
}

func (c *routeChecker) json(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		c.wrong("answer", "cannot be written as JSON; write texts, numbers, lists and keys with values")
	}
	return out
}

// isInteger says whether a YAML value of any type is a whole number.
func isInteger(v any) bool {
	switch n := v.(type) {
	case int, int64, uint64:
		return true
	case float64:
		return n == math.Trunc(n) && math.Abs(n) < 1<<53
	}
	return false
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
