package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
	"github.com/tidegate/tidegate/gateway/internal/quarantine"
	"github.com/tidegate/tidegate/gateway/internal/receive"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

// quarantineName is the quarantine's directory in the journal's.
const quarantineName = "quarantine"

// quarantineFlag says where refused callbacks are kept, for all commands.
type quarantineFlag struct {
	QuarantineDir string `name:"quarantine-dir" placeholder:"DIR" help:"Directory of callbacks that were refused for their Sign, its time, or an unknown app, for a second look [default: quarantine in --journal-dir]"`
}

// quarantineFlags are those of run and check.
type quarantineFlags struct {
	quarantineFlag     `embed:""`
	QuarantineMaxBytes size `name:"quarantine-max-bytes" placeholder:"BYTES" default:"256MiB" help:"Most that callbacks in quarantine may take; one app, or all unknown ones, at most a sixteenth. Then its oldest go. 0: none are kept."`
}

// quarantineDir is the quarantine's directory.
func (f quarantineFlag) quarantineDir(j journalFlags) string {
	if f.QuarantineDir != "" {
		return f.QuarantineDir
	}
	return filepath.Join(j.JournalDir, quarantineName)
}

// wrongQuarantine returns what is wrong with where refused callbacks are to be kept and how many,
// nil when nothing is.
func (s *settings) wrongQuarantine() error {
	// The journal refuses a directory with anything else in it, and locks its own.
	inside, err := filepath.Rel(process.Absolute(s.JournalDir), process.Absolute(s.quarantineDir(s.journalFlags)))
	if err == nil && inside != quarantineName && (inside == "." || filepath.IsLocal(inside)) {
		return fmt.Errorf("--quarantine-dir: in --journal-dir only %s is free for it, have %s", quarantineName, s.QuarantineDir)
	}
	if least := size(quarantine.MinBytes(s.maxPayload())); s.QuarantineMaxBytes != 0 && s.QuarantineMaxBytes < least {
		return fmt.Errorf("--quarantine-max-bytes: want 0 or at least %v, have %v", least, s.QuarantineMaxBytes)
	}
	return nil
}

// secondLook is what the gateway keeps for a second look at refused callbacks, and takes when it is told to.
type secondLook struct {
	g          *gateway
	store      *quarantine.Store // nil: nothing is kept
	failed     error             // why, where it should be
	unfinished *quarantine.Unfinished
}

// openQuarantine opens the quarantine, and where a crash ended an admit, looks into the journal,
// which frees nothing before it is open. A gateway without it still takes callbacks, so that a
// failure is one error in the log and a line in /readyz?verbose.
func (g *gateway) openQuarantine() error {
	g.secondLook = &secondLook{g: g}
	dir := process.Absolute(g.set.quarantineDir(g.set.journalFlags))
	if g.set.QuarantineMaxBytes == 0 {
		g.log.Info("refused callbacks are not kept: --quarantine-max-bytes is 0")
		return nil
	}
	store, err := quarantine.Open(quarantine.Options{
		Dir: dir, MaxBytes: int64(g.set.QuarantineMaxBytes), FS: g.seams.fs, Log: g.log.Named("quarantine"), Metrics: g.reg,
	})
	if err != nil {
		g.log.Error("refused callbacks are not kept", zap.String("dir", dir), zap.Error(err))
		g.secondLook.failed = err
		return nil
	}
	g.log.Info("quarantine", zap.String("dir", dir))
	g.secondLook.store = store
	g.p.OnStop("quarantine directory", func(context.Context) error { return store.Close() })
	if u := store.Unfinished(); u != nil {
		g.secondLook.unfinished = u
		fsys := g.seams.fs
		if fsys == nil {
			fsys = vfs.OS()
		}
		err := journal.DumpFS(fsys, g.set.JournalDir, u.After, func(e journal.Entry) error {
			u.See(e.LSN, e.Payload)
			return nil
		})
		if err != nil {
			u.Doubt()
			g.log.Warn("what an admit had under way is looked for in a journal of which not all can be read", zap.Error(err))
		}
	}
	return nil
}

// startQuarantine finishes what a crash ended and begins to keep callbacks. The journal is open.
func (g *gateway) startQuarantine() error {
	q := g.secondLook
	if q.store == nil {
		return nil
	}
	if q.unfinished != nil {
		if err := q.store.Finish(q.unfinished, g.delivery.journal.ID()); err != nil {
			g.log.Error("quarantine: callbacks that were admitted are still in it; quarantine admit, or the next start, tries again", zap.Error(err))
		}
	}
	g.p.Go("quarantine", q.store.Run)
	return nil
}

// hook returns what the receiver calls for refused callbacks, nil where none are kept.
func (q *secondLook) hook() func(*receive.Refused) {
	if q.store == nil {
		return nil
	}
	return func(r *receive.Refused) {
		q.store.Offer(&quarantine.Callback{
			ReceivedAt: r.At, Reason: reasonOf(r.Reason), Source: r.Source, AppID: r.AppID,
			Command: r.Command, Query: r.Query, Traceparent: r.Traceparent, Body: r.Body,
		})
	}
}

