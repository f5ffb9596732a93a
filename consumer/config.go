package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/group"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/internal/produce"
	"github.com/tidegate/tidegate/schema"
)

// storeFlags say which database a command is about.
type storeFlags struct {
	Store string `name:"store" placeholder:"URL" default:"sqlite:data/tidegate.db" help:"Database of the saved alarms: sqlite:PATH, made where it is missing, for one consumer, which has all partitions; or postgres://USER@HOST/DATABASE for any number of them, with ?password_file=FILE, PGPASSWORD or ~/.pgpass for the password."`
}

// settings are all flags of run and check. The defaults stand here and nowhere else.
type settings struct {
	Group string      `name:"group" placeholder:"NAME" default:"tidegate" help:"Consumer group. Consumers of one group share the work."`
	Start group.Start `name:"start" enum:"earliest,latest" placeholder:"WHERE" default:"earliest" help:"Where a new group begins: at the earliest record that Kafka has, or at the latest. Partitions added later begin at their beginning."`

	SessionTimeout time.Duration `name:"session-timeout" placeholder:"DURATION" default:"30s" help:"How long Kafka waits for a consumer that is silent before it gives its partitions to others: 3s to 30m, and within what the brokers permit."`

	Apps string `name:"apps" required:"" placeholder:"FILE" help:"YAML file with the apps that are ours: the same as the gateway's; tokens are not resolved here. Read again when it changes and on SIGHUP."`

	storeFlags    `embed:""`
	notifyFlags   `embed:""`
	RetentionDays int `name:"retention-days" placeholder:"DAYS" default:"90" help:"Rows older than this are deleted from the store. 0: never."`

	AdminListen string `name:"admin-listen" placeholder:"HOST:PORT" default:"127.0.0.1:9181" help:"Address of /livez, /readyz and /metrics. It has no authentication: not for the internet."`

	kafkaconn.Flags  `embed:"" group:"Kafka"`
	Produce          produce.Flags `embed:"" group:"Kafka"`
	process.LogFlags `embed:"" group:"Logs"`
}

// maxRetentionDays is a century: more is meant as "for ever", which is 0.
const maxRetentionDays = 36500

// maxGroupName is Kafka's own limit of a name that it keeps in a topic.
const maxGroupName = 255

// wrong returns what is wrong with the settings themselves, all at once, one line each.
// It opens nothing.
func (s *settings) wrong(needBrokers bool) []error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(!process.IsAddress(s.AdminListen), "--admin-listen: want HOST:PORT or :PORT, have %q", s.AdminListen)
	refuse(s.Group == "" || len(s.Group) > maxGroupName, "--group: want 1 to %d bytes, have %d", maxGroupName, len(s.Group))
	refuse(s.SessionTimeout < minSessionTimeout || s.SessionTimeout > maxSessionTimeout, "--session-timeout: want %s to %s, have %s", minSessionTimeout, maxSessionTimeout, s.SessionTimeout)
	refuse(s.RetentionDays < 0 || s.RetentionDays > maxRetentionDays, "--retention-days: want 0 to %d, have %d", maxRetentionDays, s.RetentionDays)
	if err := s.CheckPrefix(); err != nil {
		errs = append(errs, err)
	}
	if err := s.Check(); err != nil && (needBrokers || !errors.Is(err, kafkaconn.ErrNoBrokers)) {
		errs = append(errs, err)
	}
	return errs
}

func (s *settings) topics() schema.Topics { return schema.NewTopics(s.TopicPrefix) }

// The heartbeat is every second, so a shorter timeout would drop a healthy consumer; longer
// ones than Kafka's own limit (group.max.session.timeout.ms) are a mistake.
const (
	minSessionTimeout = 3 * time.Second
	maxSessionTimeout = 30 * time.Minute
)
