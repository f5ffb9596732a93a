package receive

import (
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"
)

// pageRefusal is one refusal on /apps.
type pageRefusal struct {
	When    time.Time `json:"when"`
	Reason  string    `json:"reason"`
	Source  string    `json:"source"`               // see Receiver.source
	App     int64     `json:"sdk_app_id,omitempty"` // as the request named it
	Command string    `json:"command,omitempty"`
}

// pageToken says when the token that is at a position of the apps file now last matched, there
// or at another position.
type pageToken struct {
	Position    int        `json:"position"`
	Source      string     `json:"source"`
	Since       time.Time  `json:"since"`        // when it was first taken: the start, or a reload
	LastMatched *time.Time `json:"last_matched"` // null: not since then
}

// pageCounters are the counters of one ledger since the start of the process.
type pageCounters struct {
	Accepted    uint64            `json:"accepted"`
	Dropped     uint64            `json:"dropped"`
	Refused     uint64            `json:"refused"`
	Unconfirmed uint64            `json:"unconfirmed"`
	Reasons     map[string]uint64 `json:"reasons"`  // of refused and unconfirmed; only what happened
	Refusals    []pageRefusal     `json:"refusals"` // the last ones, newest first
}

// pageApp is one app on /apps.
type pageApp struct {
	ID           int64       `json:"sdk_app_id"`
	Name         string      `json:"name"`
	Owner        string      `json:"owner"`
	Registered   bool        `json:"registered"` // in the apps file
	Signed       bool        `json:"signed"`     // has a token
	Tokens       []pageToken `json:"tokens"`
	LastCallback *time.Time  `json:"last_callback"` // answered 200; null: not since the start
	pageCounters
}

// page is /apps.
type page struct {
	Since  time.Time    `json:"since"` // start of all counters
	Routes []string     `json:"routes"`
	Apps   []pageApp    `json:"apps"`
	Others pageCounters `json:"others"` // requests of no app of ours, and those that name none
}

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("apps").Funcs(template.FuncMap{
	"when": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000Z") },
}).Parse(pageHTML))

// AppsPage returns /apps of the admin listener: for each app its counters, its last
// callback and its last refusals with reason, source and command; HTML, or JSON with
// ?format=json or an Accept header that asks for it. Never a Sign, token, query or body. It
// has one row for each app of the apps file, at most maxUnlisted for others, and one for
// all requests that belong to none.
func (r *Receiver) AppsPage() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		p := r.page()
		var err error
		if wantsJSON(req) {
			w.Header().Set("Content-Type", "application/json")
			err = json.NewEncoder(w).Encode(p)
		} else {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
			err = pageTemplate.Execute(w, p)
		}
		if err != nil {
			r.log.Debug("page of apps was not sent", zap.Error(err))
		}
	})
}

func wantsJSON(req *http.Request) bool {
	if format := req.URL.Query().Get("format"); format != "" {
		return format == "json"
	}
	return strings.Contains(req.Header.Get("Accept"), "application/json")
}

// page takes the numbers. They are read one after another while callbacks come in.
func (r *Receiver) page() page {
	p := page{Since: r.started.UTC(), Routes: r.routes.Get().Lines(), Apps: []pageApp{}, Others: countersOf(&r.accounts.nobody)}
	for _, acc := range r.accounts.all() {
		row := pageApp{
			ID:           acc.app.ID,
			Name:         acc.app.Name,
			Owner:        acc.app.Owner,
			Registered:   acc.app.Registered,
			Signed:       len(acc.app.Tokens) > 0,
			Tokens:       []pageToken{},
			LastCallback: timeOf(acc.ledger.last.Load()),
			pageCounters: countersOf(acc.ledger),
		}
		for i, token := range acc.app.Tokens {
			use := acc.uses[i]
			row.Tokens = append(row.Tokens, pageToken{i, token.Source, time.UnixMilli(use.since).UTC(), timeOf(use.last.Load())})
		}
		p.Apps = append(p.Apps, row)
	}
	return p
}

func countersOf(l *ledger) pageCounters {
	c := pageCounters{Reasons: map[string]uint64{}, Refusals: []pageRefusal{}}
	for i := range l.outcomes {
		n := l.outcomes[i].Load()
		if n == 0 {
			continue
		}
		kind, reason := outcome(i).labels()
		switch result(kind) {
		case resultAccepted:
			c.Accepted += n
			continue
		case resultDropped:
			c.Dropped += n
			continue
		case resultUnconfirmed:
			c.Unconfirmed += n
		case resultRefused:
			c.Refused += n
		}
		c.Reasons[reason] = n
	}
	for _, f := range l.refusals() {
		c.Refusals = append(c.Refusals, pageRefusal{
			When:    time.UnixMilli(f.at).UTC(),
			Reason:  refusals[f.reason].reason,
			Source:  f.source.String(),
			App:     f.app,
			Command: string(f.command[:f.size]),
		})
	}
	return c
}

// timeOf returns Unix milliseconds as a time, nil for 0.
func timeOf(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}
