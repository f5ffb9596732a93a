package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/alecthomas/kong"

	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/process"
)

// maxAppsPage bounds what is read of /apps: 50,000 apps with all their refusals are less.
const maxAppsPage = 512 << 20

// tokenPlace is the value of --remove-token: two words.
type tokenPlace struct {
	app      int64 // 0: the flag is not there
	position int
}

// Decode reads ID and POSITION.
func (p *tokenPlace) Decode(ctx *kong.DecodeContext) error {
	id, err := ctx.Scan.PopValue("ID")
	if err != nil {
		return err
	}
	position, err := ctx.Scan.PopValue("POSITION")
	if err != nil {
		return err
	}
	if p.app, err = strconv.ParseInt(id.String(), 10, 64); err != nil || p.app < 1 {
		return fmt.Errorf("want an SdkAppid, have %q", id)
	}
	if p.position, err = strconv.Atoi(position.String()); err != nil || p.position < 0 {
		return fmt.Errorf("want a position as /apps shows it, from 0, have %q", position)
	}
	return nil
}

// seenApp is what /apps tells of one app, as far as it matters here.
type seenApp struct {
	ID           int64       `json:"sdk_app_id"`
	Name         string      `json:"name"`
	Registered   bool        `json:"registered"`
	Tokens       []seenToken `json:"tokens"`
	LastCallback *time.Time  `json:"last_callback"`
}

type seenToken struct {
	Position    int        `json:"position"`
	Source      string     `json:"source"`
	Since       time.Time  `json:"since"`
	LastMatched *time.Time `json:"last_matched"`
}

// checkToken says whether a token could be taken out of the apps file now without a callback
// being refused for it, by what the live gateway has seen. An error says that it could not, or that
// nobody can tell yet.
func (c *checkCommand) checkToken(ctx context.Context, f *process.Findings) {
	list, err := askApps(ctx, c.AdminListen)
	if err != nil {
		f.Fail("--remove-token: %v", err)
		return
	}
	at := slices.IndexFunc(list, func(a seenApp) bool { return a.ID == c.RemoveToken.app && a.Registered })
	if at < 0 {
		f.Fail("--remove-token: the gateway at %s has no app %d in its apps file", c.AdminListen, c.RemoveToken.app)
		return
	}
	judgeToken(f, &list[at], c.RemoveToken.position, time.Now())
}

// judgeToken is checkToken once the app is known.
func judgeToken(f *process.Findings, app *seenApp, position int, now time.Time) {
	name := fmt.Sprintf("app %d (%s)", app.ID, app.Name)
	if position >= len(app.Tokens) {
		f.Fail("%s: has no token at position %d: it has %d, counted from 0", name, position, len(app.Tokens))
		return
	}
	token := &app.Tokens[position]
	name = fmt.Sprintf("%s: token %d (%s)", name, position, token.Source)
	if len(app.Tokens) == 1 {
		f.Fail("%s: is the app's only one: without it anyone could send in its name", name)
	}
	if at := token.LastMatched; at != nil && now.Sub(*at) < apps.Recently {
		f.Fail("%s: last matched %s ago: callbacks signed with it would be refused", name, ago(now.Sub(*at)))
		return
	}
	watched := now.Sub(token.Since)
	others := slices.ContainsFunc(app.Tokens, func(t seenToken) bool {
		return t.Position != position && t.LastMatched != nil && now.Sub(*t.LastMatched) < apps.Recently
	})
	switch {
	case watched < apps.Recently:
		f.Fail("%s: no match yet, but it has been watched for %s only: ask again when that is %s", name, ago(watched), ago(apps.Recently))
		return
	case token.LastMatched != nil:
		f.OK("%s: last matched %s ago, and not since", name, ago(now.Sub(*token.LastMatched)))
	default:
		f.OK("%s: no match in the %s since this gateway began to take it", name, ago(watched))
	}
	if !others {
		f.Warn("%s: no other token of the app matched in the last %s either, so that which one the vendor signs with is not to be seen here", name, ago(apps.Recently))
	}
	f.Note("each gateway knows of its own callbacks only: ask all that this app's reach")
}

// ago writes a duration for a person: 3 minutes, 26 h.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(0, int(d.Seconds())))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 72*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// askApps asks a gateway's admin listener, by the address that it listens on, for its apps.
func askApps(ctx context.Context, listen string) ([]seenApp, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+reachable(listen)+"/apps?format=json", http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask the gateway: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no gateway answers at --admin-listen=%s, and only a live one knows which tokens matched: %w", listen, err)
	}
	defer response.Body.Close()
	var page struct {
		Apps []seenApp `json:"apps"`
	}
	err = json.NewDecoder(io.LimitReader(response.Body, maxAppsPage)).Decode(&page)
	if response.StatusCode != http.StatusOK || err != nil {
		return nil, fmt.Errorf("what answers at --admin-listen=%s has no /apps of a gateway: status %d, %w", listen, response.StatusCode, err)
	}
	return page.Apps, nil
}

// reachable is the address at which a listener of this machine is reached.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen // which says so itself
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}
