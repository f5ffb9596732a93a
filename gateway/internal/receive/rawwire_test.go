package receive

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/entry"
	"github.com/tidegate/tidegate/internal/reload"
)

var update = flag.Bool("update", false, "write the golden files anew")

// wireRoutes keep everything, so that each 200 is an entry, and wait for nothing.
const wireRoutes = "routes:\n  - {command: \"*\", topic: im.callbacks.raw, ack: memory}\n"

// newWire returns a gate for raw bytes: every 200 is an entry of its journal.
func newWire(t testing.TB) *gate {
	return newGate(t, func(o *Options) {
		j := o.Journal
		unlimited(t)(o)
		o.Journal, o.Routes = j, reload.Fixed("routes", parseRoutes(t, wireRoutes))
	})
}

// memoryConn is a connection that brings its input in pieces and then ends, and keeps what is
// written to it.
type memoryConn struct {
	input  []byte
	piece  int // bytes that one read brings; 0: all there are
	output bytes.Buffer
	closed chan struct{} // is closed by Close, if not nil
}

func (c *memoryConn) Read(p []byte) (int, error) {
	if len(c.input) == 0 {
		return 0, io.EOF
	}
	if c.piece > 0 {
		p = p[:min(len(p), c.piece)]
	}
	n := copy(p, c.input)
	c.input = c.input[n:]
	return n, nil
}

func (c *memoryConn) Write(p []byte) (int, error) { return c.output.Write(p) }

func (c *memoryConn) Close() error {
	if c.closed != nil {
		close(c.closed)
		c.closed = nil
	}
	return nil
}

var memoryAddr = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1234}

func (c *memoryConn) LocalAddr() net.Addr              { return memoryAddr }
func (c *memoryConn) RemoteAddr() net.Addr             { return memoryAddr }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }

// inMemory serves one connection as the listener hands it on, without sockets and goroutines, and
// returns what was answered.
func (g *gate) inMemory(all *connections, input []byte, piece int) []byte {
	c := &memoryConn{input: input, piece: piece}
	one := all.add(c, g.Receiver)
	_ = g.server.ServeConn(one) // its errors are of the input
	return c.output.Bytes()
}

// overLoopback sends input over a socket, ends its side, and returns what was answered.
func (g *gate) overLoopback(t testing.TB, input []byte) []byte {
	t.Helper()
	c := g.dial(t)
	defer func() { _ = c.conn.Close() }()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = c.conn.Write(input) // the gateway may have had enough before the end
		_ = c.conn.(*net.TCPConn).CloseWrite()
	}()
	output, err := io.ReadAll(c.r)
	if err != nil {
		t.Errorf("after %q: %v", output, err)
	}
	<-sent
	return output
}

// wireAnswer is one answer off the wire.
type wireAnswer struct {
	status int
	reason string // of the refusal; empty for a 200
	close  bool
}

// word is the answer as the golden files have it.
func (a wireAnswer) word() string {
	word := a.reason
	if word == "" {
		word = strconv.Itoa(a.status)
	}
	if a.close {
		word += "."
	}
	return word
}

// parseAnswers takes output apart. Its error says what of it is not HTTP with the envelope. 100
// Continue is left out.
func parseAnswers(output []byte) (answers []wireAnswer, err error) {
	r := bufio.NewReader(bytes.NewReader(output))
	for {
		if _, err := r.Peek(1); errors.Is(err, io.EOF) {
			return answers, nil
		}
		// As one to HEAD, so that what is behind the header is for us to judge.
		resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodHead})
		if err != nil {
			return answers, fmt.Errorf("answer %d does not parse: %w", len(answers)+1, err)
		}
		if resp.StatusCode == http.StatusContinue {
			continue
		}
		body := []byte(nil)
		if next, _ := r.Peek(1); len(next) == 1 && next[0] == '{' {
			body = make([]byte, resp.ContentLength)
			if _, err := io.ReadFull(r, body); err != nil {
				return answers, fmt.Errorf("body of answer %d: %w", len(answers)+1, err)
			}
		}
		a, err := checkAnswer(resp, body)
		if err != nil {
			return answers, fmt.Errorf("answer %d: %w", len(answers)+1, err)
		}
		answers = append(answers, a)
	}
}

// envelopes are the bodies of the refusals, which TestAnswers holds to be JSON and the envelope.
var envelopes = func() map[string]refusal {
	table := make(map[string]refusal)
	for f := notRefused + 1; f < numRefusals; f++ {
		table[string(refusals[f].envelope)] = f
	}
	return table
}()

// checkAnswer holds an answer to the envelope and to the table. Only one to HEAD has no body.
func checkAnswer(resp *http.Response, body []byte) (a wireAnswer, err error) {
	a = wireAnswer{status: resp.StatusCode, close: resp.Close}
	if got := resp.Header.Get("Content-Type"); got != "application/json" {
		return a, fmt.Errorf("Content-Type %q", got)
	}
	if body == nil {
		if a.status == http.StatusOK {
			return a, errors.New("200 without a body")
		}
		a.reason = "head" + strconv.Itoa(a.status)
		return a, nil
	}
	if a.status == http.StatusOK {
		if string(body) != okAnswer {
			return a, fmt.Errorf("200 with %s", body)
		}
		return a, nil
	}
	f, ok := envelopes[string(body)]
	if !ok {
		return a, fmt.Errorf("%s is in no row of the table", body)
	}
	row := &refusals[f]
	if row.status != a.status || row.close && !a.close {
		return a, fmt.Errorf("status %d with %s, close %t: the table has %d, close %t", a.status, body, a.close, row.status, row.close)
	}
	if row.retryAfter > 0 && resp.Header.Get("Retry-After") == "" {
		return a, errors.New("no Retry-After")
	}
	a.reason = row.reason
	return a, nil
}

