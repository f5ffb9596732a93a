//go:build linux

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Apps and token of the driven callbacks: enough apps that no per-app structure is hot
// by accident, each connection one app.
const (
	firstApp = 1400000001
	appCount = 256
	token    = "compare-token"
)

// command is not the quota alarm's: that one has a bucket of its own per app, which a
// closed loop would only measure. The body is the alarm's all the same.
const command = "Group.CallbackAfterGroupInfoChanged"

// requests makes one request for each app, signed now, with a body of n bytes that is a
// quota alarm padded by white space.
func requests(address string, n int, now time.Time) [][]byte {
	second := strconv.FormatInt(now.Unix(), 10)
	sum := sha256.Sum256([]byte(token + second))
	all := make([][]byte, 0, appCount)
	for i := range appCount {
		body := fmt.Sprintf(`{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":7321,"Quota":10000,"EventTime":"%d"`, now.UnixMilli()+int64(i))
		body += strings.Repeat(" ", max(0, n-len(body)-1)) + "}"
		all = append(all, fmt.Appendf(nil, "POST /?SdkAppid=%d&CallbackCommand=%s&contenttype=json&ClientIP=192.0.2.7&OptPlatform=RESTAPI&RequestTime=%s&Sign=%s HTTP/1.1\r\n"+
			"Host: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", firstApp+i, command, second, hex.EncodeToString(sum[:]), address, len(body), body))
	}
	return all
}
