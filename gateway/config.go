package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tidegate/tidegate/gateway/internal/forward"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/gateway/internal/receive"
	"github.com/tidegate/tidegate/internal/kafkaconn"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/internal/produce"
	"github.com/tidegate/tidegate/schema"
)

const (
	// payloadRoom is what a journal entry may hold beside the body: topic, gateway name
	// and query, whose length the limit of a request's header bounds.
	payloadRoom = 64 << 10

	// vendorPatience is how long the vendor waits for an answer (trtc.io/document/34354).
	vendorPatience = 2 * time.Second

	maxGatewayName = 255 // bytes

	parkedName = "parked" // of the parked journal, in the journal's directory

	nowhere = "127.0.0.1:1" // an address at which no broker is
)

// journalFlags say which journal a command is about.
type journalFlags struct {
	JournalDir string `name:"journal-dir" placeholder:"DIR" default:"data/journal" help:"Directory of the journal. A gateway makes it where it is missing."`
}

// settings are all flags of run and check, with their defaults. The packages' options have
// defaults of their own, for those who leave them zero.
type settings struct {
	Listen      string `name:"listen" placeholder:"HOST:PORT" default:":8080" help:"Address at which callbacks are taken."`
	Path        string `name:"path" placeholder:"PATH" help:"The only URL path at which callbacks are taken, such as /im; empty: any path."`
	AdminListen string `name:"admin-listen" placeholder:"HOST:PORT" default:"127.0.0.1:9180" help:"Address of /livez, /readyz, /metrics and /apps. It has no authentication: not for the internet."`

	Edge edgeFlags `embed:"" group:"Edge"`

	Apps        string `name:"apps" required:"" placeholder:"FILE" help:"YAML file with the apps that are ours. Read again when it, or a token file that it names, changes, and on SIGHUP."`
	Routes      string `name:"routes" placeholder:"FILE" help:"YAML file that says which commands go to which topic. Read again as --apps is. Without it the quota alarm is kept and everything else is answered OK, counted and dropped."`
	UnknownApps string `name:"unknown-apps" enum:"refuse,accept" placeholder:"WHAT" default:"refuse" help:"What to do with callbacks of apps that --apps does not list: refuse or accept."`
	GatewayName string `name:"gateway-name" placeholder:"NAME" help:"Name of this gateway in ce_gateway, unique among those that share topics [default: the host's name]"`

	journalFlags    `embed:""`
	JournalMaxBytes size          `name:"journal-max-bytes" placeholder:"BYTES" default:"0" help:"Most that the journal's files may take, such as 20GiB. 0: 80 % of what is free at the first start, at most 64GiB."`
	JournalRetain   time.Duration `name:"journal-retain" placeholder:"DURATION" default:"10m" help:"How long delivered callbacks stay in the journal, to be delivered again should Kafka lose them. 0s: not at all."`
	ParkedMaxBytes  size          `name:"parked-max-bytes" placeholder:"BYTES" default:"1GiB" help:"Most that callbacks may take that are parked because their topic refuses them. Then callbacks of that topic are answered 503."`

	quarantineFlags `embed:""`

	Ack               journal.Level `name:"ack" placeholder:"LEVEL" default:"disk" help:"What a 200 waits for where a route does not say: memory, disk or broker."`
	AckDeadline       time.Duration `name:"ack-deadline" placeholder:"DURATION" default:"1.5s" help:"How long an answer waits before it is 503: for room in the journal, then it was not taken, and for its level, then it is not confirmed; both together. The vendor waits 2s."`
	RequestTimeWindow time.Duration `name:"request-time-window" placeholder:"DURATION" default:"300s" help:"How far RequestTime of a signed callback may be from this machine's clock, both ways."`
	AuthFailures      int           `name:"auth-failures-per-second" placeholder:"N" default:"20" help:"How many requests a second of one address may fail for want of a right Sign or of a known app, five times that at once; more are answered 429 guessing. What is signed right is taken all the same. 0: any number."`
	MaxBodyBytes      size          `name:"max-body-bytes" placeholder:"BYTES" default:"262144" help:"Largest body of a callback; larger ones are answered 413. At most 1900KiB."`

	MaxConnections int `name:"max-connections" placeholder:"COUNT" default:"16384" help:"Most connections at a time; one more is answered 503. Each takes a file and about 40 KiB of memory."`

	MaxWaitingBytes size `name:"max-waiting-bytes" placeholder:"BYTES" default:"256MiB" help:"Most memory for bodies that are being read, of all connections together; a body for which there is no room is answered 503. Bodies of less than about 8 KiB do not count."`

	ShutdownDelay time.Duration `name:"shutdown-delay" placeholder:"DURATION" default:"0s" help:"How long to go on taking callbacks after /readyz turned to 503, so that load balancers notice."`
	DrainTimeout  time.Duration `name:"drain-timeout" placeholder:"DURATION" default:"20s" help:"How long to go on delivering to Kafka after the last answer. What is left stays in the journal."`

	Kafka   kafkaconn.Flags `embed:"" group:"Kafka"`
	Produce produce.Flags   `embed:"" group:"Kafka"`

	Logs process.LogFlags `embed:"" group:"Logs"`
}

