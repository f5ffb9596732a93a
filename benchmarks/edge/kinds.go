//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Baselines of the kinds: accepted callbacks that cost the client and the kernel the same.
const (
	baseKept  = "accepted"                               // on a connection that is kept
	baseNew   = "accepted, new connection"               // on a new connection each time
	baseLarge = "accepted, new connection, largest body" // --max-body-bytes
	largest   = 262144                                   // --max-body-bytes by default
	rateLimit = 100                                      // of limitedApp, callbacks a second
	fewConns  = 32                                       // --max-connections where they are to be too many
	wanted    = 0.9                                      // share of a turn's answers that must be of the kind that is measured
)

// kind is one kind of answer whose CPU is measured.
type kind struct {
	name   string
	reason string // label of tidegate_gateway_callbacks_total; empty: accepted
	base   string // name of its baseline; empty: it is one
	once   bool   // a new connection each time; else as the answer says
	at     variant
	make   func(now time.Time) []byte
}

// variant is a gateway that differs from the others.
type variant int

const (
	open    variant = iota // takes what is right, and tells who fails why
	full                   // has all its connections taken
	guarded                // has told this source often enough
	walled                 // takes nothing of this source
)

// flags are what makes a gateway the variant. dir is a folder for its files.
func (v variant) flags(dir string) ([]string, error) {
	switch v {
	case open:
	case full:
		return []string{"--max-connections=" + strconv.Itoa(fewConns)}, nil
	case guarded:
		return []string{"--auth-failures-per-second=1"}, nil
	case walled:
		file := filepath.Join(dir, "sources.yaml")
		return []string{"--allow-sources=" + file}, os.WriteFile(file, []byte("sources: [192.0.2.0/24]\n"), 0o600)
	}
	return []string{"--auth-failures-per-second=0"}, nil
}

// change makes a callback of the first app that is right but for what f does to it.
func change(f func(*callback)) func(time.Time) []byte {
	return func(now time.Time) []byte {
		c := right(firstApp, now)
		f(&c)
		return c.write()
	}
}

// kinds are the baselines, then every refusal that a client can cause by what it sends. A new
// reason gets a line here, or one in notCausable.
var kinds = []kind{
	{name: baseKept, make: change(func(*callback) {})},
	{name: baseNew, once: true, make: change(func(*callback) {})},
	{name: baseLarge, once: true, make: change(func(c *callback) { c.body = strings.Repeat("x", largest) })},

	{name: "method", reason: "method", base: baseKept, make: change(func(c *callback) { c.method = "PUT" })},
	{name: "path", reason: "path", base: baseKept, make: change(func(c *callback) { c.path = "/other" })},
	{name: "query", reason: "query", base: baseKept, make: change(func(c *callback) { c.query = "&x=%zz" })},
	{name: "app_missing", reason: "app_missing", base: baseKept, make: change(func(c *callback) { c.app = "" })},
	{name: "app_doubled", reason: "app_doubled", base: baseKept, make: change(func(c *callback) { c.query = "&SdkAppid=7" })},
	{name: "app_malformed", reason: "app_malformed", base: baseKept, make: change(func(c *callback) { c.app = "12x" })},
	{name: "command_missing", reason: "command_missing", base: baseKept, make: change(func(c *callback) { c.command = "" })},
	{name: "command_doubled", reason: "command_doubled", base: baseKept, make: change(func(c *callback) { c.query = "&CallbackCommand=x" })},
	{name: "command_malformed", reason: "command_malformed", base: baseKept, make: change(func(c *callback) { c.command = "a b" })},
	{name: "body_empty", reason: "body_empty", base: baseKept, make: change(func(c *callback) { c.body = "" })},
	{name: "sign_missing", reason: "sign_missing", base: baseKept, make: change(func(c *callback) { c.sign = "" })},
	{name: "sign_wrong", reason: "sign_wrong", base: baseKept, make: func(now time.Time) []byte { return forged(firstApp, now).write() }},
	{name: "request_time", reason: "request_time", base: baseKept, make: func(now time.Time) []byte {
		return right(firstApp, now.Add(-time.Hour)).write()
	}},
	{name: "app_unknown", reason: "app_unknown", base: baseKept, make: change(func(c *callback) { c.app = "1999999999" })},
	{name: "rate", reason: "rate", base: baseKept, make: func(now time.Time) []byte { return right(emptyApp, now).write() }},

	{name: "guessing", reason: "guessing", base: baseKept, at: guarded, make: func(now time.Time) []byte { return forged(firstApp, now).write() }},

	{name: "source", reason: "source", base: baseNew, at: walled, make: change(func(*callback) {})},
	{name: "http", reason: "http", base: baseNew, make: func(time.Time) []byte { return []byte("POST /im\r\nx\r\n\r\n") }},
	{name: "header_size", reason: "header_size", base: baseNew, make: change(func(c *callback) {
		c.headers = "X-Long: " + strings.Repeat("x", 32<<10) + "\r\n"
	})},
	{name: "body_size, announced", reason: "body_size", base: baseNew, make: change(func(c *callback) { c.length = 1 << 30 })},
	{name: "body_size, a byte too many", reason: "body_size", base: baseLarge, make: change(func(c *callback) { c.body = strings.Repeat("x", largest+1) })},
	{name: "body_size, 2 MiB", reason: "body_size", base: baseLarge, make: change(func(c *callback) { c.body = strings.Repeat("x", 2<<20) })},
	// Nothing is sent: it is refused before anything is read.
	{name: "connections", reason: "connections", base: baseNew, at: full, make: func(time.Time) []byte { return nil }},
}

// notCausable are the reasons that no request causes at once, each with why it has no line.
var notCausable = map[string]string{
	"none":          "accepted, or dropped by its route",
	"timeout":       "takes --read-timeout: what it costs is in slow-loris",
	"journal_full":  "the journal's state",
	"busy":          "the journal's state",
	"parked_full":   "the topic's state",
	"draining":      "the gateway stops",
	"not_confirmed": "the journal's state",
	"parked":        "the topic's state",
}
