package channel

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
)

// How alerts are kept alive: they are posted again every KeepAliveEvery, each time to end
// by itself after KeepAliveFor. The latter is Alertmanager's own resolve_timeout: when no
// consumer runs any more, what it had fired ends after that time.
const (
	KeepAliveEvery = time.Minute
	KeepAliveFor   = 5 * time.Minute
)

// LateFor is how long an alert stands that tells of what is over already.
const LateFor = time.Hour

// Names of alerts.
const (
	alertStep     = "TidegateGroupQuota"
	alertForecast = "TidegateGroupQuotaForecast"
	alertLate     = "TidegateGroupQuotaLate"
	alertTest     = "TidegateTest"
)

// alertmanager is Prometheus Alertmanager's API v2
// (github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml).
type alertmanager struct{}

// Alert is one notice as an alert, which stands until Ends.
type Alert struct {
	Notice
	Starts time.Time
	Ends   time.Time // now or earlier: it is resolved
}

// alert is an alert as it is posted. Equal labels are the same alert.
type alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     string            `json:"startsAt"`
	EndsAt       string            `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// Alert posts alerts, of which there is at least one, in one request. It returns as Tell
// does.
func (c *Channel) Alert(ctx context.Context, now time.Time, alerts []Alert) Answer {
	posted := make([]alert, len(alerts))
	for i := range alerts {
		posted[i] = alertOf(c.Language, &alerts[i])
	}
	r, err := asJSON(posted)
	if err != nil {
		return Answer{Result: Refused, Detail: "write the alerts: " + err.Error()}
	}
	return c.post(ctx, &r, now)
}

// alertOf writes an alert. Numbers are in annotations only: in a label, each would make
// another alert.
func alertOf(language Language, a *Alert) alert {
	w := wordsOf(language)
	app := appOf(w, &a.Notice)
	out := alert{
		Labels: map[string]string{
			"alertname": alertName(app.Kind), "app": app.Name, "sdk_app_id": strconv.FormatInt(app.SdkAppID, 10),
			"step": app.Step, "severity": app.Severity,
		},
		Annotations: map[string]string{
			"summary": w.title(&app), "description": strings.Join(w.lines(&app), "\n"),
			"used": strconv.FormatInt(app.Used, 10), "quota": strconv.FormatInt(app.Quota, 10),
			"used_percent": decimal(app.Percent), "as_of": app.EventTime, "period": app.Period, "advice": app.Advice,
		},
		StartsAt: a.Starts.UTC().Format(time.RFC3339Nano), EndsAt: a.Ends.UTC().Format(time.RFC3339Nano),
		GeneratorURL: app.Link,
	}
	if app.Owner != "" {
		out.Labels["owner"] = app.Owner
	}
	if app.RateKnown {
		out.Annotations["rate_per_hour"] = decimal(app.RatePerHour)
	}
	if app.FullAt != "" {
		out.Annotations["full_at"] = *a.Alarm.ExhaustionAt
	}
	if app.Kind == KindLate || app.Kind == KindTest {
		out.Labels["severity"] = "info" // nobody is woken for what is over, or did not happen
	}
	return out
}

func alertName(k Kind) string {
	switch k {
	case KindForecast:
		return alertForecast
	case KindLate:
		return alertLate
	case KindTest:
		return alertTest
	case KindStep, KindResolve, KindDigest:
	}
	return alertStep
}

// request is of a test only: the alert ends a minute after it was fired.
func (alertmanager) request(m *Message) (request, error) {
	n := SampleNotice(quota.KindStep, m.SentAt)
	n.Test, n.Link = true, m.Apps[0].Link
	a := alertOf(m.Language, &Alert{Notice: n, Starts: m.SentAt, Ends: m.SentAt.Add(time.Minute)})
	return asJSON([]alert{a})
}

func (alertmanager) judge(status int, header http.Header, body []byte, now time.Time) Answer {
	return judge(status, header, body, now)
}
