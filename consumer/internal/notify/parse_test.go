package notify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/consumer/internal/notify/channel"
	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/schema"
)

func parse(t *testing.T, yaml string) *Config {
	t.Helper()
	c, problems := Parser(ParseOptions{ResolveSecrets: true})([]byte(yaml))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return c
}

const routes = `
console: https://tidegate.example/apps/{app}
channels:
  - {name: oncall, type: alertmanager, url: "http://am:9093"}
  - {name: harbor, type: feishu, url: "plain:https://feishu/x"}
  - {name: pro, type: slack, url: "plain:https://slack/x", send_resolved: true}
  - {name: rest, type: webhook, url: "https://rest"}
rules:
  - {severity: [critical, exhausted], channels: [oncall]}
  - {owner: [team-harbor, team-live], channels: [harbor]}
  - {tier: [pro], severity: [warning], channels: [pro, harbor]}
  - {owner: [team-quiet], channels: []}
default: [rest]
`

func TestRoute(t *testing.T) {
	c := parse(t, routes)
	for _, test := range []struct {
		name, owner, tier string
		kind              quota.Kind
		step              schema.Severity
		want              string
	}{
		{"no rule fits", "team-x", "free", quota.KindStep, "warning", "rest"},
		{"nobody's app", "", "", quota.KindStep, "warning", "rest"},
		{"nobody's app, urgent", "", "", quota.KindStep, "exhausted", "oncall"},
		{"every rule that fits adds its channels", "team-harbor", "free", quota.KindStep, "critical", "oncall harbor"},
		{"each once, in the order of the file", "team-live", "pro", quota.KindForecast, "warning", "harbor pro"},
		{"all conditions of a rule", "team-x", "pro", quota.KindStep, "watch", "rest"},
		{"a rule for nobody", "team-quiet", "free", quota.KindStep, "watch", ""},
		{"the end goes wherever a step may have gone, and is wanted", "team-x", "pro", quota.KindResolve, "exhausted", "oncall pro rest"},
		{"the end of a lower step", "team-x", "pro", quota.KindResolve, "watch", "rest"},
		{"a digest", "team-harbor", "free", quota.KindDigest, "critical", "oncall harbor"},
		{"a step of a later release", "team-x", "free", quota.KindResolve, "beyond", "rest"},
	} {
		n := quota.Notice{Kind: test.kind, Step: test.step}
		if test.owner != "" {
			n.Alarm.Owner, n.Alarm.Tier = &test.owner, &test.tier
		}
		if got := strings.Join(c.Route(&n), " "); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if got := c.Link(1400000001); got != "https://tidegate.example/apps/1400000001" {
		t.Errorf("link %q", got)
	}
}

func TestSettingsOfTypes(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"url": "https://oapi.dingtalk.com/robot/send?access_token=t0ken-t0ken\n", "sign": "SECsecretsecret\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("FEISHU_URL", "https://open.feishu.cn/hook/t0ken-t0ken")
	c := parse(t, `
channels:
  - {name: d, type: dingtalk, url: "file:`+dir+`/url", secret: "file:`+dir+`/sign", language: zh, per_minute: 5}
  - {name: f, type: feishu, url: "env:FEISHU_URL"}
  - {name: a, type: alertmanager, url: "http://am:9093", authorization: "plain:Bearer x"}
default: []
`)
	d := c.Channel("d")
	if d.URL != "https://oapi.dingtalk.com/robot/send?access_token=t0ken-t0ken" || d.Secret != "SECsecretsecret" || d.Language != channel.Chinese || d.PerMinute != 5 || d.SendResolved {
		t.Errorf("dingtalk: %+v", d.Settings)
	}
	if f := c.Channel("f"); f.URL != "https://open.feishu.cn/hook/t0ken-t0ken" || !f.FromEnv || f.PerMinute != 20 || f.Gap == 0 {
		t.Errorf("feishu: %+v", f.Settings)
	}
	if a := c.Channel("a"); !a.KeepsAlive() || a.PerMinute != 0 || !a.SendResolved || a.Authorization != "Bearer x" {
		t.Errorf("alertmanager: %+v", a.Settings)
	}
	if files := strings.Join(c.Files(), " "); files != dir+"/url "+dir+"/sign" {
		t.Errorf("files %s", files)
	}
	if c.Channel("none") != nil || (*Config)(nil).Files() != nil {
		t.Error("something is there that is not")
	}
}

// TestMistakes are all told at once, each with its place and what to write.
func TestMistakes(t *testing.T) {
	for _, test := range []struct {
		name, yaml string
		want       []string // the problems, in order: "line:column: part of the text"
	}{
		{"nothing", "", []string{"1:1: channels is missing", "1:1: default is missing; write"}},
		{"not YAML", "channels: [", []string{"1: not YAML"}},
		{"unknown keys", "channels: []\ndefault: []\nchanels: []\n", []string{"3:1: chanels: unknown key; did you mean channels?"}},
		{"a channel of nothing", "channels:\n  - {}\ndefault: []\n", []string{
			"2:5: channels[0].name: is missing", "2:5: channels[0].type: is missing; write one of alertmanager, webhook, slack, wecom, dingtalk, feishu",
		}},
		{"names", "channels:\n  - {name: On Call, type: webhook, url: 'https://x'}\n  - {name: a, type: webhook, url: 'https://x'}\n  - {name: a, type: webhook, url: 'https://x'}\ndefault: [a, b]\n", []string{
			"2:12: channels[0].name: want 1 to 40 of a-z", "4:12: channels[2].name: a stands twice, first in line 3", `5:14: there is no channel "b"; there are: On Call, a`,
		}},
		{"types and keys", "channels:\n  - {name: a, type: pager, url: 'https://x'}\n  - {name: b, type: slack, url: 'plain:https://x', secret: 'plain:x', template: x}\n  - {name: c, type: alertmanager, url: 'http://x', per_minute: 3}\ndefault: []\n", []string{
			"2:21: channels[0].type: want one of alertmanager", "3:60: channels[1].secret: a channel of type slack has no secret", "3:81: channels[1].template: a channel of type slack has no template",
			"4:64: channels[2].per_minute: a channel of type alertmanager has no per_minute",
		}},
		{"limits and languages", "channels:\n  - {name: a, type: wecom, url: 'plain:https://x', per_minute: 21, language: de}\n  - {name: b, type: webhook, url: 'https://x', per_minute: 0}\ndefault: []\n", []string{
			"2:64: channels[0].per_minute: wecom takes at most 20 messages a minute", "2:78: channels[0].language: want en or zh", "3:60: channels[1].per_minute: want a whole number of at least 1",
		}},
		{"URLs", "channels:\n  - {name: a, type: slack, url: 'https://hooks/t0ken-t0ken'}\n  - {name: b, type: webhook, url: 'plain:ftp://t0ken-t0ken'}\n  - {name: c, type: webhook}\n  - {name: d, type: webhook, url: t0ken-t0ken}\ndefault: []\n", []string{
			"2:33: channels[0].url: who has the URL of a robot can send as it", "3:35: channels[1].url: is not a URL", "4:5: channels[2].url: is missing", "5:35: channels[3].url: want file:PATH, env:NAME or plain:TOKEN",
		}},
		{"secrets", "channels:\n  - {name: a, type: webhook, url: 'https://x', secret: 'plain:t0ken-t0ken'}\n  - {name: b, type: feishu, url: 'env:NOT_SET_HERE', secret: 'file:/no/such'}\ndefault: []\n", []string{
			"2:56: channels[0].secret: want whsec_", "3:34: channels[1].url: env:NOT_SET_HERE is not set", "3:62: channels[1].secret: file:/no/such cannot be read",
		}},
		{"template", "channels:\n  - name: a\n    type: webhook\n    url: https://x\n    template: |\n      {\"x\": {{.Nothing}}}\ndefault: []\n", []string{"5:15: channels[0].template: tried with a message of kind step"}},
		{"rules", "channels: []\nrules:\n  - {severity: [info, ok], channels: [x]}\n  - {owner: [a]}\ndefault: []\n", []string{
			"3:17: rules[0].severity[0]: want watch, warning", "3:23: rules[0].severity[1]: want watch", `3:39: there is no channel "x"`, "4:5: rules[1].channels is missing",
		}},
		{"console", "console: tidegate.example\nchannels: []\ndefault: []\n", []string{"1:10: console: want a URL"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, problems := Parser(ParseOptions{ResolveSecrets: true})([]byte(test.yaml))
			lines := problems.Lines("")
			if len(lines) != len(test.want) {
				t.Errorf("%d problems, want %d", len(lines), len(test.want))
			}
			for i, line := range lines {
				if i < len(test.want) {
					place, text, _ := strings.Cut(test.want[i], ": ")
					if !strings.HasPrefix(line, place+": ") || !strings.Contains(line, text) {
						t.Errorf("problem %d is %q, want %q", i, line, test.want[i])
					}
				}
				if strings.Contains(line, "t0ken") {
					t.Errorf("a secret is in %q", line)
				}
			}
			if t.Failed() {
				t.Log(strings.Join(lines, "\n"))
			}
		})
	}
}

// TestUnresolved: a check on a machine without the secrets finds all other mistakes.
func TestUnresolved(t *testing.T) {
	_, problems := Parser(ParseOptions{})([]byte(
		"channels:\n  - {name: a, type: feishu, url: 'env:NOT_SET_HERE', secret: 'file:/no/such'}\n  - {name: b, type: webhook, url: 'file:/no/such', template: '{{'}\ndefault: [a]\n"))
	if len(problems) != 1 || !strings.Contains(problems.Error(), "3:62: channels[1].template") {
		t.Error(problems)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(routes))
	f.Add([]byte(oneHook))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, problems := Parser(ParseOptions{})(data)
		if len(problems) == 0 && c == nil {
			t.Error("neither a file nor a problem")
		}
	})
}
