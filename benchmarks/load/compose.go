package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/schema"
)

// weighted is one command of the mix.
type weighted struct {
	command string
	upTo    float64 // cumulated share, the last is 1
}

// mixAlarm is the short name of the quota alarm in --mix.
const mixAlarm = "alarm"

// parseMix reads "alarm=70,State.StateChange=30": commands with their weights.
func parseMix(text string) ([]weighted, error) {
	var mix []weighted
	total := 0.0
	for part := range strings.SplitSeq(text, ",") {
		command, weight, _ := strings.Cut(part, "=")
		w, err := strconv.ParseFloat(weight, 64)
		if err != nil || !(w > 0) || command == "" {
			return nil, fmt.Errorf("--mix %q: want COMMAND=WEIGHT,... with positive weights; %s is the quota alarm", text, mixAlarm)
		}
		if command == mixAlarm {
			command = schema.CommandQuotaAlarm
		}
		total += w
		mix = append(mix, weighted{command: command, upTo: total})
	}
	for i := range mix {
		mix[i].upTo /= total
	}
	return mix, nil
}

// eventForms are the forms in which the vendor was seen to send EventTime.
var eventForms = []string{"integer", "string", "mixed", "absent"}

// recipe says what is sent. It is constant during a run.
type recipe struct {
	target    target
	mix       []weighted
	signed    float64 // share of an app's callbacks that carry Sign, where it has a token
	malformed float64 // share of alarms whose body is of no use
	bodyMin   int     // bytes a body is padded to, drawn from bodyMin..bodyMax; 0: as short as it is
	bodyMax   int
	eventForm string // one of eventForms
	seed      uint64
}

// composer makes requests. It belongs to one connection and is reused for each; what it
// returns is good until its next call. The same seed and arrival number give the same
// choices, whichever connection sends it.
type composer struct {
	recipe  *recipe
	fleet   *fleet
	pcg     *rand.PCG
	random  *rand.Rand
	body    []byte
	request []byte
}

func newComposer(r *recipe, f *fleet) *composer {
	pcg := rand.NewPCG(0, 0)
	return &composer{recipe: r, fleet: f, pcg: pcg, random: rand.New(pcg)}
}

// compose makes the request of arrival seq and the entry that describes it. The sender is
// drawn unless one is given.
func (c *composer) compose(seq int64, from *sender, now time.Time) ([]byte, ledger.Entry) {
	c.pcg.Seed(c.recipe.seed, uint64(seq)) //nolint:gosec // any bits will do
	if from == nil {
		from = c.fleet.senders[c.random.IntN(len(c.fleet.senders))]
	}
	command, draw := c.recipe.mix[0].command, c.random.Float64()
	for _, w := range c.recipe.mix {
		if command = w.command; draw < w.upTo {
			break
		}
	}
	alarm := command == schema.CommandQuotaAlarm
	facts := c.fleet.next(from, alarm, now)
	e := ledger.Entry{
		Seq: seq, App: from.id, N: facts.n, Kind: ledger.KindCallback, Command: command,
		EventTime: facts.eventTime, Used: facts.used, Quota: from.quota,
	}
	if alarm {
		e.Kind = ledger.KindAlarm
		if c.random.Float64() < c.recipe.malformed {
			e.Kind = ledger.KindMalformed
		}
	}
	c.makeBody(&e)
	e.Digest = ledger.Digest(c.body)
	if from.token != nil && c.random.Float64() >= c.recipe.signed {
		facts.sign = ""
		e.Kind = ledger.KindUnsigned
	}
	c.makeRequest(&e, &facts)
	return c.request, e
}

// makeBody writes the body of e into c.body.
func (c *composer) makeBody(e *ledger.Entry) {
	form := c.recipe.eventForm
	if form == "mixed" {
		form = eventForms[e.N&1]
	}
	if form == "absent" {
		e.EventTime = 0
	}
	c.body = appendAlarm(c.body[:0], e, form, e.Kind == ledger.KindCallback || form == "absent")
	if size := c.size(); len(c.body) < size {
		c.body = pad(c.body, size)
	}
	if e.Kind == ledger.KindMalformed {
		c.body = malformations[c.random.IntN(len(malformations))](c.body)
	}
}

