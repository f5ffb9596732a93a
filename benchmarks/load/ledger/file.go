package ledger

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// flushEvery bounds what a killed generator forgets.
const flushEvery = 100 * time.Millisecond

// Writer appends entries to a ledger file. All methods may be called from any goroutine.
// The first error is kept: nothing is written after it, and Close returns it.
type Writer struct {
	mu      sync.Mutex
	file    *os.File
	buffer  *bufio.Writer // guarded by mu
	line    []byte        // guarded by mu: reused
	entries int64         // guarded by mu
	err     error         // guarded by mu: the first error

	stop chan struct{}
	done chan struct{}
}

// Create makes a new ledger at path, replacing what is there, and starts flushing it.
func Create(path string) (*Writer, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make ledger: %w", err)
	}
	w := &Writer{
		file: file, buffer: bufio.NewWriterSize(file, 1<<20),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go w.flushing()
	return w, nil
}

// Append writes one entry. It does not block on the disk unless the buffer is full.
// An error is kept for Close: a run goes on without its ledger rather than in the middle.
func (w *Writer) Append(e *Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	w.line = appendLine(w.line[:0], e)
	if _, err := w.buffer.Write(w.line); err != nil {
		w.err = fmt.Errorf("write ledger %s: %w", w.file.Name(), err)
		return
	}
	w.entries++
}

// Close flushes, closes the file and returns the first error of all.
func (w *Writer) Close() error {
	close(w.stop)
	<-w.done
	w.flush()
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.err, w.file.Close())
}

func (w *Writer) flushing() {
	defer close(w.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.flush()
		case <-w.stop:
			return
		}
	}
}

func (w *Writer) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	if err := w.buffer.Flush(); err != nil {
		w.err = fmt.Errorf("write ledger %s: %w", w.file.Name(), err)
	}
}

// ErrTorn is returned beside the entries of a ledger whose last line is not whole: its
// generator was killed. The entries are good; requests of its last 100 ms are missing.
var ErrTorn = errors.New("the ledger's last line is torn: its writer was killed")

// Read returns the entries of the ledger at path, in the file's order. ErrTorn comes with
// all whole entries; with any other error (unreadable, not a ledger) there are none.
func Read(path string) ([]Entry, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	defer file.Close()
	entries, err := decode(file)
	if err != nil && !errors.Is(err, ErrTorn) {
		return nil, fmt.Errorf("read ledger %s: %w", path, err)
	}
	return entries, err
}

// decode reads entries until the end of r.
func decode(r io.Reader) ([]Entry, error) {
	var entries []Entry
	lines := bufio.NewReaderSize(r, 1<<20)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return entries, nil
		case errors.Is(err, io.EOF):
			return entries, ErrTorn
		case err != nil:
			return nil, err
		}
		var e Entry
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&e); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		entries = append(entries, e)
	}
}
