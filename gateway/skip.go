package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/forward"
	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/schema"
)

// skipCommand gives up one entry that cannot be delivered.
type skipCommand struct {
	journalFlags `embed:""`
	LSN          uint64           `name:"lsn" env:"-" required:"" placeholder:"LSN" help:"The entry: the one at which delivery halts (see /readyz?verbose), or with --parked a record that Kafka refuses (see journal dump of the parked directory)."`
	Parked       bool             `name:"parked" env:"-" help:"The entry is in the parked journal."`
	ToFile       string           `name:"to-file" env:"-" required:"" placeholder:"FILE" help:"Keep the entry here, as one line of JSON with all that it holds; appended. It is the only copy afterwards, and holds the end user's data."`
	Logs         process.LogFlags `embed:"" group:"Logs"`
}

// keptEntry is the line that skip writes: what can be read of the entry, and the entry itself.
type keptEntry struct {
	dumpedEntry
	Parked     bool   `json:"parked"`
	AppendedAt string `json:"appended_at"` // when the first entry of its batch was appended, to the journal that it was skipped in
	Reason     string `json:"reason"`      // why it was not delivered
	Payload    []byte `json:"payload"`     // base64: every byte of the entry
}

func keptOf(s *forward.Skippable) *keptEntry {
	e := journal.Entry{LSN: s.LSN, Time: s.Time, Payload: s.Callback}
	k := &keptEntry{
		dumpedEntry: *reader{bodies: true}.entry(e), Parked: s.Parked,
		AppendedAt: schema.FormatTime(s.Time), Reason: s.Reason.Error(), Payload: s.Payload,
	}
	if k.ID = ""; s.ID.LSN != 0 {
		k.ID = s.ID.String()
	}
	return k
}

// Run writes the entry to the file, syncs it, and only then has it settled: by the gateway that
// runs on the journal, or, when none does, in the journal itself. An error says whether the
// file has the entry; it was not skipped then.
func (c *skipCommand) Run(con *process.Console) error {
	if err := c.exists(); err != nil {
		return err
	}
	client, err := dialControl(con.Context, c.JournalDir)
	switch {
	case err == nil:
		defer client.close()
		err = c.live(con.Context, client)
	case errors.Is(err, errNoGateway):
		err = c.stopped(con)
	}
	if err != nil {
		return fmt.Errorf("LSN %d was not skipped: %w", c.LSN, err)
	}
	fmt.Fprintf(con.Stdout, "LSN %d was skipped; it is kept in %s\n", c.LSN, process.Absolute(c.ToFile))
	return nil
}

// live has the gateway skip the entry.
func (c *skipCommand) live(ctx context.Context, client *controlClient) error {
	query := url.Values{"lsn": {strconv.FormatUint(c.LSN, 10)}, "parked": {strconv.FormatBool(c.Parked)}}
	body, err := client.call(ctx, http.MethodGet, "/journal/skip", query)
	if err != nil {
		return err
	}
	defer body.Close()
	kept := new(keptEntry)
	if err := json.NewDecoder(body).Decode(kept); err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	if err := c.keep(kept); err != nil {
		return err
	}
	sum := sha256.Sum256(kept.Payload)
	query.Set("sha256", hex.EncodeToString(sum[:]))
	done, err := client.call(ctx, http.MethodPost, "/journal/skip", query)
	if err != nil {
		return fmt.Errorf("%s has it, but: %w", process.Absolute(c.ToFile), err)
	}
	return done.Close()
}

// stopped skips the entry in a journal that no gateway runs on.
func (c *skipCommand) stopped(con *process.Console) (err error) {
	log, err := c.Logs.New(con.Stderr)
	if err != nil {
		return err
	}
	dir := c.JournalDir
	if c.Parked {
		dir = c.parkedDir()
	}
	j, err := openStopped(dir, log)
	if err != nil {
		return err
	}
	defer func() {
		if closed := j.Close(); closed != nil {
			err = errors.Join(err, fmt.Errorf("the skip may not last: %w", closed))
		}
	}()
	return forward.SkipStopped(j, c.Parked, journal.LSN(c.LSN), func(s forward.Skippable) error { return c.keep(keptOf(&s)) })
}

// openStopped opens a journal that no gateway runs on, with the widest limits, and frees
// nothing in it.
func openStopped(dir string, log *zap.Logger) (*journal.Journal, error) {
	j, err := journal.Open(journal.Options{Dir: dir, KeepSettled: true, MaxPayload: maxParkedPayload, Log: log.Named("journal")})
	if errors.Is(err, journal.ErrLocked) {
		err = openedElsewhere(dir, err)
	}
	return j, err
}

// keep appends the entry to the file. When it returns nil that is durable.
func (c *skipCommand) keep(k *keptEntry) error {
	if err := appendLine(c.ToFile, k); err != nil {
		return fmt.Errorf("--to-file: %w", err)
	}
	return nil
}

// appendLine appends v as a line of JSON to a regular file (0600), which it makes where it is
// missing. When it returns nil the line and the file's name are durable.
func appendLine(path string, v any) (err error) {
	var line bytes.Buffer
	if err := printJSON(&line, v); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file: %w", path, fs.ErrInvalid)
	}
	text := line.Bytes()
	if size := info.Size(); size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, size-1); err != nil {
			return err
		}
		if last[0] != '\n' { // a line that was cut off must not spoil this one
			text = append([]byte{'\n'}, text...)
		}
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// skipQuery reads which entry a request is about.
func skipQuery(r *http.Request) (parked bool, lsn journal.LSN, err error) {
	query := r.URL.Query()
	n, err := strconv.ParseUint(query.Get("lsn"), 10, 64)
	if err != nil {
		return false, 0, fmt.Errorf("lsn: %w", err)
	}
	if parked, err = strconv.ParseBool(query.Get("parked")); err != nil {
		return false, 0, fmt.Errorf("parked: %w", err)
	}
	return parked, journal.LSN(n), nil
}

// showSkippable answers with the entry as it is to be kept.
func (c *control) showSkippable(w http.ResponseWriter, r *http.Request) {
	parked, lsn, err := skipQuery(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s, err := c.delivery.forwarder.Look(r.Context(), parked, lsn)
	if err != nil {
		refuseSkip(w, err)
		return
	}
	writeJSON(w, keptOf(&s))
}

// skip settles an entry. Whoever asks proves by the payload's SHA-256 to have it.
func (c *control) skip(w http.ResponseWriter, r *http.Request) {
	parked, lsn, err := skipQuery(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var sum [sha256.Size]byte
	if b, err := hex.DecodeString(r.URL.Query().Get("sha256")); err != nil || copy(sum[:], b) != len(sum) {
		http.Error(w, "sha256: want that of the payload, in hex", http.StatusBadRequest)
		return
	}
	if err := c.delivery.forwarder.Skip(r.Context(), parked, lsn, sum); err != nil {
		refuseSkip(w, err)
		return
	}
	c.log.Warn("an entry was skipped: it is not delivered, whoever asked has kept it", zap.Uint64("lsn", uint64(lsn)),
		zap.Bool("parked", parked), zap.String("sha256", hex.EncodeToString(sum[:])))
	_, _ = io.WriteString(w, "skipped\n") // whoever asked is gone
}

func refuseSkip(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, forward.ErrNotSkippable) {
		status = http.StatusConflict
	}
	http.Error(w, err.Error(), status)
}
