package notify

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/consumer/internal/notify/channel"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/reload"
	"github.com/tidegate/tidegate/schema"
)

// ParseOptions say how the file is read.
type ParseOptions struct {
	// ResolveSecrets reads the secrets' files and environment variables. Without it they
	// are checked as far as they are written, and no channel of the Config can be used.
	ResolveSecrets bool

	// Transport carries the channels' requests; nil: the network.
	Transport http.RoundTripper
}

// Parser returns the function that reads notify.yaml.
func Parser(o ParseOptions) reload.Parse[*Config] {
	return func(data []byte) (*Config, reload.Problems) {
		var f file
		doc, problems := reload.Decode(data, &f)
		secrets := apps.NewSecrets(apps.Options{ResolveTokens: o.ResolveSecrets})
		r := &reader{o: o, doc: doc, problems: problems, secrets: secrets, seen: map[reload.Pos]bool{}}
		for _, p := range problems {
			r.seen[reload.Pos{Line: p.Line, Column: p.Column}] = true
		}
		c := new(Config)
		if f.Channels == nil && f.Default == nil && problems.Errors() != nil {
			return c, problems // nothing could be read: that keys are missing is no news
		}
		r.config(&f, c)
		c.files = secrets.Files()
		slices.SortStableFunc(r.problems, func(a, b reload.Problem) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Column - b.Column
		})
		return c, r.problems
	}
}

// reader turns the file as it is written into a Config and collects what is wrong.
type reader struct {
	o        ParseOptions
	doc      *reload.Document
	problems reload.Problems
	seen     map[reload.Pos]bool // where problems stand: one is enough for a place
	secrets  *apps.Secrets
	lines    map[string]int // channel's name -> line
}

// wrong reports the value at path, unless something about it was reported already. Where
// the path's last key is missing, the place is its parent's, which may lack others too.
func (r *reader) wrong(path []any, format string, args ...any) {
	at := r.doc.At(path...)
	missing := at == r.doc.At(path[:len(path)-1]...)
	if r.seen[at] && !missing {
		return
	}
	r.seen[at] = r.seen[at] || !missing
	r.problems.Add(at, "%s", fmt.Sprintf(format, args...))
}

func (r *reader) config(f *file, c *Config) {
	if f.Console != nil {
		c.console = *f.Console
		if u, err := url.Parse(strings.ReplaceAll(c.console, "{app}", "1")); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			r.wrong([]any{"console"}, "console: want a URL that begins with https:// or http://, {app} standing for the SdkAppid")
		}
	}
	r.lines = make(map[string]int)
	if f.Channels == nil {
		r.problems.Add(r.doc.At(), "channels is missing; write channels: and one \"- name: ...\" per channel, or channels: []")
	} else {
		for i := range *f.Channels {
			c.channels = append(c.channels, r.channel(&(*f.Channels)[i], i))
		}
	}
	for i := range f.Rules {
		c.rules = append(c.rules, r.rule(&f.Rules[i], i))
	}
	if f.Default == nil {
		r.problems.Add(r.doc.At(), "default is missing; write the channels of a notice that no rule fits, such as default: [oncall], or default: [] for nobody")
		return
	}
	c.fallback = *f.Default
	r.known(c.fallback, "default")
}

