package channel

import (
	"fmt"
	"strconv"

	"github.com/tidegate/tidegate/schema"
)

// Language is what a channel's messages are written in.
type Language string

// The languages.
const (
	English Language = "en"
	Chinese Language = "zh"
)

// Languages returns every language.
func Languages() []Language { return []Language{English, Chinese} }

// words are a language. Formats with several verbs say in their comment what each is.
type words struct {
	steps  map[schema.Severity]string
	advice map[schema.Severity]string
	test   string          // before the title of a test
	madeUp string          // first line of a test
	name   string          // name, id
	titles map[Kind]string // by index: step, name and id, percent, clock of exhaustion, date, clock

	used, rate, full, owner, do, period, link string // labels of the lines
	usedIs                                    string // used, quota, percent, clock, zone
	rateIs                                    string // groups an hour
	unknown, falling, already, notToday       string
	fullIs                                    string // clock
	noOwner                                   string
	toldLate                                  string // alarms

	digest       string // apps
	digestLate   string // apps, all of them late
	digestFormat string // name and id, step, percent, used, quota, clock, owner
	over         string // instead of the step in a digest
	cut          string // lines
}

func wordsOf(l Language) *words {
	if l == Chinese {
		return &chinese
	}
	return &english
}

var english = words{
	steps: map[schema.Severity]string{
		schema.SeverityOK: "ok", schema.SeverityWatch: "watch", schema.SeverityWarning: "warning",
		schema.SeverityCritical: "critical", schema.SeverityExhausted: "exhausted",
	},
	advice: map[schema.Severity]string{
		schema.SeverityWatch:     "look at what creates groups; if it is wanted, ask Tencent Cloud for a higher cap (ticket) in time",
		schema.SeverityWarning:   "slow down what creates groups, dissolve idle ones (destroy_group), ask Tencent Cloud for a higher cap (ticket)",
		schema.SeverityCritical:  "slow creation at its source now (a blocking before-create callback), dissolve idle groups, ask Tencent Cloud for a higher cap (urgent ticket)",
		schema.SeverityExhausted: "no more groups can be created until the vendor's day ends or the cap is raised: ask Tencent Cloud for it (urgent ticket), dissolve idle groups",
	},
	test:   "[test] ",
	madeUp: "This is only a test of the channel: the app and its numbers are made up, nothing has to be done",
	name:   "%s (%s)",
	titles: map[Kind]string{
		KindStep:     "[%[1]s] %[2]s: %[3]s %% of today's groups used",
		KindForecast: "[%[1]s] %[2]s: today's groups will be used up at about %[4]s",
		KindResolve:  "[over] %[2]s: the day %[5]s is over",
		KindLate:     "[late, %[1]s] %[2]s: had used %[3]s %% of its groups on %[5]s at %[6]s",
	},
	used: "Used: ", rate: "Rate: ", full: "Full: ", owner: "Owner: ", do: "Do: ", period: "Day: ", link: "Console: ",
	usedIs:  "at least %s of %s groups (%s %%), as of %s (%s)",
	rateIs:  "about %s groups an hour",
	unknown: "not known yet", falling: "not rising", already: "already", notToday: "not today, at this rate",
	fullIs:   "about %s at this rate",
	noOwner:  "not in the apps file",
	toldLate: " (told late, alarms: %d)",

	digest:       "%d more apps",
	digestLate:   "[late] %d apps",
	digestFormat: "%s: %s, at least %s %% (%s of %s), as of %s, %s",
	over:         "over",
	cut:          "... cut: %d more lines",
}

var chinese = words{
	steps: map[schema.Severity]string{
		schema.SeverityOK: "正常", schema.SeverityWatch: "关注", schema.SeverityWarning: "警告",
		schema.SeverityCritical: "严重", schema.SeverityExhausted: "用尽",
	},
	advice: map[schema.Severity]string{
		schema.SeverityWatch:     "查看是什么在建群；若属正常增长，请及早向腾讯云提工单提高上限",
		schema.SeverityWarning:   "放慢建群，解散闲置群（destroy_group），向腾讯云提工单提高上限",
		schema.SeverityCritical:  "立即在源头限制建群（建群前回调），解散闲置群，向腾讯云提加急工单提高上限",
		schema.SeverityExhausted: "在厂商当日结束或上限提高之前无法再建群：请提加急工单，并解散闲置群",
	},
	test:   "【测试】",
	madeUp: "仅为通道测试：应用和数字均为虚构，无需处理",
	name:   "%s（%s）",
	titles: map[Kind]string{
		KindStep:     "【%[1]s】%[2]s：今日建群配额已用 %[3]s%%",
		KindForecast: "【%[1]s】%[2]s：今日建群配额预计约 %[4]s 用尽",
		KindResolve:  "【结束】%[2]s：%[5]s 当日已结束",
		KindLate:     "【迟到·%[1]s】%[2]s：曾于 %[5]s %[6]s 用到建群配额的 %[3]s%%",
	},
	used: "已用：", rate: "速度：", full: "用尽：", owner: "负责人：", do: "可做：", period: "日期：", link: "控制台：",
	usedIs:  "至少 %s / %s 个群（%s%%），截至 %s（%s）",
	rateIs:  "约每小时 %s 个群",
	unknown: "尚不清楚", falling: "没有上升", already: "已经用尽", notToday: "按此速度今日不会",
	fullIs:   "按此速度约 %s",
	noOwner:  "不在应用清单中",
	toldLate: "（%d 条告警，迟到通知）",

	digest:       "另有 %d 个应用",
	digestLate:   "【迟到】%d 个应用",
	digestFormat: "%s：%s，至少 %s%%（%s / %s），截至 %s，%s",
	over:         "结束",
	cut:          "……已截断，还有 %d 行",
}

