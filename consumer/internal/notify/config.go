package notify

import (
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/notify/channel"
	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/schema"
)

// Config is one state of notify.yaml. It is immutable and may be used from any number of
// goroutines. The nil Config has no files, and nothing else may be asked of it.
type Config struct {
	channels []*Channel
	rules    []rule
	fallback []string // of a notice that no rule fits
	console  string
	files    []string
}

// Channel is one channel of the file.
type Channel struct {
	*channel.Channel
	PerMinute    int           // messages; 0: no limit
	Gap          time.Duration // at least, between two messages
	SendResolved bool          // the end of a period is told
	FromEnv      bool          // a secret of it comes from the environment, which is read at start only
}

// rule adds channels to the notices that it fits. An empty list fits all.
type rule struct {
	owners, tiers []string
	steps         []schema.Severity
	channels      []string
}

// typeTraits are what the types differ in, beside their requests.
var typeTraits = map[channel.Type]struct {
	perMinute    int           // by default; 0: no limit
	maxPerMinute int           // what the place takes; 0: not known
	gap          time.Duration // what the place wants between two messages
	secretURL    bool          // the URL is a secret whole
	sendResolved bool          // by default
	keys         []string      // beside those that all have
}{
	channel.Alertmanager: {sendResolved: true, keys: []string{"authorization"}},
	channel.Webhook: {
		perMinute: 60, sendResolved: true,
		keys: []string{"secret", "authorization", "template", "content_type", "per_minute", "send_resolved"},
	},
	channel.Slack:    {perMinute: 20, maxPerMinute: 60, gap: time.Second, secretURL: true, keys: []string{"per_minute", "send_resolved"}},
	channel.WeCom:    {perMinute: 20, maxPerMinute: 20, secretURL: true, keys: []string{"per_minute", "send_resolved"}},
	channel.DingTalk: {perMinute: 20, maxPerMinute: 20, secretURL: true, keys: []string{"secret", "per_minute", "send_resolved"}},
	channel.Feishu:   {perMinute: 20, maxPerMinute: 100, gap: 200 * time.Millisecond, secretURL: true, keys: []string{"secret", "per_minute", "send_resolved"}},
}

// someKeys are the keys that not every type has, in the order of the file.
var someKeys = []string{"per_minute", "send_resolved", "secret", "authorization", "template", "content_type"}

// Channels returns the channels in the order of the file.
func (c *Config) Channels() iter.Seq[*Channel] { return slices.Values(c.channels) }

// Len returns the number of channels.
func (c *Config) Len() int { return len(c.channels) }

// Channel returns the channel of that name, nil where there is none.
func (c *Config) Channel(name string) *Channel {
	i := slices.IndexFunc(c.channels, func(ch *Channel) bool { return ch.Name == name })
	if i < 0 {
		return nil
	}
	return c.channels[i]
}

// Names returns the channels' names.
func (c *Config) Names() []string {
	var names []string
	for _, ch := range c.channels {
		names = append(names, ch.Name)
	}
	return names
}

// Files returns the secrets' files, for package reload to watch.
func (c *Config) Files() []string {
	if c == nil {
		return nil
	}
	return c.files
}

// Route returns the channels of a notice, each once, in the order of the file. The end of a
// period goes wherever one of its steps may have gone.
func (c *Config) Route(n *quota.Notice) []string {
	told := make(map[string]bool)
	for _, step := range steps(n) {
		for _, name := range c.channelsOf(n, step) {
			told[name] = true
		}
	}
	var names []string
	for _, ch := range c.channels {
		if told[ch.Name] && (n.Kind != quota.KindResolve || ch.SendResolved) {
			names = append(names, ch.Name)
		}
	}
	return names
}

// steps returns the steps that a notice is about.
func steps(n *quota.Notice) []schema.Severity {
	all := schema.Severities()
	if i := slices.Index(all, n.Step); n.Kind == quota.KindResolve && i >= 0 {
		return all[:i+1]
	}
	return []schema.Severity{n.Step}
}

// channelsOf returns the channels of all rules that fit, else those of the default.
func (c *Config) channelsOf(n *quota.Notice, step schema.Severity) (names []string) {
	fits := false
	for _, r := range c.rules {
		if r.fits(n, step) {
			fits, names = true, append(names, r.channels...)
		}
	}
	if !fits {
		return c.fallback
	}
	return names
}

func (r *rule) fits(n *quota.Notice, step schema.Severity) bool {
	return (len(r.steps) == 0 || slices.Contains(r.steps, step)) && among(n.Alarm.Owner, r.owners) && among(n.Alarm.Tier, r.tiers)
}

// among says whether a fact of an app is one of list. One that is not known is in no list
// but the empty one.
func among(fact *string, list []string) bool {
	return len(list) == 0 || fact != nil && slices.Contains(list, *fact)
}

// Link returns where the console shows an app; empty: there is no console.
func (c *Config) Link(app int64) string {
	return strings.ReplaceAll(c.console, "{app}", strconv.FormatInt(app, 10))
}
