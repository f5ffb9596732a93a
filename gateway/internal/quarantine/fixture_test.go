package quarantine

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
	"github.com/tidegate/tidegate/schema"
)

const (
	harbor  = 1400000001
	lantern = 1400000002
	dir     = "/q"
)

// epoch is when the first callback of a test came.
var epoch = time.Date(2026, 11, 26, 1, 2, 3, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused is the n-th refused callback of an app.
func refused(app int64, reason Reason, n int, body string) *Callback {
	return &Callback{
		ReceivedAt: epoch.Add(time.Duration(n) * time.Second), Reason: reason, Source: netip.MustParseAddr("192.0.2.7"), AppID: app,
		Command: []byte(schema.CommandQuotaAlarm), Query: fmt.Appendf(nil, "SdkAppid=%d&n=%d", app, n), Body: []byte(body),
	}
}

// openIn opens a store of which each pass syncs.
func openIn(t testing.TB, fsys vfs.FS, maxBytes int64) *Store {
	t.Helper()
	s, err := Open(Options{Dir: dir, MaxBytes: maxBytes, FS: fsys, Every: time.Nanosecond, Now: func() time.Time { return epoch.Add(time.Hour) }})
	must(t, err)
	return s
}

// keep offers callbacks and writes them.
func keep(t testing.TB, s *Store, list ...*Callback) {
	t.Helper()
	for _, c := range list {
		if !s.Offer(c) {
			t.Fatalf("callback of %d was not taken", c.AppID)
		}
	}
	s.pass()
}

// inside returns what a directory keeps, as "app reason query" in the order of Read.
func inside(t testing.TB, fsys vfs.FS) (list []string) {
	t.Helper()
	damaged, err := readFS(fsys, dir, func(c *Callback, _ int) error {
		list = append(list, fmt.Sprintf("%d %v %s", c.AppID, c.Reason, c.Query))
		return nil
	})
	must(t, err)
	if damaged != nil {
		t.Fatalf("damaged: %v", damaged)
	}
	return list
}

// queries returns the queries of what a directory keeps of an app.
func queries(t testing.TB, fsys vfs.FS, app int64) (list []string) {
	t.Helper()
	_, err := readFS(fsys, dir, func(c *Callback, _ int) error {
		if c.AppID == app {
			list = append(list, string(c.Query))
		}
		return nil
	})
	must(t, err)
	return list
}

// admitAll judges as if everything were right now.
func admitAll(c *Callback, admitted time.Time, dst []byte) ([]byte, Judged) {
	callback := schema.Callback{
		Gateway: []byte("g1"), AppID: c.AppID, Command: c.Command, ReceivedAt: c.ReceivedAt,
		Authenticated: schema.AuthenticatedSign, Body: c.Body,
	}
	callback.Attributes[schema.AttributeQuery] = c.Query
	callback.Attributes[schema.AttributeAdmitted] = []byte(schema.FormatTime(admitted))
	return entry.Append(dst, "topic", &callback), Judged{Verdict: Admit}
}

// openJournal opens a journal in /j.
func openJournal(fsys vfs.FS) (*journal.Journal, error) {
	return journal.Open(journal.Options{Dir: "/j", MaxBytes: 2 << 20, MaxPayload: 8 << 10, FS: fsys, AckDeadline: 10 * time.Second, Retain: time.Hour})
}

// admitted returns the queries of the callbacks in a journal, in order.
func admitted(t testing.TB, j *journal.Journal) (list []string) {
	t.Helper()
	r := j.Reader(1)
	defer r.Close()
	for {
		e, ok, err := r.Next()
		must(t, err)
		if !ok {
			return list
		}
		read, err := entry.Parse(slices.Clone(e.Payload))
		must(t, err)
		list = append(list, string(read.Callback.Attributes[schema.AttributeQuery]))
	}
}
