package store

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/schema"
)

// sqliteAt returns the database of a path.
func sqliteAt(path string) database {
	return func(t *testing.T, o Options) Store {
		t.Helper()
		s, err := Open(t.Context(), "sqlite:"+path, o)
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		return s
	}
}

func TestSQLite(t *testing.T) {
	testStore(t, func(t *testing.T) database { return sqliteAt(filepath.Join(t.TempDir(), "data", "tidegate.db")) })
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("this is no database, only a text that is long enough to be looked at"), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "foreign.db")
	db, err := sql.Open("sqlite", dsn(foreign, 100, map[string]string{"mode": "rwc"}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE photo (id INTEGER PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	for _, test := range []struct {
		name, url string
		readOnly  bool
		want      error  // nil: any
		says      string // in the error
	}{
		{"no scheme", "data/tidegate.db", false, ErrURL, "want sqlite:PATH"},
		{"no path", "sqlite:", false, ErrURL, "want sqlite:PATH"},
		{"another database", "mysql:x", false, ErrURL, "mysql:"},
		{"nothing", "", false, ErrURL, "want sqlite:PATH"},
		{"a text file", "sqlite:" + file, false, nil, "not a database"},
		{"a folder", "sqlite:" + dir, false, nil, dir},
		{"below a file", "sqlite:" + file + "/x.db", false, nil, "not a directory"},
		{"another program's database", "sqlite:" + foreign, false, ErrForeign, "1 tables"},
		{"another program's, to read", "sqlite:" + foreign, true, ErrForeign, ""},
		{"no file, to read", "sqlite:" + filepath.Join(dir, "none.db"), true, ErrMissing, "none.db"},
		{"an empty file, to read", "sqlite:" + empty, true, ErrMissing, "version 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := Open(t.Context(), test.url, Options{ReadOnly: test.readOnly})
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			if test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %q does not say %q", err, test.says)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); err == nil {
		t.Error("reading made a file")
	}
}

func TestPathsWithSpecialCharacters(t *testing.T) {
	for _, name := range []string{"a b.db", "a?mode=memory.db", "a%20b.db", "a#b.db", "a&b;c.db", "數.db"} {
		path := filepath.Join(t.TempDir(), name)
		s := sqliteAt(path).open(t, Options{})
		save(t, s, batch())
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFilesAreTheOwners(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tidegate.db")
	s := sqliteAt(path).open(t, Options{})
	save(t, s, batch())
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", path+suffix, info.Mode())
		}
	}
}

func TestSettings(t *testing.T) {
	s := sqliteAt(filepath.Join(t.TempDir(), "tidegate.db")).open(t, Options{}).(*sqliteStore)
	for pragma, want := range map[string]string{
		"journal_mode": "wal",
		"synchronous":  "2", // FULL: a commit is on disk before the offset is committed to Kafka
		"busy_timeout": strconv.FormatInt(busyTimeout.Milliseconds(), 10),
		"fullfsync":    "1",
	} {
		var got string
		if err := s.write.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s (%v), want %s", pragma, got, err, want)
		}
	}
	if _, err := s.read.Exec("DELETE FROM alarm"); err == nil {
		t.Error("a reader's connection wrote")
	}
	if !s.Single() {
		t.Error("SQLite says that several consumers may use it")
	}
}

// TestReadAfterCrash reads a database whose writer died and left its write-ahead log.
func TestReadAfterCrash(t *testing.T) {
	dir := t.TempDir()
	s := sqliteAt(filepath.Join(dir, "live.db")).open(t, Options{})
	save(t, s, batch())
	image := copyDatabase(t, filepath.Join(dir, "live.db"))
	reader := sqliteAt(image).open(t, Options{ReadOnly: true})
	if n := len(list(t, reader.Alarms(t.Context(), AlarmFilter{}))); n != 2 {
		t.Errorf("%d alarms, want 2", n)
	}
}

// copyDatabase copies the file and its write-ahead log, as a crash of the process would
// leave them at this moment, and returns the copy's path.
func copyDatabase(t *testing.T, path string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image.db")
	for _, suffix := range []string{"", "-wal"} {
		text, err := os.ReadFile(path + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(image+suffix, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return image
}

// TestCrashAtEachStep takes an image of the files after each step of Save and before the
// commit: whichever is the last moment, the batch is there wholly or not at all.
func TestCrashAtEachStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tidegate.db")
	images := map[string]string{}
	saving := false
	s := sqliteAt(path).open(t, Options{
		Now: func() time.Time { return start },
		onStep: func(step string) {
			if saving {
				images[step] = copyDatabase(t, path)
			}
		},
	})
	save(t, s, Changes{Alarms: alarms(9, 3), Progress: progressAt(1)})
	before := read(t, s)
	saving = true
	c := batch()
	c.Deliveries = []Delivery{{AlarmID: alarm(9, 0).Event.AlarmID, Count: 1}}
	// Far more than the cache holds: uncommitted pages reach the log.
	c.Alarms = alarms(1, 250)
	name := strings.Repeat("x", 100_000)
	for i := range c.Alarms {
		c.Alarms[i].Event.AppName = &name
		c.Alarms[i] = encoded(c.Alarms[i])
	}
	save(t, s, c)
	saving = false

	for _, step := range []string{"alarms", "deliveries", "periods", "notices", "dead letters", "progress"} {
		image, ok := images[step]
		if !ok {
			t.Fatalf("Save has no step %q", step)
		}
		if info, err := os.Stat(image + "-wal"); err != nil || info.Size() < 1<<20 {
			t.Errorf("%s: nothing uncommitted in the image: %v", step, err)
		}
		recovered := sqliteAt(image).open(t, Options{Now: func() time.Time { return start }})
		equal(t, "after a crash at "+step, read(t, recovered), before)
		save(t, recovered, batch()) // and it goes on
	}
	after := read(t, sqliteAt(copyDatabase(t, path)).open(t, Options{}))
	if len(after.Alarms) != 253 || len(after.Notices) != 1 {
		t.Errorf("after the commit %d alarms, %d notices, want 253, 1", len(after.Alarms), len(after.Notices))
	}
}

// TestKilled kills a process that saves batch after batch: each batch whose Save returned
// is there, and no part of another.
func TestKilled(t *testing.T) {
	const rows = 20
	if path := os.Getenv("TIDEGATE_TEST_SAVE_INTO"); path != "" {
		s := sqliteAt(path).open(t, Options{})
		saveForEver(t, s, read(t, s).Progress.Offset+1, rows)
	}
	path := filepath.Join(t.TempDir(), "tidegate.db")
	save(t, sqliteAt(path).open(t, Options{}), Changes{Progress: progressAt(0)})
	for round := range 5 {
		confirmed := killWhileSaving(t, path, 3+round*7)
		s := sqliteAt(path)(t, Options{})
		got := read(t, s)
		if got.Progress.Offset < confirmed {
			t.Errorf("round %d: progress %d, but %d was confirmed", round, got.Progress.Offset, confirmed)
		}
		if want := int(got.Progress.Offset) * rows; len(got.Alarms) != want || len(got.DeadLetters) != int(got.Progress.Offset) {
			t.Errorf("round %d: %d alarms, %d dead letters at progress %d, want %d", round,
				len(got.Alarms), len(got.DeadLetters), got.Progress.Offset, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// saveForEver saves batches from an offset on and prints the offset of each once it is
// saved.
func saveForEver(t *testing.T, s Store, offset int64, rows int) {
	for ; ; offset++ {
		c := Changes{DeadLetters: []schema.DeadLetter{letter(offset)}, Progress: progressAt(offset)}
		for i := range rows {
			c.Alarms = append(c.Alarms, alarm(1, int(offset)*rows+i))
		}
		save(t, s, c)
		fmt.Printf("saved %d\n", offset)
	}
}

// killWhileSaving starts the test as a process of its own that saves into path, kills it
// after so many batches, and returns the last offset that it said was saved.
func killWhileSaving(t *testing.T, path string, batches int) (confirmed int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKilled$", "-test.v")
	child.Env = append(os.Environ(), "TIDEGATE_TEST_SAVE_INTO="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	lines := bufio.NewScanner(io.TeeReader(out, &all))
	for n := 0; lines.Scan(); {
		offset, ok := strings.CutPrefix(lines.Text(), "saved ")
		if !ok {
			continue
		}
		if confirmed, err = strconv.ParseInt(offset, 10, 64); err != nil {
			t.Fatal(err)
		}
		if n++; n == batches {
			_ = child.Process.Kill() // what it printed before it died is still read
		}
	}
	_ = child.Wait()
	if confirmed == 0 {
		t.Fatalf("the child saved nothing:\n%s", all.String())
	}
	return confirmed
}

// TestTwoProcesses has a second writer, as `deadletters replay` will be, wait for the
// first, and give up with its context.
func TestTwoProcesses(t *testing.T) {
	d := sqliteAt(filepath.Join(t.TempDir(), "tidegate.db"))
	one, other := d.open(t, Options{}), d.open(t, Options{})
	holding := begin(t, one, nil, 1)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := other.Begin(ctx, rawTopic, 3, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Begin while another process holds the lock: %v", err)
	}
	began := make(chan error)
	go func() {
		tx, err := other.Begin(t.Context(), rawTopic, 3, nil, []int64{1})
		if err == nil {
			if tx.Periods()[1].Date == "" {
				err = errors.New("began before the other was over")
			}
			tx.Rollback()
		}
		began <- err
	}()
	if err := holding.Save(t.Context(), batch()); err != nil {
		t.Fatal(err)
	}
	if err := <-began; err != nil {
		t.Error(err)
	}
}

func TestStartTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tidegate.db")
	errs := make(chan error)
	const starts = 8
	for range starts {
		go func() {
			s, err := Open(t.Context(), "sqlite:"+path, Options{})
			if err == nil {
				err = s.Close()
			}
			errs <- err
		}()
	}
	for range starts {
		if err := <-errs; err != nil {
			t.Errorf("Open: %v", err)
		}
	}
}

// TestSQLiteStateThatCannotBeRead is the data's fault: its app's alarms become dead letters, and
// those of others go on.
func TestSQLiteStateThatCannotBeRead(t *testing.T) {
	s := sqliteAt(filepath.Join(t.TempDir(), "t.db"))(t, Options{}).(*sqliteStore)
	if _, err := s.write.Exec("INSERT INTO period (app_id, key, last_at, state) VALUES (7, '', 0, 'x')"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Begin(t.Context(), "t", 0, nil, []int64{7}); !errors.Is(err, ErrData) {
		t.Errorf("error %v, want ErrData", err)
	}
}