// checkWire holds what was answered to input against what a strict reader permits: the answers
// parse, each 200 is for a request that may be taken, and is one entry with exactly that body.
func checkWire(input, output []byte, entries []entry.Entry) ([]wireAnswer, error) {
	answers, err := parseAnswers(output)
	if err != nil {
		return answers, err
	}
	permitted := []strictRequest(nil)
	if bytes.Contains(output, []byte(" 200 ")) {
		permitted = readStrictly(input)
	}
	for i, a := range answers {
		if i > 0 && answers[i-1].close {
			return answers, fmt.Errorf("answer %d comes after one that closes", i+1)
		}
		if a.status != http.StatusOK {
			continue
		}
		if i >= len(permitted) || !permitted[i].mayBeTaken {
			return answers, fmt.Errorf("request %d is taken, which it may not be", i+1)
		}
		if len(entries) == 0 {
			return answers, fmt.Errorf("request %d is answered 200 and not in the journal", i+1)
		}
		if err := permitted[i].isEntry(&entries[0]); err != nil {
			return answers, fmt.Errorf("request %d: %w", i+1, err)
		}
		entries = entries[1:]
	}
	return answers, checkUnanswered(input, answers, entries)
}

// checkUnanswered is for callbacks that were taken and whose answers never left. A client that does
// not wait for answers, and ends its side in the middle of a body, can have such: fasthttp drops
// what it has not sent yet. Nothing else does.
func checkUnanswered(input []byte, answers []wireAnswer, entries []entry.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	if len(answers) > 0 && answers[len(answers)-1].close {
		return fmt.Errorf("%d entries more than 200s", len(entries))
	}
	for i, r := range readStrictly(input) {
		if i < len(answers) || !r.mayBeTaken || len(entries) == 0 {
			continue
		}
		if err := r.isEntry(&entries[0]); err != nil {
			return fmt.Errorf("request %d, not answered: %w", i+1, err)
		}
		entries = entries[1:]
	}
	if len(entries) > 0 {
		return fmt.Errorf("%d entries more than requests", len(entries))
	}
	return nil
}

// isEntry says in which way e is another callback than r.
func (r *strictRequest) isEntry(e *entry.Entry) error {
	got := &e.Callback
	if string(got.Body) != string(r.body) || string(got.Command) != r.command || got.AppID != r.app {
		return fmt.Errorf("the journal has %d %q %q, the request %d %q %q", got.AppID, got.Command, got.Body, r.app, r.command, r.body)
	}
	return nil
}

// corpusFile is one input of the corpus.
type corpusFile struct {
	name  string
	input []byte
}

// corpus returns testdata/wire, whose files are what a client sends on one connection before it
// ends its side.
func corpus(t testing.TB) (files []corpusFile) {
	t.Helper()
	names, err := filepath.Glob("testdata/wire/*")
	if err != nil || len(names) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	for _, name := range names {
		input, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, corpusFile{filepath.Base(name), input})
	}
	return files
}

// golden compares lines with a golden file, or writes it.
func golden(t *testing.T, name string, lines []string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil { //nolint:gosec // a test's data, no secret
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for _, line := range lines {
		if !slices.Contains(want, line) {
			t.Errorf("%s: not in the file: %s", path, line)
		}
	}
	for _, line := range want {
		if !slices.Contains(lines, line) {
			t.Errorf("%s: not so any more: %s", path, line)
		}
	}
}

// TestCorpus sends every file of the corpus over a socket, and from memory whole and in pieces of
// every awkward size: the answers are always those of testdata/wire.txt, and permitted.
func TestCorpus(t *testing.T) {
	g := newWire(t).serve(t)
	m := newWire(t)
	all := newConnections(timeouts{})
	var lines []string
	for _, f := range corpus(t) {
		before := len(g.journal.entries(t))
		answers, err := checkWire(f.input, g.overLoopback(t, f.input), g.journal.entries(t)[before:])
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		for _, piece := range []int{0, 1, 2, 3, 7, 64, 1000} {
			m.journal.payloads = nil
			again, err := checkWire(f.input, m.inMemory(all, f.input, piece), m.journal.entries(t))
			if err != nil || !slices.Equal(again, answers) {
				t.Errorf("%s in pieces of %d: %v (%v), over a socket %v", f.name, piece, again, err, answers)
			}
		}
		words := make([]string, len(answers))
		for i, a := range answers {
			words[i] = a.word()
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%-36s %s", f.name, strings.Join(words, " "))))
	}
	golden(t, "wire.txt", lines)
	if now := m.waiting.now.Load(); now != 0 || len(all.open) != 0 {
		t.Errorf("%d bytes are still waiting, %d connections open", now, len(all.open))
	}
}