// title is the first line about an app.
func (w *words) title(a *App) string {
	kind, before := a.Kind, ""
	if kind == KindTest {
		kind, before = KindStep, w.test
	}
	if kind == KindForecast && a.FullAt == "" {
		kind = KindStep
	}
	return before + fmt.Sprintf(w.titles[kind], w.step(a), w.named(a), decimal(a.Percent), a.FullAt, a.Period, a.AsOf)
}

func (w *words) step(a *App) string {
	if text, ok := w.steps[schema.Severity(a.Step)]; ok {
		return text
	}
	return a.Step
}

// maxNameBytes is how much of an app's name stands in texts: the title is not cut, and the
// apps file takes a name of any length.
const maxNameBytes = 200

// named is an app's name with its id, or only the id.
func (w *words) named(a *App) string {
	id := strconv.FormatInt(a.SdkAppID, 10)
	if a.Name == id {
		return id
	}
	name := a.Name
	if len(name) > maxNameBytes {
		name = cutRunes(name, maxNameBytes) + "..."
	}
	return fmt.Sprintf(w.name, name, id)
}

// lines are the facts about an app, what can be done, and where to look.
func (w *words) lines(a *App) []string {
	lines := []string{
		w.used + fmt.Sprintf(w.usedIs, Grouped(a.Used), Grouped(a.Quota), decimal(a.Percent), a.AsOf, a.Zone),
	}
	switch a.Kind {
	case KindResolve:
		// What was used in the next period is no news, and the advice is not needed.
		lines = nil
	case KindLate:
		lines = append(lines, w.period+a.Period+fmt.Sprintf(w.toldLate, a.Alarms), w.do+a.Advice)
	case KindStep, KindForecast, KindTest, KindDigest:
		lines = append(lines, w.rate+w.rateOf(a), w.full+w.fullOf(a), w.do+a.Advice)
	}
	if a.Kind == KindTest {
		lines = append([]string{w.madeUp}, lines...)
	}
	owner := a.Owner
	if owner == "" {
		owner = w.noOwner
	}
	lines = append(lines, w.owner+owner)
	if a.Link != "" {
		lines = append(lines, w.link+a.Link)
	}
	return lines
}

func (w *words) rateOf(a *App) string {
	switch {
	case !a.RateKnown:
		return w.unknown
	case a.RatePerHour <= 0:
		return w.falling
	}
	return fmt.Sprintf(w.rateIs, Grouped(int64(a.RatePerHour+0.5)))
}

func (w *words) fullOf(a *App) string {
	switch {
	case a.Remaining == 0:
		return w.already
	case a.FullAt != "":
		return fmt.Sprintf(w.fullIs, a.FullAt)
	case a.RateKnown:
		return w.notToday
	}
	return w.unknown
}

// digestTitle counts the apps of a digest.
func (w *words) digestTitle(apps []App) string {
	for i := range apps {
		if kind := apps[i].Kind; kind != KindLate && kind != KindResolve {
			return fmt.Sprintf(w.digest, len(apps))
		}
	}
	return fmt.Sprintf(w.digestLate, len(apps))
}

// digestLine is all that a digest says of an app.
func (w *words) digestLine(a *App) string {
	step, owner := w.step(a), a.Owner
	if a.Kind == KindResolve {
		step = w.over
	}
	if owner == "" {
		owner = w.noOwner
	}
	asOf := a.AsOf
	if a.Kind == KindLate {
		asOf = a.Period + " " + asOf
	}
	return fmt.Sprintf(w.digestFormat, w.named(a), step, decimal(a.Percent), Grouped(a.Used), Grouped(a.Quota), asOf, owner)
}

// Grouped writes 10000 as 10,000.
func Grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// decimal writes a number that has at most two decimals, as quota rounds.
func decimal(p float64) string { return strconv.FormatFloat(p, 'f', -1, 64) }
