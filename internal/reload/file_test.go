package reload

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// setting is the value of the test's files: a name, and another file that is part of it.
type setting struct {
	Name  string `yaml:"name"`
	Token string `yaml:"token"`
	token string
}

func (s *setting) Files() []string {
	if s == nil || s.Token == "" {
		return nil
	}
	return []string{s.Token}
}

func parseSetting(data []byte) (*setting, Problems) {
	s := new(setting)
	doc, problems := Decode(data, s)
	if s.Token != "" {
		content, err := os.ReadFile(s.Token)
		if err != nil {
			problems.Add(doc.At("token"), "token file: not there")
		}
		s.token = string(content)
	}
	return s, problems
}

// bench is one file on disk with a File over it, and what the File said.
type bench struct {
	t    *testing.T
	path string
	file *File[*setting]
	reg  *prometheus.Registry
	logs *observer.ObservedLogs
}

func newBench(t *testing.T, content string) *bench {
	t.Helper()
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "set.yaml"), reg: prometheus.NewRegistry()}
	b.write(content)
	core, logs := observer.New(zapcore.InfoLevel)
	b.logs = logs
	file, err := Open("set", b.path, parseSetting, Options{Log: zap.New(core), Metrics: b.reg})
	if err != nil {
		t.Fatal(err)
	}
	b.file = file
	return b
}

func (b *bench) write(content string) {
	b.t.Helper()
	if err := os.WriteFile(b.path, []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) wantName(name string) {
	b.t.Helper()
	if got := b.file.Get().Name; got != name {
		b.t.Errorf("name in use is %q, want %q", got, name)
	}
}

func (b *bench) wantSuccess(value float64) {
	b.t.Helper()
	if got := testutil.ToFloat64(b.file.metrics.success.WithLabelValues("set")); got != value {
		b.t.Errorf("tidegate_reload_success = %v, want %v", got, value)
	}
}

func (b *bench) wantLogged(message string, times int) {
	b.t.Helper()
	if got := b.logs.FilterMessage(message).Len(); got != times {
		b.t.Errorf("%q was logged %d times, want %d", message, got, times)
	}
}

const (
	reloaded = "file reloaded"
	kept     = "file cannot be used, the last good one stays in use"
)

func TestOpenRefuses(t *testing.T) {
	for name, row := range map[string]struct {
		prepare func(path string) error
		want    string
	}{
		"nothing there": {func(string) error { return nil }, "PATH: cannot be read: no such file or directory"},
		"a directory":   {func(path string) error { return os.Mkdir(path, 0o700) }, "PATH: is not a regular file"},
		"wrong types":   {func(path string) error { return os.WriteFile(path, []byte("name: 5\n"), 0o600) }, "PATH:1:7: name: want text, have a whole number; put it in quotes"},
		"unknown key":   {func(path string) error { return os.WriteFile(path, []byte("nam: a\n"), 0o600) }, "PATH:1:1: nam: unknown key; did you mean name?"},
		"too large": {func(path string) error {
			return os.WriteFile(path, []byte(strings.Repeat("#", MaxBytes+1)), 0o600)
		}, "PATH: more than 33554432 bytes: file is too large"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := row.prepare(path); err != nil {
				t.Fatal(err)
			}
			file, err := Open("set", path, parseSetting, Options{})
			if file != nil || err == nil {
				t.Fatal("opened")
			}
			if got := strings.ReplaceAll(err.Error(), path, "PATH"); got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
			if _, ok := errors.AsType[*FileError](err); !ok {
				t.Errorf("the error is a %T", err)
			}
		})
	}
}

func TestReload(t *testing.T) {
	b := newBench(t, "name: one\n")
	b.wantName("one")
	b.wantSuccess(1)

	b.write("name: two\n")
	if changed, err := b.file.Reload(); !changed || err != nil {
		t.Fatalf("a good file: changed %v, error %v", changed, err)
	}
	b.wantName("two")

	if changed, err := b.file.Reload(); changed || err != nil {
		t.Fatalf("the same file: changed %v, error %v", changed, err)
	}
	b.wantLogged(reloaded, 1)

	b.write("name: 3\n")
	for range 3 {
		if changed, err := b.file.Reload(); changed || err == nil {
			t.Fatalf("a bad file: changed %v, error %v", changed, err)
		}
	}
	b.wantName("two")
	b.wantSuccess(0)
	b.wantLogged(kept, 1)
	if err := b.file.Status().Err; err == nil || !strings.Contains(err.Error(), "set.yaml:1:7: name: want text") {
		t.Errorf("status: %v", err)
	}

	b.write("name: 3\nfoo: 1\n")
	_, _ = b.file.Reload()
	b.wantLogged(kept, 1) // the same error again: the unknown key beside it is no error

	b.write("name: two\n") // back to what is in use
	if changed, err := b.file.Reload(); !changed || err != nil {
		t.Fatalf("good again: changed %v, error %v", changed, err)
	}
	b.wantSuccess(1)
	if err := b.file.Status().Err; err != nil {
		t.Errorf("status: %v", err)
	}
}

