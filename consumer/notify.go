package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/consumer/internal/notify"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/internal/reload"
)

// notifyFlags say who is told.
type notifyFlags struct {
	Notify string `name:"notify" placeholder:"FILE" help:"YAML file with the channels that notices are sent to, and the rules of what goes where. Read again when it changes and on SIGHUP. Without it notices are saved and nobody is told."`
}

// errNoNotify says that a command that is about channels was given none.
var errNoNotify = errors.New("--notify: want the file with the channels")

// openNotify reads notify.yaml and starts the worker that sends notices. It is opened after
// the store, and so stops before that is closed.
func (c *consumer) openNotify(context.Context) (err error) {
	if c.set.Notify == "" {
		c.log.Info("no --notify file: notices are saved and nobody is told")
		return nil
	}
	c.notify, err = reload.Open("notify", c.set.Notify, notify.Parser(notify.ParseOptions{ResolveSecrets: true}),
		reload.Options{Log: c.log, Metrics: c.reg})
	if err != nil {
		return err
	}
	c.p.Go("notify file", c.notify.Run)
	c.p.OnHangup(func() { _, _ = c.notify.Reload() }) // says itself what is wrong
	c.notices = notify.New(notify.Options{
		Outbox: c.store, Config: c.notify.Get, Zone: c.zone, Owner: c.owner(), Shared: !c.store.Single(), Log: c.log.Named("notify"), Metrics: c.reg,
	})
	c.p.Go("notices", c.notices.Run)
	c.log.Info("notices are sent", zap.Strings("channels", c.notify.Get().Names()))
	return nil
}

// zone returns the time zone of an app.
func (c *consumer) zone(app int64) *time.Location {
	snapshot := c.apps.Get()
	if a := snapshot.Get(app); a != nil {
		return a.Zone
	}
	return snapshot.Unlisted(app).Zone
}

// owner is how this consumer takes the channels' leases. The only consumer of a store goes
// on at once with what it had before it was killed.
func (c *consumer) owner() string {
	if c.store.Single() {
		return "the only consumer"
	}
	return rand.Text()
}

// addNotifyChecks adds what concerns notices to the readiness page. None of it is required:
// alarms are saved and published while nobody can be told.
func (c *consumer) addNotifyChecks() {
	if c.notices == nil {
		return
	}
	c.ready.Add("notices", false, c.notices.Status)
	c.ready.Add("file notify", false, func() (bool, string) {
		return process.FileDetail(c.notify.Status(), fmt.Sprintf("%d channels", c.notify.Get().Len()))
	})
}

// checkNotify reads notify.yaml as a start does; offline, without its secrets.
func (c *checkCommand) checkNotify(f *process.Findings) {
	if c.Notify == "" {
		f.Note("--notify: not given, so notices are saved and nobody is told")
		return
	}
	file, err := reload.Open("notify", c.Notify, notify.Parser(notify.ParseOptions{ResolveSecrets: !c.Offline}), reload.Options{})
	if err != nil {
		f.FailEach(err)
		return
	}
	config := file.Get()
	if config.Len() == 0 {
		f.Warn("%s: there is no channel, so nobody is told", c.Notify)
	}
	for ch := range config.Channels() {
		if ch.FromEnv {
			f.Note("%s: a secret of channel %s comes from the environment: a new one needs a restart", c.Notify, ch.Name)
		}
	}
	f.OK("%s: %d channels; consumer notify test CHANNEL tries one", c.Notify, config.Len())
}
