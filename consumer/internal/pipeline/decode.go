package pipeline

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/schema"
)

// Limits of a body. Beyond them it is a dead letter (too_large).
const (
	maxBodyBytes = 1 << 20 // four times what the gateway takes by default
	maxBodyDepth = 64      // objects and arrays inside one another
)

// decoded is the result of decode.
type decoded struct {
	items     []item // one per record, in offset order, of a replay in the order in which the letters were saved; never empty
	topic     string
	partition int32
	logEnd    int64
	replay    *replay // nil: fetched records, not saved dead letters
}

// item is one record on its way through the stages.
type item struct {
	record   *schema.Record
	callback schema.Callback   // views into record
	alarm    schema.QuotaAlarm // valid where dead is nil
	id       string            // the alarm's id; empty where dead is not nil
	dead     *schema.DeadLetter
	outcome  Outcome
	letter   *store.DeadLetter // the row that is replayed; nil: the record was fetched

	event *schema.EnrichedAlarm // what is published; nil: nothing
	value []byte                // its encoded bytes, as they are stored

	unkept   bool // the database refused the dead letter's row: it goes to the topic only
	hopeless bool // the database refused all that was left to try: it is not the data's fault
}

// part returns items from up to, not including, to.
func (d decoded) part(from, to int) decoded {
	d.items = d.items[from:to:to]
	return d
}

// last returns the batch's last record.
func (d decoded) last() *schema.Record { return d.items[len(d.items)-1].record }

// decode reads every record: stage one. It does no I/O and cannot fail; what cannot be
// used is a dead letter.
func (p *Pipeline) decode(records []schema.Record, logEnd int64) decoded {
	d := decoded{
		items:     make([]item, len(records)),
		topic:     records[0].Topic,
		partition: records[0].Partition,
		logEnd:    logEnd,
	}
	var w walker
	for i := range records {
		d.items[i] = p.decodeOne(&w, &records[i])
	}
	return d
}

// decodeOne reads one record. A panic on it is a dead letter, not a crash loop.
func (p *Pipeline) decodeOne(w *walker, r *schema.Record) (it item) {
	defer func() {
		if v := recover(); v != nil {
			it = p.panicked(item{record: r}, "decode", v)
		}
	}()
	it.record = r
	var problems problems
	it.callback, it.alarm, problems = parse(w, r)
	if len(problems) > 0 {
		return p.bury(it, problems[0].reason, problems.String())
	}
	it.id = schema.AlarmID(&it.callback, &it.alarm)
	return it
}

// panicked makes a dead letter of an item on which a stage panicked.
func (p *Pipeline) panicked(it item, stage string, v any) item {
	p.log.Error("panic on a record, which becomes a dead letter", zap.String("stage", stage),
		zap.String("topic", it.record.Topic), zap.Int32("partition", it.record.Partition),
		zap.Int64("offset", it.record.Offset), zap.Any("panic", v), zap.Stack("stack"))
	return p.bury(it, schema.ReasonPanic, fmt.Sprintf("panic in %s: %v", stage, v))
}

// bury makes a dead letter of an item.
func (p *Pipeline) bury(it item, reason schema.Reason, message string) item {
	letter := schema.NewDeadLetter(*it.record, p.o.Group, reason, message, p.o.Now().UTC())
	return item{record: it.record, callback: it.callback, dead: &letter, letter: it.letter}
}

// problem is one thing that is wrong with a record.
type problem struct {
	reason schema.Reason
	text   string
}

// problems are all that is wrong with a record. The first one, from the outside in, is
// the reason of its dead letter.
type problems []problem

// maxProblems bounds how many are kept: a message has room for no more, and a body can
// repeat a key 100,000 times.
const maxProblems = 32

func (ps *problems) add(reason schema.Reason, format string, args ...any) {
	if len(*ps) == maxProblems {
		return
	}
	*ps = append(*ps, problem{reason, fmt.Sprintf(format, args...)})
}

// String returns all problems in one line, for a person.
func (ps problems) String() string {
	texts := make([]string, len(ps))
	for i, p := range ps {
		texts[i] = p.text
	}
	return strings.Join(texts, "; ")
}

// parse reads the callback from the record's headers and the alarm from its body. It
// says everything that is wrong: headers, then size, encoding, syntax, keys, command,
// fields. No problems: both results are complete.
func parse(w *walker, r *schema.Record) (schema.Callback, schema.QuotaAlarm, problems) {
	var ps problems
	c, err := schema.ParseCallback(r)
	if h := (*schema.HeaderError)(nil); errors.As(err, &h) {
		ps.add(schema.ReasonBadHeaders, "%s", h.Error())
	} else if err != nil {
		ps.add(schema.ReasonBadHeaders, "%v", err)
	}
	if len(r.Value) > maxBodyBytes {
		ps.add(schema.ReasonTooLarge, "the body has %d bytes, more than %d", len(r.Value), maxBodyBytes)
		return c, schema.QuotaAlarm{}, ps
	}
	if !utf8.Valid(r.Value) {
		ps.add(schema.ReasonBadUTF8, "the body is not UTF-8 at byte %d", firstInvalid(r.Value))
	}
	if !w.walk(r.Value, &ps) {
		return c, schema.QuotaAlarm{}, ps
	}
	var a schema.QuotaAlarm
	parseBody(r.Value, c.Command, &a, &ps)
	return c, a, ps
}

// firstInvalid returns where b stops being UTF-8.
func firstInvalid(b []byte) int {
	at := 0
	for at < len(b) {
		r, size := utf8.DecodeRune(b[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}
