//go:build linux

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	token        = "edge-token"
	callbackPath = "/im"

	// firstApp is the first of those that are numbered from it on.
	firstApp = 1400000001

	// limitedApp has a rate limit of its own; a flood comes in its name.
	limitedApp = 1500000001

	// emptyApp may send once in a thousand seconds: what it sends is refused for its rate.
	emptyApp = 1500000002

	// command is not the quota alarm's, whose bucket would be measured.
	command = "Group.CallbackAfterGroupInfoChanged"
)

// Sources on loopback: who is honest never shares one with who is not.
var (
	honestSource  = netip.MustParseAddr("127.0.0.1")
	hostileSource = netip.MustParseAddr("127.0.0.66")
	manySources   = netip.MustParseAddr("127.0.1.1") // and those behind it
)

// appsFile is apps.yaml with count apps from firstApp on, beside limitedApp and emptyApp.
// Two versions differ in names and rate limits.
func appsFile(count, version int) []byte {
	var b strings.Builder
	b.WriteString("defaults: {rate_limit: {per_second: 10000000, burst: 10000000}}\napps:\n")
	for i := range count {
		fmt.Fprintf(&b, "  - {sdk_app_id: %d, name: App %d of version %d, tokens: [\"plain:%s\"], rate_limit: {per_second: %d}}\n",
			firstApp+i, i, version, token, 10000000+version)
	}
	fmt.Fprintf(&b, "  - {sdk_app_id: %d, name: Limited, tokens: [\"plain:%s\"], rate_limit: {per_second: %d, burst: %d}}\n", limitedApp, token, rateLimit, rateLimit)
	fmt.Fprintf(&b, "  - {sdk_app_id: %d, name: Empty, tokens: [\"plain:%s\"], rate_limit: {per_second: 0.001, burst: 1}}\n", emptyApp, token)
	return []byte(b.String())
}

// callback is a request before it is written: a zero field is left out.
type callback struct {
	method  string // empty: POST
	path    string // empty: callbackPath
	app     string
	command string
	second  string // RequestTime
	sign    string
	query   string // further parameters, each with its &
	headers string // further lines, each with its end
	length  int    // Content-Length that is said; 0: the body's
	body    string
}

// right is a callback of app that is accepted if it comes soon after now.
func right(app int64, now time.Time) callback {
	second := strconv.FormatInt(now.Unix(), 10)
	sum := sha256.Sum256([]byte(token + second))
	return callback{
		app: strconv.FormatInt(app, 10), command: command, second: second, sign: hex.EncodeToString(sum[:]),
		body: fmt.Sprintf(`{"CallbackCommand":%q,"GroupId":"@TGS#1","EventTime":"%d"}`, command, now.UnixMilli()),
	}
}

// forged is right with a Sign that is wrong.
func forged(app int64, now time.Time) callback {
	c := right(app, now)
	c.sign = strings.Repeat("0f", sha256.Size)
	return c
}

// write returns the bytes of c.
func (c callback) write() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s?contenttype=json&ClientIP=192.0.2.7&OptPlatform=RESTAPI", or(c.method, "POST"), or(c.path, callbackPath))
	for _, p := range [][2]string{{"SdkAppid", c.app}, {"CallbackCommand", c.command}, {"RequestTime", c.second}, {"Sign", c.sign}} {
		if p[1] != "" {
			b.WriteString("&" + p[0] + "=" + url.QueryEscape(p[1]))
		}
	}
	fmt.Fprintf(&b, "%s HTTP/1.1\r\nHost: edge.test\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s",
		c.query, c.headers, max(c.length, len(c.body)), c.body)
	return []byte(b.String())
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// honest are requests of count apps from firstApp on, one of each.
func honest(count int, now time.Time) [][]byte {
	var all [][]byte
	for i := range count {
		all = append(all, right(firstApp+int64(i), now).write())
	}
	return all
}