func reasonOf(name string) quarantine.Reason {
	for _, r := range []quarantine.Reason{quarantine.SignMissing, quarantine.SignWrong, quarantine.RequestTime, quarantine.AppUnknown} {
		if r.String() == name {
			return r
		}
	}
	panic("BUG: callbacks refused for " + name + " are not for the quarantine")
}

// refusedOf is the inverse of what hook does.
func refusedOf(c *quarantine.Callback) *receive.Refused {
	return &receive.Refused{
		At: c.ReceivedAt, Reason: c.Reason.String(), Source: c.Source, AppID: c.AppID,
		Command: c.Command, Query: c.Query, Traceparent: c.Traceparent, Body: c.Body,
	}
}

// check is the line of /readyz?verbose.
func (q *secondLook) check() (ok bool, detail string) {
	switch {
	case q.failed != nil:
		return false, "refused callbacks are not kept: " + q.failed.Error()
	case q.store == nil:
		return true, "off"
	}
	s := q.store.Stats()
	return true, fmt.Sprintf("%d refused callbacks kept, %s of %s used", s.Entries, about(s.Bytes), about(s.LimitBytes))
}

// admitReport says how an admit stands; the last one is done, or has an error.
type admitReport struct {
	quarantine.Report
	Unsigned int64  `json:"unsigned"` // of the admitted: their app has no token
	Late     int64  `json:"late"`     // of the admitted: RequestTime was outside the window when they came
	Done     bool   `json:"done"`
	Error    string `json:"error,omitempty"`
}

// handle adds the quarantine's to the control socket:
//
//	/quarantine/admit     POST: let out what passes now, of one app
func (q *secondLook) handle(mux *http.ServeMux) { mux.HandleFunc("POST /quarantine/admit", q.admit) }

// admit lets out of quarantine what passes now, and answers with reports, one a line, the last of
// which says that it is done or why not. It ends with the request, between two batches.
func (q *secondLook) admit(w http.ResponseWriter, request *http.Request) {
	app, err := strconv.ParseInt(request.URL.Query().Get("app"), 10, 64)
	if err != nil || app <= 0 || app > schema.MaxAppID {
		http.Error(w, "app: want a SdkAppid", http.StatusBadRequest)
		return
	}
	if q.store == nil {
		_, why := q.check()
		http.Error(w, "this gateway has no quarantine: "+why, http.StatusConflict)
		return
	}
	report := new(admitReport)
	tell := func() {
		writeJSON(w, report)
		_ = http.NewResponseController(w).Flush() // whoever asked is gone
	}
	log := q.g.log.Named("quarantine").With(zap.Int64("sdk_app_id", app))
	log.Info("admit begins")
	began := time.Now()
	final, err := q.store.Admit(request.Context(), app, q.g.delivery.journal, q.judge(report), func(r quarantine.Report) {
		report.Report = r
		tell()
	})
	log.Info("admit ended", zap.Int64("admitted", final.Admitted), zap.Int64("dropped", final.Dropped), zap.Any("stay", final.Stay),
		zap.Duration("took", time.Since(began)), zap.Error(err))
	report.Report, report.Done = final, err == nil
	switch {
	case request.Context().Err() != nil:
		report.Error = "the gateway is stopping"
	case errors.Is(err, journal.ErrFull):
		report.Error = "the journal is full; go on when it has room: " + err.Error()
	case err != nil:
		report.Error = err.Error()
	}
	tell()
}

// judge looks at callbacks as if they came now, by the files as they are now, and counts in report
// whose sender is not proved by the Sign.
func (q *secondLook) judge(report *admitReport) quarantine.Judge {
	g := q.g
	look := receive.Rechecker{
		Apps: g.apps.Get(), Routes: g.routes.Get(), Gateway: []byte(g.set.GatewayName), AcceptUnknown: g.set.UnknownApps == "accept",
		Window: g.set.RequestTimeWindow,
	}
	return func(c *quarantine.Callback, admitted time.Time, dst []byte) ([]byte, quarantine.Judged) {
		seen := look.Look(refusedOf(c))
		switch {
		case seen.Refusal != "":
			return nil, quarantine.Judged{Verdict: quarantine.Stay, Why: seen.Refusal}
		case seen.Topic == "":
			return nil, quarantine.Judged{Verdict: quarantine.Drop}
		case g.delivery.forwarder.TopicRefused(seen.Topic):
			return nil, quarantine.Judged{Verdict: quarantine.Stay, Why: "parked_full"}
		}
		if seen.Unsigned {
			report.Unsigned++
		}
		if seen.Late {
			report.Late++
		}
		seen.Callback.Attributes[schema.AttributeAdmitted] = []byte(schema.FormatTime(admitted))
		return entry.Append(dst, seen.Topic, &seen.Callback), quarantine.Judged{Verdict: quarantine.Admit, Reserve: seen.Reserve}
	}
}
