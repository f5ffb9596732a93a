package receive

import (
	"bytes"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/schema"
)

// maxCachedCommands bounds the commands whose routes are remembered. The vendor has about
// a hundred; whoever may invent commands must not fill our memory with them.
const maxCachedCommands = 1024

// RouteOptions is what routes need to know beside their file.
type RouteOptions struct {
	// TopicPrefix is put before every topic of the file (--topic-prefix), which names
	// topics without it.
	TopicPrefix string

	// Ack is the level of every route that names none (--ack). Blocking commands wait
	// for nothing unless their route says so.
	Ack journal.Level
}

// Routes says for every command and app where its callbacks go and what they are answered.
// It is immutable but for a bounded cache, and may be used from any goroutine.
//
// The routes of the file come first, in its order, then the default ones: the quota alarm
// goes to im.alarms.raw and everything else is dropped. So a file that forgets the alarm
// does not lose it.
type Routes struct {
	list    []route
	written int // of list: those of the file
	ack     journal.Level

	mu    sync.Mutex // serialises additions to cache
	cache atomic.Pointer[map[string][]*decision]
}

// route is one line of the table, as it was written.
type route struct {
	command   string  // glob, path.Match
	apps      []int64 // sorted; nil: all
	topic     string  // with the prefix; "" : dropped
	ack       *journal.Level
	answer    []byte // nil: okEnvelope
	afterDate []byte // of answer, see decision
	reserve   *bool
}

// decision is what a route says about one command.
type decision struct {
	Topic    string        // complete with its prefix; "" means dropped
	Ack      journal.Level // what the answer waits for
	Answer   []byte        // body of the 200; shared, not to be changed
	Reserve  bool          // may use the last tenth of the budget and of the in-flight cap
	Blocking bool          // the vendor acts upon the answer
	Static   bool          // Answer is the route's own, not the default OK

	afterDate []byte // of a 200 with Answer: what follows its date, see appendOK

	apps   []int64     // sorted; nil: all
	warned atomic.Bool // the log has said that this blocking command is allowed everything
}

// DefaultRoutes returns the routes of a gateway without a routes file.
func DefaultRoutes(o RouteOptions) *Routes { return newRoutes(nil, o) }

// newRoutes completes the routes of a file with the default ones.
func newRoutes(list []route, o RouteOptions) *Routes {
	written := len(list)
	list = append(slices.Clip(list),
		route{command: schema.CommandQuotaAlarm, topic: schema.NewTopics(o.TopicPrefix).AlarmsRaw},
		route{command: "*"})
	r := &Routes{list: list, written: written, ack: o.Ack}
	for i := range list {
		list[i].afterDate = afterDate(list[i].answer)
	}
	r.cache.Store(&map[string][]*decision{})
	r.remember(schema.CommandQuotaAlarm)
	return r
}

// find returns what is done with callbacks of command and app. It allocates only for the
// first callback of a command. The result is shared and must not be changed.
func (r *Routes) find(command []byte, app int64) *decision {
	decisions, ok := (*r.cache.Load())[string(command)]
	if !ok {
		decisions = r.remember(string(command))
	}
	for _, d := range decisions {
		if d.apps == nil {
			return d
		}
		if _, found := slices.BinarySearch(d.apps, app); found {
			return d
		}
	}
	panic("BUG: the last route is for every app")
}

// remember resolves a command and puts it into the cache while there is room.
func (r *Routes) remember(command string) []*decision {
	decisions := r.resolve(command)
	r.mu.Lock()
	defer r.mu.Unlock()
	old := *r.cache.Load()
	if len(old) >= maxCachedCommands {
		for _, d := range decisions {
			d.warned.Store(true) // else every callback of an invented command would be a line
		}
		return decisions
	}
	next := maps.Clone(old)
	next[command] = decisions
	r.cache.Store(&next)
	return decisions
}

// resolve returns the decisions that can apply to a command, in order: the first that is
// for the app holds, and the last one is for all.
func (r *Routes) resolve(command string) []*decision {
	var decisions []*decision
	for i := range r.list {
		if ok, _ := path.Match(r.list[i].command, command); !ok {
			continue
		}
		decisions = append(decisions, r.decide(&r.list[i], command))
		if r.list[i].apps == nil {
			break
		}
	}
	return decisions
}

func (r *Routes) decide(from *route, command string) *decision {
	d := &decision{
		Topic:     from.topic,
		Ack:       r.ack,
		Answer:    okEnvelope,
		Reserve:   command == schema.CommandQuotaAlarm,
		Blocking:  blocking(command),
		afterDate: afterOK,
		apps:      from.apps,
	}
	if d.Blocking {
		d.Ack = journal.Memory
	}
	if from.ack != nil {
		d.Ack = *from.ack
	}
	if from.answer != nil {
		d.Answer, d.afterDate, d.Static = from.answer, from.afterDate, true
	}
	if from.reserve != nil {
		d.Reserve = *from.reserve
	}
	return d
}

// blocking says whether the vendor waits for the answer to a command and acts upon it: all
// known ones contain one of these two (trtc.io/document/34355).
func blocking(command string) bool {
	return strings.Contains(command, ".CallbackBefore") || strings.Contains(command, ".CallbackPrev")
}

// Topics returns the topics that callbacks may go to, complete with their prefix, sorted.
func (r *Routes) Topics() []string {
	var topics []string
	for i := range r.list {
		if r.list[i].topic != "" {
			topics = append(topics, r.list[i].topic)
		}
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

// Lines returns the routes as a person reads them, one line each, in their order, for
// check, the start log and /apps.
func (r *Routes) Lines() []string {
	lines := make([]string, len(r.list))
	for i := range r.list {
		from := &r.list[i]
		d := r.decide(from, from.command)
		var b strings.Builder
		b.WriteString(from.command)
		if from.apps != nil {
			b.WriteString(" of " + plural(len(from.apps), "app"))
		}
		if d.Topic == "" {
			b.WriteString(": answered, counted and dropped")
		} else {
			b.WriteString(": to " + d.Topic + " at " + d.Ack.String())
		}
		if d.Reserve {
			b.WriteString(", with reserve")
		}
		if d.Static {
			b.WriteString(", with an answer of its own")
		}
		lines[i] = b.String()
	}
	return lines
}

// Warnings returns what an operator should know about the routes and nobody would notice:
// an OK to a blocking command is an approval.
func (r *Routes) Warnings() []string {
	warnings := []string{}
	for i := range r.list {
		from := &r.list[i]
		if from.answer == nil && blocking(from.command) {
			warnings = append(warnings, from.command+": blocking callbacks are answered OK, which allows what they ask about; give the route an answer if it shall not")
		}
	}
	for i := range r.list {
		from := &r.list[i]
		if ok, _ := path.Match(from.command, schema.CommandQuotaAlarm); !ok {
			continue
		}
		if from.topic == "" {
			warnings = append(warnings, from.command+": the quota alarm is dropped")
		}
		if from.apps == nil {
			break // nothing behind it is for the alarm
		}
	}
	return warnings
}

// isAlarm says whether a command is the quota alarm's, which has a bucket of its own.
func isAlarm(command []byte) bool { return bytes.Equal(command, []byte(schema.CommandQuotaAlarm)) }