func (c *composer) size() int {
	if c.recipe.bodyMax <= c.recipe.bodyMin {
		return c.recipe.bodyMin
	}
	return c.recipe.bodyMin + c.random.IntN(c.recipe.bodyMax-c.recipe.bodyMin+1)
}

// appendAlarm appends the body as the vendor sends it. Other commands get the same shape:
// the gateway does not look. Numbered adds the app's own number, so that bodies which do
// not differ by their facts differ by it.
func appendAlarm(dst []byte, e *ledger.Entry, form string, numbered bool) []byte {
	dst = append(dst, `{"CallbackCommand":"`...)
	dst = append(dst, e.Command...)
	dst = append(dst, `","QuotaUsed":`...)
	dst = strconv.AppendInt(dst, e.Used, 10)
	dst = append(dst, `,"Quota":`...)
	dst = strconv.AppendInt(dst, e.Quota, 10)
	switch form {
	case "integer":
		dst = append(dst, `,"EventTime":`...)
		dst = strconv.AppendInt(dst, e.EventTime, 10)
	case "string":
		dst = append(dst, `,"EventTime":"`...)
		dst = strconv.AppendInt(dst, e.EventTime, 10)
		dst = append(dst, '"')
	}
	if numbered {
		dst = append(dst, `,"Number":`...)
		dst = strconv.AppendInt(dst, e.N, 10)
	}
	return append(dst, '}')
}

// pad lengthens the JSON object in body to size bytes, or a little more, by a field that
// nobody knows.
func pad(body []byte, size int) []byte {
	const opening, closing = `,"Padding":"`, `"}`
	body = append(body[:len(body)-1], opening...)
	for len(body) < size-len(closing) {
		body = append(body, 'x')
	}
	return append(body, closing...)
}

// malformations turn a good body into one that the consumer must refuse. Each leaves the
// facts in, so that the result is as unique as the body was.
var malformations = []func([]byte) []byte{
	func(b []byte) []byte { // the vendor's documented sample looks so
		return append(slices.Insert(b, len(b)-1, []byte(" // the cap of the day\n")...), '\n')
	},
	func(b []byte) []byte { return b[:len(b)-1] },                                      // truncated
	func(b []byte) []byte { return append(slices.Insert(b, 0, '['), ']') },             // an array
	func(b []byte) []byte { return append(b, b...) },                                   // two objects
	func(b []byte) []byte { return append(b[:len(b)-1], `,"Quota":0}`...) },            // a key twice
	func(b []byte) []byte { return append(b[:len(b)-1], `,"X":"`+"\xff"+`"}`...) },     // not UTF-8
	func(b []byte) []byte { return append(b, 0) },                                      // a NUL
	func(b []byte) []byte { return append([]byte("\xef\xbb\xbf"), b...) },              // a BOM
	func(b []byte) []byte { return replaceOnce(b, `"QuotaUsed":`, `"QuotaUsed":-`) },   // negative
	func(b []byte) []byte { return replaceOnce(b, `"QuotaUsed":`, `"Quota_Used":`) },   // a field is missing
	func(b []byte) []byte { return replaceOnce(b, schema.CommandQuotaAlarm, "Other") }, // header and body disagree
}

func replaceOnce(b []byte, text, by string) []byte {
	return []byte(strings.Replace(string(b), text, by, 1))
}

// makeRequest writes the whole HTTP request around c.body into c.request.
func (c *composer) makeRequest(e *ledger.Entry, f *facts) {
	b := c.request[:0]
	b = append(b, "POST "...)
	b = append(b, c.recipe.target.path...)
	b = append(b, "?SdkAppid="...)
	b = strconv.AppendInt(b, e.App, 10)
	b = append(b, "&CallbackCommand="...)
	b = append(b, e.Command...)
	b = append(b, "&contenttype=json&ClientIP=203.0.113.7&OptPlatform=RESTAPI"...)
	if f.sign != "" {
		b = append(b, "&Sign="...)
		b = append(b, f.sign...)
		b = append(b, "&RequestTime="...)
		b = strconv.AppendInt(b, f.request, 10)
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, c.recipe.target.host...)
	b = append(b, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(c.body)), 10)
	b = append(b, "\r\n\r\n"...)
	b = append(b, c.body...)
	c.request = b
}
