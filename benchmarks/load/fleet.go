package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/tidegate/tidegate/internal/apps"
)

// firstSampleApp is the SdkAppid of the first sample app.
const firstSampleApp = 1400000001

// sampleToken is the token of the sample app id: load can sign for it without a file.
func sampleToken(id int64) string { return "sample-token-" + strconv.FormatInt(id, 10) }

// sender is one app as the vendor plays it. Its counters are guarded by mu; everything
// above mu is constant.
type sender struct {
	id    int64
	token []byte // nil: this app's callbacks are not signed
	quota int64

	mu        sync.Mutex
	n         int64   // callbacks made so far
	alarms    int64   // of them alarms
	used      float64 // QuotaUsed of the last alarm
	lastEvent int64   // Unix milliseconds of the last alarm
	signedAt  int64   // RequestTime of sign
	sign      string  // for signedAt
}

// fleet is all senders of a run.
type fleet struct {
	senders []*sender
	climb   float64       // percent of the cap that each alarm is above the last; 0: one group
	history time.Duration // the first alarms of each app are dated over this long before its first
}

// historyAlarms is how many alarms of each app are dated back when there is a history:
// three points over five minutes are what a rate needs.
const historyAlarms = 4

// Where QuotaUsed runs, in percent of the cap: it begins anew at the bottom, as a new day
// does, once it is past the top.
const (
	usedBottom = 70.5
	usedTop    = 110
)

// newFleet returns the apps of the file at path, with their first token resolved as the
// gateway does; without a path the sample apps. Count limits them (0: all of the file).
func newFleet(path string, count int, seed uint64) (*fleet, error) {
	random := rand.New(rand.NewPCG(seed, 0))
	f := &fleet{}
	if path == "" {
		for i := range int64(max(count, 1)) {
			f.add(firstSampleApp+i, []byte(sampleToken(firstSampleApp+i)), random)
		}
		return f, nil
	}
	snapshot, err := readApps(path)
	if err != nil {
		return nil, err
	}
	for app := range snapshot.All() {
		if count > 0 && len(f.senders) == count {
			break
		}
		f.add(app.ID, firstToken(app), random)
	}
	if len(f.senders) == 0 || len(f.senders) < count {
		return nil, fmt.Errorf("--apps-file %s: has %d apps, --app-count asks for %d", path, len(f.senders), count)
	}
	return f, nil
}

func (f *fleet) add(id int64, token []byte, random *rand.Rand) {
	quota := int64(10_000)
	if len(f.senders)%5 == 4 {
		quota = 50_000
	}
	f.senders = append(f.senders, &sender{
		id: id, token: token, quota: quota,
		used: float64(quota) * (usedBottom + 5*random.Float64()) / 100,
	})
}

// readApps loads an apps file with its tokens resolved.
func readApps(path string) (*apps.Snapshot, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--apps-file: %w (load apps --apps-file %s writes one)", err, path)
	}
	snapshot, problems := apps.Parser(apps.Options{ResolveTokens: true})(data)
	for _, p := range problems {
		if !p.Warning {
			return nil, fmt.Errorf("--apps-file %s: %w", path, problems)
		}
	}
	return snapshot, nil
}

// firstToken returns a copy of app's first token, nil where it has none.
func firstToken(app *apps.App) []byte {
	if len(app.Tokens) == 0 {
		return nil
	}
	return append([]byte(nil), app.Tokens[0].Bytes()...)
}

// signature returns the lower-case hex of sha256(token + requestTime)
// (vendor: trtc.io/document/34354).
func signature(token []byte, requestTime int64) string {
	sum := sha256.Sum256(strconv.AppendInt(append([]byte(nil), token...), requestTime, 10))
	return hex.EncodeToString(sum[:])
}

// facts are what one callback says. Of one app no two
// alarms have the same event time and used.
type facts struct {
	n         int64
	eventTime int64 // Unix milliseconds; of alarms never falling within an app
	used      int64
	sign      string // for requestTime; empty: the app has no token
	request   int64  // RequestTime, Unix seconds
}

// next makes the facts of the sender's next callback. Only an alarm moves QuotaUsed.
func (f *fleet) next(s *sender, alarm bool, now time.Time) facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	event := now.UnixMilli()
	if alarm {
		event = max(f.eventTime(s, now), s.lastEvent)
		step := max(1, f.climb/100*float64(s.quota))
		s.used += step
		if s.used > float64(s.quota)*usedTop/100 {
			s.used = float64(s.quota) * usedBottom / 100
			event = max(event, s.lastEvent+1) // a value that was sent before needs a new time
		}
		s.lastEvent = event
		s.alarms++
	}
	if second := now.Unix(); s.token != nil && second != s.signedAt {
		s.signedAt, s.sign = second, signature(s.token, second)
	}
	return facts{n: s.n, eventTime: event, used: int64(s.used), sign: s.sign, request: s.signedAt}
}

// eventTime dates an alarm: now, or into the history for the first ones of an app.
// Called with s.mu held.
func (f *fleet) eventTime(s *sender, now time.Time) int64 {
	if f.history == 0 || s.alarms >= historyAlarms {
		return now.UnixMilli()
	}
	back := f.history * time.Duration(historyAlarms-s.alarms) / historyAlarms
	return now.Add(-back).UnixMilli()
}