// maxBody is the largest --max-body-bytes: an entry of the parked journal has to fit into
// half a batch of 4 MiB.
const maxBody = 1900 << 10

// maxParkedPayload is the largest entry of the parked journal: whatever was taken, also under a
// --max-body-bytes that was larger than today's, must find its place there.
const maxParkedPayload = maxBody + payloadRoom + forward.EnvelopeBytes

// complete fills in what depends on this machine.
func (s *settings) complete() error {
	if s.GatewayName == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("--gateway-name: the host's name is not known, so set one: %w", err)
		}
		s.GatewayName = name
	}
	return nil
}

// wrong returns what is wrong with the settings themselves, all at once, one line each.
// It opens nothing.
func (s *settings) wrong(needBrokers bool) []error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(!process.IsAddress(s.Listen), "--listen: want HOST:PORT or :PORT, have %q", s.Listen)
	refuse(!process.IsAddress(s.AdminListen), "--admin-listen: want HOST:PORT or :PORT, have %q", s.AdminListen)
	refuse(s.Path != "" && !isPath(s.Path), "--path: want a path such as /im, without ? & ! $ # %% and blanks, have %q", s.Path)
	refuse(!isName(s.GatewayName), "--gateway-name: want 1 to %d bytes of printable text, have %q", maxGatewayName, s.GatewayName)
	errs = append(errs, s.Edge.wrong()...)
	refuse(s.JournalDir == "", "--journal-dir: is empty; name a directory")
	least := size(journal.MinBytes(s.maxPayload()))
	refuse(s.JournalMaxBytes != 0 && s.JournalMaxBytes < least, "--journal-max-bytes: want 0 or at least %v, have %v", least, s.JournalMaxBytes)
	refuse(s.JournalRetain < 0, "--journal-retain: want 0s or more, have %v", s.JournalRetain)
	leastParked := size(journal.MinBytes(maxParkedPayload))
	refuse(s.ParkedMaxBytes < leastParked, "--parked-max-bytes: want at least %v, have %v", leastParked, s.ParkedMaxBytes)
	refuse(s.AckDeadline <= 0, "--ack-deadline: want more than 0s, have %v", s.AckDeadline)
	refuse(s.RequestTimeWindow <= 0, "--request-time-window: want more than 0s, have %v", s.RequestTimeWindow)
	refuse(s.AuthFailures < 0, "--auth-failures-per-second: want 0 or more, have %d", s.AuthFailures)
	refuse(s.MaxBodyBytes < 1 || s.MaxBodyBytes > maxBody, "--max-body-bytes: want 1 to %d, have %d", maxBody, int64(s.MaxBodyBytes))
	refuse(s.MaxConnections < 1, "--max-connections: want 1 or more, have %d", s.MaxConnections)
	refuse(s.MaxWaitingBytes < s.MaxBodyBytes, "--max-waiting-bytes: want at least --max-body-bytes (%v), have %v", s.MaxBodyBytes, s.MaxWaitingBytes)
	refuse(s.ShutdownDelay < 0, "--shutdown-delay: want 0s or more, have %v", s.ShutdownDelay)
	refuse(s.DrainTimeout < 0, "--drain-timeout: want 0s or more, have %v", s.DrainTimeout)
	if err := s.wrongQuarantine(); err != nil {
		errs = append(errs, err)
	}
	if err := s.Kafka.CheckPrefix(); err != nil {
		errs = append(errs, err)
	}
	kafka := s.Kafka
	if !needBrokers && len(kafka.Brokers) == 0 {
		kafka.Brokers = []string{nowhere} // to have the others looked at
	}
	if err := kafka.Check(); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// maxPayload is the largest journal entry that a callback may become.
func (s *settings) maxPayload() int { return int(min(max(s.MaxBodyBytes, 0), maxBody)) + payloadRoom }

// retain is --journal-retain as the journal has it, where 0 is its default.
func (s *settings) retain() time.Duration {
	if s.JournalRetain == 0 {
		return -1
	}
	return s.JournalRetain
}

// authFailures is --auth-failures-per-second as receive has it, where 0 is its default.
func (s *settings) authFailures() float64 {
	if s.AuthFailures == 0 {
		return -1
	}
	return float64(s.AuthFailures)
}

// parkedDir is where callbacks of refusing topics are kept.
func (f journalFlags) parkedDir() string { return filepath.Join(f.JournalDir, parkedName) }

// topics are the names of the contract with this deployment's prefix.
func (s *settings) topics() schema.Topics { return schema.NewTopics(s.Kafka.TopicPrefix) }

// routeOptions are what the routes file leaves to flags.
func (s *settings) routeOptions() receive.RouteOptions {
	return receive.RouteOptions{TopicPrefix: s.Kafka.TopicPrefix, Ack: s.Ack}
}

// isPath says whether the vendor can call the path: its console takes none of ? & ! $ and
// blanks (cloud.tencent.com/document/product/269/32431).
func isPath(path string) bool {
	return path[0] == '/' && !strings.ContainsAny(path, "?&!$#%") && !strings.ContainsFunc(path, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	})
}

// isName says whether a name can travel in a record's header, whose readers take text only
// (schema.ParseCallback makes a dead letter of anything else).
func isName(name string) bool {
	return name != "" && len(name) <= maxGatewayName && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}
