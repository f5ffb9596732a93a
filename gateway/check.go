package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/receive"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/internal/reload"
)

// checkTimeout bounds everything that check asks the cluster.
const checkTimeout = 15 * time.Second

// checkCommand looks at everything that a start would trip over, or that an operator would
// regret later.
type checkCommand struct {
	settings    `embed:""`
	Offline     bool       `name:"offline" env:"-" help:"Check settings and files only: no Kafka, no journal, no token files, no certificates. For CI."`
	RemoveToken tokenPlace `name:"remove-token" env:"-" placeholder:"ID POSITION" help:"Ask the live gateway at --admin-listen whether this app's token, by its position at /apps, is still in use, and check nothing else. Exit status 1: it is, or nobody can tell yet."`
}

// Run prints one line per finding: ok, note, warning or error. It changes nothing, and may
// run beside a live gateway. ErrFound: there was an error.
func (c *checkCommand) Run(con *process.Console) error {
	f := process.NewFindings(con.Stdout)
	ctx, cancel := context.WithTimeout(con.Context, checkTimeout)
	defer cancel()
	if c.RemoveToken.app != 0 {
		c.checkToken(ctx, f)
	} else {
		c.checkAll(ctx, f)
	}
	if f.Errors() > 0 {
		fmt.Fprintf(con.Stdout, "errors: %d\n", f.Errors())
		return process.ErrFound
	}
	fmt.Fprintln(con.Stdout, "no errors")
	return nil
}

// checkAll looks at everything.
func (c *checkCommand) checkAll(ctx context.Context, f *process.Findings) {
	if err := c.complete(); err != nil {
		f.Fail("%v", err)
	}
	c.checkSettings(f)
	checkEdge(f, &c.Edge)
	c.checkApps(f)
	routes := c.checkRoutes(f)
	if !c.Offline {
		checkEdgeFiles(f, &c.Edge)
		checkJournal(f, &c.settings)
		checkQuarantine(f, &c.settings)
		c.checkKafka(ctx, f, routes)
	}
}

// checkSettings looks at what a start refuses, and at what it takes although it is rarely
// meant.
func (c *checkCommand) checkSettings(f *process.Findings) {
	before := f.Errors()
	for _, err := range c.wrong(!c.Offline) {
		f.Fail("%v", err)
	}
	if c.AckDeadline >= vendorPatience {
		f.Warn("--ack-deadline: %v is not below the vendor's %v: late answers are callbacks that failed for it", c.AckDeadline, vendorPatience)
	}
	if c.UnknownApps == "accept" {
		f.Warn("--unknown-apps: callbacks of apps that are not listed are accepted unsigned, from anyone who knows the URL")
	}
	if most, fewer := fewerConnections(c.MaxConnections, maxFiles()); fewer && !c.Offline {
		f.Warn("--max-connections: a process that may open %d files, as this one, takes %d; raise the limit of files (ulimit -n, LimitNOFILE=)", maxFiles(), most)
	}
	if c.Offline && errors.Is(c.Kafka.Check(), kafkaconn.ErrNoBrokers) {
		f.Note("--brokers: not given, which the gateway needs")
	}
	if f.Errors() == before {
		f.OK("settings")
	}
}

// checkFile reads a file as a start does, where an unknown key is an error too.
func checkFile[T any](f *process.Findings, name, path string, parse reload.Parse[T]) (value T, ok bool) {
	file, err := reload.Open(name, path, parse, reload.Options{})
	if err != nil {
		f.FailEach(err)
		return value, false
	}
	return file.Get(), true
}

// checkApps reads the apps file as a start does and says which apps anyone can forge, and
// which tokens do not follow a rotation by themselves.
func (c *checkCommand) checkApps(f *process.Findings) {
	snapshot, ok := checkFile(f, "apps", c.Apps, apps.Parser(apps.Options{ResolveTokens: !c.Offline}))
	if !ok {
		return
	}
	for app := range snapshot.All() {
		if len(app.Tokens) == 0 {
			f.Warn("%s: app %d (%s) has no token: anyone who knows the URL can send callbacks in its name", c.Apps, app.ID, app.Name)
		}
		for _, token := range app.Tokens {
			switch source, _, _ := strings.Cut(token.Source, ":"); source {
			case "env":
				f.Note("%s: app %d (%s): a change of %s needs a restart; file: does not", c.Apps, app.ID, app.Name, token.Source)
			case "plain":
				f.Warn("%s: app %d (%s) has a plain: token, which is for trying out; write file:PATH", c.Apps, app.ID, app.Name)
			}
		}
	}
	if snapshot.Len() == 0 && c.UnknownApps == "refuse" {
		f.Warn("%s: no app is listed, so every callback is refused", c.Apps)
	}
	f.OK("%s: %d apps, %d of them unsigned", c.Apps, snapshot.Len(), snapshot.Unsigned())
}

// checkRoutes returns the routes, nil when they cannot be read.
func (c *checkCommand) checkRoutes(f *process.Findings) *receive.Routes {
	routes, source := receive.DefaultRoutes(c.routeOptions()), "routes (default)"
	if c.Routes != "" {
		var ok bool
		if routes, ok = checkFile(f, "routes", c.Routes, receive.ParseRoutes(c.routeOptions())); !ok {
			return nil
		}
		source = c.Routes
	}
	for _, line := range routes.Lines() {
		f.Note("%s: %s", source, line)
	}
	for _, warning := range routes.Warnings() {
		f.Warn("%s: %s", source, warning)
	}
	f.Note("%s: blocking callbacks (.CallbackBefore, .CallbackPrev) are answered OK, which allows what they ask about, where no route has an answer", source)
	f.OK("%s", source)
	return routes
}
