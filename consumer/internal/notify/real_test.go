package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store"
	"github.com/tidegate/tidegate/schema"
)

// realManager is a real Alertmanager's API.
type realManager struct {
	*testing.T
	url string
}

// standing asks for the alerts of an app that stand.
func standing(app int64) url.Values {
	return url.Values{"filter": {fmt.Sprintf(`sdk_app_id="%d"`, app)}}
}

// told asks for those of them that no other inhibits.
func told(app int64) url.Values {
	query := standing(app)
	query.Set("inhibited", "false")
	return query
}

// active returns the names of the alerts that are asked for.
func (m *realManager) active(query url.Values) string {
	m.Helper()
	res, err := http.Get(m.url + "/api/v2/alerts?" + query.Encode())
	if err != nil {
		m.Fatal(err)
	}
	defer res.Body.Close()
	var alerts []struct {
		Labels map[string]string `json:"labels"`
	}
	if err := json.NewDecoder(res.Body).Decode(&alerts); err != nil || res.StatusCode != http.StatusOK {
		m.Fatalf("HTTP %d: %v", res.StatusCode, err)
	}
	var names []string
	for _, a := range alerts {
		names = append(names, a.Labels["alertname"]+" "+a.Labels["step"]+" "+a.Labels["severity"])
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// waitFor waits until what is asked for is exactly want, and returns how long that took.
func (m *realManager) waitFor(query url.Values, want string) time.Duration {
	m.Helper()
	began := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		got := m.active(query)
		if got == want {
			return time.Since(began)
		}
		if time.Since(began) > 20*time.Second {
			m.Fatalf("%s: %q, want %q", query.Encode(), got, want)
		}
	}
}

// TestRealAlertmanager fires, escalates and resolves in a real Alertmanager, whose URL is in
// TIDEGATE_TEST_ALERTMANAGER, such as http://127.0.0.1:9093, and which has the inhibit rules of
// deploy/alertmanager. It prints how long a step takes from its row to the alert.
func TestRealAlertmanager(t *testing.T) {
	base := strings.TrimSuffix(os.Getenv("TIDEGATE_TEST_ALERTMANAGER"), "/")
	if base == "" {
		t.Skip("TIDEGATE_TEST_ALERTMANAGER has no URL of a real Alertmanager")
	}
	m := &realManager{t, base}
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "tidegate.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	config := parse(t, "channels:\n  - {name: am, type: alertmanager, url: '"+base+"'}\ndefault: [am]\n")
	w := New(Options{Outbox: s, Config: func() *Config { return config }, Zone: func(int64) *time.Location { return time.UTC }, Owner: "test"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()

	b := &bench{T: t, store: s}
	app := time.Now().UnixNano() // nobody else's
	var took []time.Duration
	for range 20 {
		app++
		b.tell(fmt.Sprintf("%d step warning", app))
		took = append(took, m.waitFor(standing(app), "TidegateGroupQuota warning warning"))
	}
	slices.Sort(took)
	t.Logf("from the row to the alert: median %s, longest of %d %s", took[len(took)/2].Round(time.Millisecond), len(took), took[len(took)-1].Round(time.Millisecond))
	if longest := took[len(took)-1]; longest > 3*time.Second {
		t.Errorf("%s from the row to the alert", longest)
	}

	b.tell(fmt.Sprintf("%d step exhausted, %d forecast critical", app, app))
	m.waitFor(standing(app), "TidegateGroupQuota exhausted critical, TidegateGroupQuota warning warning, TidegateGroupQuotaForecast critical critical")
	m.waitFor(told(app), "TidegateGroupQuota exhausted critical")
	m.waitFor(told(app-2), "TidegateGroupQuota warning warning") // another app's
	resolve := b.notice(app, quota.KindResolve, schema.SeverityExhausted)
	b.tell(fmt.Sprintf("%d %s %s", app, resolve.Kind, resolve.Step))
	m.waitFor(standing(app), "")
	other := app - 1
	b.tell(fmt.Sprintf("%d digest critical", other))
	m.waitFor(standing(other), "TidegateGroupQuota warning warning, TidegateGroupQuotaLate critical info")
}
