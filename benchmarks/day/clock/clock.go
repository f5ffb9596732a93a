// Package clock runs the real binaries at another time of day: at one that a test sets, and
// moves on as it likes.
//
// The binaries are built from the sources as they are, but with a standard library whose
// time.Now adds a number from a file that the test writes (go build -overlay). So nothing of
// the product knows of it, and every wall clock in it agrees with the test's. Only the wall
// clock is shifted: monotonic time, by which Go's timers, deadlines and time.Since go, is the
// machine's own, so timeouts take as long as ever.
package clock

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// Variable is the environment variable by which a binary finds the clock's file. Without it,
// it goes by the machine's clock.
const Variable = "TIDEGATE_TEST_CLOCK"

// Clock is the wall clock of the binaries that were started with its file. It may be used by
// several goroutines at once.
type Clock struct {
	path   string
	file   *os.File
	offset atomic.Int64 // nanoseconds
}

// New makes the file in folder and sets the clock. The caller closes it.
func New(folder string, at time.Time) (*Clock, error) {
	file, err := os.Create(filepath.Join(folder, "clock"))
	if err != nil {
		return nil, fmt.Errorf("make the clock's file: %w", err)
	}
	c := &Clock{path: file.Name(), file: file}
	if err := c.Set(at); err != nil {
		file.Close()
		return nil, err
	}
	return c, nil
}

// Close closes the file. Binaries that have it open go on by it.
func (c *Clock) Close() error { return c.file.Close() }

// Path returns the file, for Variable.
func (c *Clock) Path() string { return c.path }

// Now returns the time by the clock.
func (c *Clock) Now() time.Time { return time.Now().Add(c.Ahead()) }

// Ahead returns how far the clock is ahead of the machine's.
func (c *Clock) Ahead() time.Duration { return time.Duration(c.offset.Load()) }

// Set sets the clock. On return every binary goes by it.
func (c *Clock) Set(at time.Time) error {
	offset := at.Round(0).Sub(time.Now().Round(0))                              // wall clocks, not monotonic ones
	word := binary.NativeEndian.AppendUint64(nil, uint64(offset.Nanoseconds())) //nolint:gosec // two's complement
	if _, err := c.file.WriteAt(word, 0); err != nil {                          // one aligned word, which readers have mapped
		return fmt.Errorf("set the clock: %w", err)
	}
	c.offset.Store(offset.Nanoseconds())
	return nil
}

// marker is what Build looks for in Go's time.Now, and shifted what it puts behind it.
const (
	marker  = "sec, nsec, mono := runtimeNow()\n"
	shifted = marker + "\tsec, nsec = shiftedForTest(sec, nsec)\n"
)

// source is the file that Build adds to package time. The file is mapped, so that reading it
// costs a load: time.Now is called for every callback.
const source = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var offsetForTest = mapOffsetForTest()

func mapOffsetForTest() *int64 {
	path, found := syscall.Getenv("` + Variable + `")
	if !found {
		return new(int64)
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("open " + path + ": " + err.Error())
	}
	mapped, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("map " + path + ": " + err.Error())
	}
	return (*int64)(unsafe.Pointer(&mapped[0]))
}

func shiftedForTest(sec int64, nsec int32) (int64, int32) {
	n := int64(nsec) + atomic.LoadInt64(offsetForTest)
	sec += n / 1e9
	if n %= 1e9; n < 0 {
		n += 1e9
		sec--
	}
	return sec, int32(n)
}
`

// Build builds the commands at the given import paths into folder, each by its path's last
// part, with the shifted clock. It takes a minute or two where Go's build cache has nothing of
// it yet. The error says so where Go's own time.Now is not as known here.
func Build(folder string, commands ...string) error {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("ask for GOROOT: %w", err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		return fmt.Errorf("read time.Now: %w", err)
	}
	if strings.Count(string(text), marker) != 1 {
		return fmt.Errorf("time.Now of %s is another than known here: want %q once in %s", runtime.Version(), strings.TrimSpace(marker), original)
	}
	replaced := map[string]string{
		original: filepath.Join(folder, "time.go.txt"),
		filepath.Join(filepath.Dir(original), "shifted.go"): filepath.Join(folder, "shifted.go.txt"),
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return fmt.Errorf("write the overlay: %w", err)
	}
	list := filepath.Join(folder, "overlay.json")
	for path, content := range map[string]string{
		filepath.Join(folder, "time.go.txt"):    strings.Replace(string(text), marker, shifted, 1),
		filepath.Join(folder, "shifted.go.txt"): source,
		list:                                    string(overlay),
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return fmt.Errorf("write the overlay: %w", err)
		}
	}
	for _, command := range commands {
		build := exec.Command("go", "build", "-trimpath", "-overlay", list, "-o", filepath.Join(folder, filepath.Base(command)), command)
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s with another clock: %w\n%s", command, err, out)
		}
	}
	return nil
}
