package schema

import (
	"bytes"
	"strconv"
	"time"
	"unicode/utf8"
)

// ParseCallback reads a raw record back. The callback's slices are views into r.
//
// Required are the headers that every raw record has, once each, and the key; headers
// that the contract does not name are passed over. An attribute is optional, so it never
// costs an alarm: of two the first counts, and one that is not text (UTF-8 without NUL)
// is taken as absent; its bytes stay in the record.
//
// The error, a *HeaderError, names every header that is missing or wrong; the caller
// makes a dead letter of it (ReasonBadHeaders). The callback then holds what could be
// read, for that letter's facts only. Nothing is allocated without an error.
func ParseCallback(r *Record) (Callback, error) {
	p := headerParser{record: r}
	c := Callback{Body: r.Value}
	p.constant(HeaderContentType, contentTypeValue)
	p.constant(HeaderSpecVersion, specVersionValue)
	c.ID = p.id()
	c.AppID = p.app()
	c.Command = p.command()
	c.ReceivedAt = p.received()
	p.sequence(c.ID)
	c.Gateway = p.gateway()
	c.Authenticated = p.authenticated()
	for a := range NumAttributes {
		if value, ok := r.Header(attributes[a].header); ok && len(value) > 0 && isText(value) {
			c.Attributes[a] = value
		}
	}
	if p.problems != nil {
		return c, &HeaderError{Problems: p.problems}
	}
	return c, nil
}

// headerParser collects what is wrong with one record. Each method reads one fact and
// notes every problem with it.
type headerParser struct {
	record   *Record
	problems []HeaderProblem
}

func (p *headerParser) wrong(header, text string) {
	p.problems = append(p.problems, HeaderProblem{Header: header, Text: text})
}

// value returns the value of a required header, and whether it stands there once.
func (p *headerParser) value(name string) (value []byte, ok bool) {
	for i := range p.record.Headers {
		if p.record.Headers[i].Key != name {
			continue
		}
		if ok {
			p.wrong(name, "stands twice")
			return nil, false
		}
		value, ok = p.record.Headers[i].Value, true
	}
	if !ok {
		p.wrong(name, "is missing")
	}
	return value, ok
}

func (p *headerParser) constant(name string, want []byte) {
	if value, ok := p.value(name); ok && !bytes.Equal(value, want) {
		p.wrong(name, "is "+quote(value)+", want "+quote(want))
	}
}

func (p *headerParser) id() CallbackID {
	value, ok := p.value(HeaderID)
	if !ok {
		return CallbackID{}
	}
	id, err := ParseCallbackID(value)
	if err != nil {
		p.wrong(HeaderID, "is "+quote(value)+": "+err.Error())
	}
	return id
}

// app returns the SdkAppid that ce_source, ce_subject and the key name: a record whose
// key is not its app's would have stood in another app's order.
func (p *headerParser) app() int64 {
	source, fromSource := int64(0), false
	if value, ok := p.value(HeaderSource); ok {
		text, found := bytes.CutPrefix(value, []byte(RawSourcePrefix))
		if source, fromSource = ParseAppID(text); !found || !fromSource {
			p.wrong(HeaderSource, "is "+quote(value)+", want "+RawSourcePrefix+" and an SdkAppid")
			fromSource = false
		}
	}
	subject, fromSubject := int64(0), false
	if value, ok := p.value(HeaderSubject); ok {
		if subject, fromSubject = ParseAppID(value); !fromSubject {
			p.wrong(HeaderSubject, "is "+quote(value)+", want an SdkAppid")
		}
	}
	key, fromKey := ParseAppID(p.record.Key)
	switch {
	case len(p.record.Key) == 0:
		p.wrong(RecordKey, "is missing")
	case !fromKey:
		p.wrong(RecordKey, "is "+quote(p.record.Key)+", want an SdkAppid")
	}

	// Where the three differ, the subject is the one that the others are held against.
	app := subject
	if !fromSubject {
		app = source
		if !fromSource {
			app = key
		}
	}
	if fromSource && source != app {
		p.wrong(HeaderSource, differs(source, app))
	}
	if fromKey && key != app {
		p.wrong(RecordKey, differs(key, app))
	}
	return app
}

func differs(found, app int64) string {
	return "names app " + strconv.FormatInt(found, 10) + ", the other headers " + strconv.FormatInt(app, 10)
}

func (p *headerParser) command() []byte {
	value, ok := p.value(HeaderType)
	if !ok {
		return nil
	}
	command, found := bytes.CutPrefix(value, []byte(RawTypePrefix))
	if !found || len(command) == 0 || !isText(command) {
		p.wrong(HeaderType, "is "+quote(value)+", want "+RawTypePrefix+" and a CallbackCommand")
		return nil
	}
	return command
}

func (p *headerParser) received() time.Time {
	value, ok := p.value(HeaderTime)
	if !ok {
		return time.Time{}
	}
	t, ok := ParseTime(value)
	if !ok {
		p.wrong(HeaderTime, "is "+quote(value)+", want a time as "+TimeLayout)
	} else if ms := t.UnixMilli(); ms < 0 || ms > MaxEventMillis {
		// Rules that reckon with times would never get over one like that.
		p.wrong(HeaderTime, "is "+quote(value)+", want a time from 1970 to November 2286")
	}
	return t
}

// sequence checks that ce_sequence says the same as ce_id, where that could be read.
func (p *headerParser) sequence(id CallbackID) {
	value, ok := p.value(HeaderSequence)
	if !ok || id.LSN == 0 {
		return
	}
	var want [sequenceDigits]byte
	if text := appendPadded(want[:0], id.LSN, sequenceDigits); string(text) != string(value) {
		p.wrong(HeaderSequence, "is "+quote(value)+", but ce_id has sequence "+string(text))
	}
}

func (p *headerParser) gateway() []byte {
	value, ok := p.value(HeaderGateway)
	if !ok {
		return nil
	}
	if len(value) == 0 || !isText(value) {
		p.wrong(HeaderGateway, "is "+quote(value)+", want a gateway's name")
		return nil
	}
	return value
}

func (p *headerParser) authenticated() Authenticated {
	value, ok := p.value(HeaderAuthenticated)
	if !ok {
		return AuthenticatedNone
	}
	a, ok := ParseAuthenticated(value)
	if !ok {
		p.wrong(HeaderAuthenticated, "is "+quote(value)+", want none or sign")
	}
	return a
}

// isText says whether b can stand in JSON and in any database's text column.
func isText(b []byte) bool {
	return utf8.Valid(b) && bytes.IndexByte(b, 0) < 0
}