func TestUnknownKeyIsAWarningAtReload(t *testing.T) {
	b := newBench(t, "name: one\n")
	b.write("name: two\nfuture: 1\n")
	if changed, err := b.file.Reload(); !changed || err != nil {
		t.Fatalf("changed %v, error %v", changed, err)
	}
	b.wantName("two")
	if w := b.file.Status().Warnings; len(w) != 1 || w[0].Line != 2 {
		t.Errorf("warnings: %v", w)
	}
}

func TestMissingFileKeepsTheValue(t *testing.T) {
	b := newBench(t, "name: one\n")
	if err := os.Remove(b.path); err != nil {
		t.Fatal(err)
	}
	if _, err := b.file.Reload(); err == nil {
		t.Fatal("no error")
	}
	b.wantName("one")
	b.wantSuccess(0)
}

func TestFileInfoFollowsTheFileInUse(t *testing.T) {
	b := newBench(t, "name: one\n")
	b.write("name: two\n")
	_, _ = b.file.Reload()
	want := `
# HELP tidegate_file_info 1, labelled with the SHA-256 of the file that is in use.
# TYPE tidegate_file_info gauge
tidegate_file_info{file="set",sha256="` + b.file.Status().SHA256 + `"} 1
`
	if err := testutil.GatherAndCompare(b.reg, strings.NewReader(want), "tidegate_file_info"); err != nil {
		t.Error(err)
	}
}

func TestTwoFilesShareTheMetrics(t *testing.T) {
	b := newBench(t, "name: one\n")
	if _, err := Open("other", b.path, parseSetting, Options{Metrics: b.reg}); err != nil {
		t.Fatal(err)
	}
	if n, err := testutil.GatherAndCount(b.reg, "tidegate_reload_success"); n != 2 || err != nil {
		t.Errorf("%d series, error %v", n, err)
	}
}

func TestHooksSeeNewValuesOnly(t *testing.T) {
	b := newBench(t, "name: one\n")
	var heard []string
	b.file.OnChange(func(s *setting) { heard = append(heard, s.Name) })
	for _, content := range []string{"name: one\n", "name: two\n", "name: 3\n", "name: four\n"} {
		b.write(content)
		_, _ = b.file.Reload()
	}
	// A file written anew with the same content is taken anew, as its fingerprint changed.
	if got := strings.Join(heard, " "); got != "one two four" {
		t.Errorf("heard %q", got)
	}
}

// run starts Run inside the bubble and returns a function that lets n looks pass.
func (b *bench) run(ctx context.Context) (looks func(n int)) {
	go func() { _ = b.file.Run(ctx) }()
	synctest.Wait()
	return func(n int) {
		time.Sleep(time.Duration(n) * interval) // the bubble's clock
		synctest.Wait()
	}
}