// nameForm is what a channel may be called: its name is a label of metrics.
var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// channel reads one channel. A wrong one is returned all the same: its Config is not used.
func (r *reader) channel(f *fileChannel, i int) *Channel {
	at := func(key string) []any { return []any{"channels", i, key} }
	say := func(key, format string, args ...any) {
		r.wrong(at(key), "channels[%d].%s: %s", i, key, fmt.Sprintf(format, args...))
	}
	s := channel.Settings{Name: r.name(f.Name, say, i), Language: channel.English}
	if f.Language != nil {
		s.Language = channel.Language(*f.Language)
		if !slices.Contains(channel.Languages(), s.Language) {
			say("language", "want en or zh")
		}
	}
	ch := &Channel{Channel: &channel.Channel{Settings: s}}
	if f.Type == nil {
		say("type", "is missing; write one of %s", types())
		return ch
	}
	s.Type = channel.Type(*f.Type)
	traits, ok := typeTraits[s.Type]
	if !ok {
		say("type", "want one of %s", types())
		return ch
	}
	for _, key := range someKeys {
		if f.has(key) && !slices.Contains(traits.keys, key) {
			say(key, "a channel of type %s has no %s; take it out", s.Type, key)
		}
	}
	ch.Gap, ch.PerMinute, ch.SendResolved = traits.gap, traits.perMinute, traits.sendResolved
	if f.PerMinute != nil {
		ch.PerMinute = *f.PerMinute
		switch limit := traits.maxPerMinute; {
		case ch.PerMinute < 1:
			say("per_minute", "want a whole number of at least 1, messages")
		case limit > 0 && ch.PerMinute > limit:
			say("per_minute", "%s takes at most %d messages a minute", s.Type, limit)
		}
	}
	if f.SendResolved != nil {
		ch.SendResolved = *f.SendResolved
	}
	read := func(key string, text *string, into *string) { r.secret(key, text, into, &ch.FromEnv, say) }
	r.url(f.URL, &s, traits.secretURL, &ch.FromEnv, say)
	read("secret", f.Secret, &s.Secret)
	read("authorization", f.Authorization, &s.Authorization)
	if strings.ContainsAny(s.Authorization, "\r\n\x00") {
		say("authorization", "is not one line")
	}
	if f.Template != nil {
		s.Template = *f.Template
	}
	if f.ContentType != nil {
		s.ContentType = *f.ContentType
	}
	made, err := channel.New(s, r.o.Transport)
	if wrong, is := errors.AsType[*channel.SettingsError](err); is {
		say(wrong.Key, "%s", wrong.Text)
		return ch
	}
	ch.Channel = made
	return ch
}

// name reads a channel's name.
func (r *reader) name(name *string, say func(key, format string, args ...any), i int) string {
	switch {
	case name == nil:
		say("name", "is missing; write what people call the channel, such as name: oncall")
		return ""
	case !nameForm.MatchString(*name):
		say("name", "want 1 to 40 of a-z, 0-9 and -, the first and the last no -")
	case r.lines[*name] != 0:
		say("name", "%s stands twice, first in line %d", *name, r.lines[*name])
	}
	if r.lines[*name] == 0 {
		r.lines[*name] = max(1, r.doc.At("channels", i, "name").Line)
	}
	return *name
}

// unresolved stands for a URL that was not read.
const unresolved = "https://not-read.invalid/"

// url reads where a channel is. Only where the URL is no secret may it stand in clear.
func (r *reader) url(text *string, s *channel.Settings, secret bool, fromEnv *bool, say func(key, format string, args ...any)) {
	s.URL = unresolved
	switch {
	case text == nil:
		say("url", "is missing")
	case strings.HasPrefix(*text, "http://"), strings.HasPrefix(*text, "https://"):
		if s.URL = *text; secret {
			say("url", "who has the URL of a robot can send as it, so it is a secret: write it into a file and that here, as file:PATH, or env:NAME, or plain:URL for trying out")
		}
	default:
		r.secret("url", text, &s.URL, fromEnv, say)
	}
}

// secret reads a secret into into, where it is given and secrets are resolved.
func (r *reader) secret(key string, text, into *string, fromEnv *bool, say func(key, format string, args ...any)) {
	if text == nil {
		return
	}
	*fromEnv = *fromEnv || strings.HasPrefix(*text, "env:")
	token, err := r.secrets.Read(*text)
	if err != nil {
		say(key, "%v", err)
		return
	}
	if value := token.Bytes(); value != nil {
		*into = string(value)
	}
}

// rule reads one rule.
func (r *reader) rule(f *fileRule, i int) rule {
	out := rule{owners: f.Owner, tiers: f.Tier}
	for j, text := range f.Severity {
		step := schema.Severity(text)
		if step == schema.SeverityOK || !slices.Contains(schema.Severities(), step) {
			r.wrong([]any{"rules", i, "severity", j}, "rules[%d].severity[%d]: want watch, warning, critical or exhausted", i, j)
		}
		out.steps = append(out.steps, step)
	}
	if f.Channels == nil {
		r.wrong([]any{"rules", i, "channels"}, "rules[%d].channels is missing; write the channels of what the rule fits, or channels: [] for nobody", i)
		return out
	}
	out.channels = *f.Channels
	r.known(out.channels, "rules", i, "channels")
	return out
}

// known reports names that are no channel.
func (r *reader) known(names []string, path ...any) {
	for j, name := range names {
		if r.lines[name] == 0 {
			r.wrong(slices.Concat(path, []any{j}), "there is no channel %q; there are: %s", name, strings.Join(slices.Sorted(maps.Keys(r.lines)), ", "))
		}
	}
}

func types() string {
	var names []string
	for _, t := range channel.Types() {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}