func TestRunSeesChanges(t *testing.T) {
	inBubble := func(name string, test func(t *testing.T, b *bench, looks func(n int))) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				b := newBench(t, "name: one\n")
				test(t, b, b.run(ctx))
			})
		})
	}

	inBubble("nothing changes: nothing is taken", func(t *testing.T, b *bench, looks func(int)) {
		looks(10)
		b.wantLogged(reloaded, 0)
	})
	inBubble("written in place", func(t *testing.T, b *bench, looks func(int)) {
		looks(3)
		b.write("name: two\n")
		looks(1)
		b.wantName("one") // it may still be being written
		looks(1)
		b.wantName("two")
	})
	inBubble("never read while it grows", func(t *testing.T, b *bench, looks func(int)) {
		for _, part := range []string{"n", "name: tw", "name: two\n"} {
			b.write(part)
			looks(1)
			b.wantName("one")
		}
		looks(1)
		b.wantName("two")
		b.wantLogged(kept, 0)
	})
	inBubble("bad, then gone, then good", func(t *testing.T, b *bench, looks func(int)) {
		b.write("name: 5\n")
		looks(4)
		b.wantLogged(kept, 1)
		if err := os.Remove(b.path); err != nil {
			t.Fatal(err)
		}
		looks(4)
		b.wantLogged(kept, 2)
		b.wantName("one")
		b.write("name: two\n")
		looks(2)
		b.wantName("two")
		b.wantSuccess(1)
	})
	inBubble("SIGHUP between two looks", func(t *testing.T, b *bench, looks func(int)) {
		b.write("name: two\n")
		looks(1)
		if changed, err := b.file.Reload(); !changed || err != nil {
			t.Fatalf("changed %v, error %v", changed, err)
		}
		looks(5)
		b.wantLogged(reloaded, 1)
	})
	inBubble("another file of the value", func(t *testing.T, b *bench, looks func(int)) {
		token := filepath.Join(filepath.Dir(b.path), "token")
		b.write("name: two\ntoken: " + token + "\n")
		looks(2)
		b.wantName("one") // the token file is missing
		b.wantSuccess(0)
		if err := os.WriteFile(token, []byte("first"), 0o600); err != nil {
			t.Fatal(err)
		}
		looks(2)
		b.wantName("two")
		if err := os.WriteFile(token, []byte("second"), 0o600); err != nil {
			t.Fatal(err)
		}
		looks(2)
		if got := b.file.Get().token; got != "second" {
			t.Errorf("token %q after its rotation", got)
		}
	})
}

// TestRunSeesASwappedLink plays the way in which Kubernetes changes a mounted ConfigMap:
// set.yaml -> ..data/set.yaml, ..data -> ..v1, and ..data is replaced by a link to ..v2.
func TestRunSeesASwappedLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, v := range []string{"1", "2"} {
			must(os.Mkdir(filepath.Join(dir, "..v"+v), 0o700))
			must(os.WriteFile(filepath.Join(dir, "..v"+v, "set.yaml"), []byte("name: v"+v+"\n"), 0o600))
		}
		must(os.Symlink("..v1", filepath.Join(dir, "..data")))
		must(os.Symlink("..data/set.yaml", filepath.Join(dir, "set.yaml")))
		file, err := Open("set", filepath.Join(dir, "set.yaml"), parseSetting, Options{})
		must(err)
		b := &bench{t: t, file: file}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		looks := b.run(ctx)
		looks(3)
		b.wantName("v1")
		must(os.Symlink("..v2", filepath.Join(dir, "..tmp")))
		must(os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
		looks(2)
		b.wantName("v2")
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := Fixed("set", 1).Run(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestFixed(t *testing.T) {
	f := Fixed("routes", 42)
	if changed, err := f.Reload(); f.Get() != 42 || changed || err != nil {
		t.Errorf("value %d, changed %v, error %v", f.Get(), changed, err)
	}
	if s := f.Status(); s.Name != "routes" || s.Path != "" || s.Err != nil {
		t.Errorf("status %+v", s)
	}
}

func TestLoggedProblemsAreBounded(t *testing.T) {
	b := newBench(t, "name: one\n")
	b.write("{" + strings.Repeat("name: 5, ", 500) + "}\n")
	if _, err := b.file.Reload(); err == nil {
		t.Fatal("no error")
	}
	entry := b.logs.FilterMessage(kept).All()[0].ContextMap()
	if lines := entry["first"].([]any); len(lines) != loggedProblems+1 || lines[loggedProblems] != "and 480 more" {
		t.Errorf("%d lines, the last is %v", len(lines), lines[len(lines)-1])
	}
}

// TestStatusDoesNotWait: a load takes its time, and readiness must not fail meanwhile.
func TestStatusDoesNotWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "set.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("name: one\n")
	reading, goOn := make(chan bool, 1), make(chan bool)
	parse := func(data []byte) (*setting, Problems) {
		if strings.Contains(string(data), "two") {
			reading <- true
			<-goOn
		}
		return parseSetting(data)
	}
	file, err := Open("set", path, parse, Options{})
	if err != nil {
		t.Fatal(err)
	}
	before := file.Status()
	write("name: two\n")
	done := make(chan error)
	go func() {
		_, err := file.Reload()
		done <- err
	}()
	<-reading
	if got := file.Status(); got.SHA256 != before.SHA256 || file.Get().Name != "one" {
		t.Errorf("while a file is being read: %+v", got)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := file.Status(); got.SHA256 == before.SHA256 || file.Get().Name != "two" {
		t.Errorf("after it was read: %+v", got)
	}
}
