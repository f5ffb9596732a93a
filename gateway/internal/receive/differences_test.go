package receive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// readByNetHTTP is a request as net/http's server hands it to a handler.
type readByNetHTTP struct {
	method string
	body   []byte
	whole  bool // the body was read without an error
}

// oneConn is a listener of one connection.
type oneConn struct {
	conn   net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return memoryAddr }

// byNetHTTP returns what net/http's server makes of input.
func byNetHTTP(input []byte) (list []readByNetHTTP) {
	closed := make(chan struct{})
	server := &http.Server{
		MaxHeaderBytes: 64 << 10, // ours are shorter, which is no difference in reading
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			body, err := io.ReadAll(req.Body)
			list = append(list, readByNetHTTP{req.Method, body, err == nil})
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
			}
		}),
	}
	_ = server.Serve(&oneConn{conn: &memoryConn{input: input, closed: closed}, closed: closed})
	return list
}

// difference says where we and net/http read input otherwise; lax: we take what it does not.
func difference(answers []wireAnswer, taken [][]byte, theirs []readByNetHTTP) (text string, lax bool) {
	for i, a := range answers {
		known := i < len(theirs) && theirs[i].whole
		switch a.reason {
		case "http", "header_size", "body_size", "timeout":
			if known {
				return fmt.Sprintf("request %d: net/http takes it, here it is %s", i+1, a.reason), false
			}
			return "", false // both end here
		}
		if !known && (a.status == http.StatusOK || !a.close) {
			return fmt.Sprintf("request %d: net/http refuses it, here it is %s", i+1, a.word()), true
		}
		if a.status == http.StatusOK {
			if !bytes.Equal(taken[0], theirs[i].body) {
				return fmt.Sprintf("request %d: net/http reads the body %q, here it is %q", i+1, theirs[i].body, taken[0]), true
			}
			taken = taken[1:]
		}
	}
	if len(theirs) > len(answers) && theirs[len(answers)].whole {
		return fmt.Sprintf("request %d: net/http takes it, here the connection has ended", len(answers)+1), false
	}
	return "", false
}

// TestDifferences reads the corpus and what fuzzing found with net/http, too. Where the two read
// differently, the difference stands in testdata/differences.txt, and we are the stricter ones.
func TestDifferences(t *testing.T) {
	g := newWire(t)
	all := newConnections(timeouts{})
	var lines []string
	for _, f := range append(corpus(t), fuzzed(t)...) {
		g.journal.payloads = nil
		answers, err := parseAnswers(g.inMemory(all, f.input, 0))
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
			continue
		}
		var taken [][]byte
		for _, e := range g.journal.entries(t) {
			taken = append(taken, e.Callback.Body)
		}
		text, lax := difference(answers, taken, byNetHTTP(f.input))
		if lax {
			t.Errorf("%s, %q: %s", f.name, f.input, text)
		}
		if text != "" {
			lines = append(lines, f.name+": "+text)
		}
	}
	golden(t, "differences.txt", lines)
}

// fuzzed returns the inputs that FuzzWire's corpus holds.
func fuzzed(t *testing.T) (files []corpusFile) {
	t.Helper()
	names, err := filepath.Glob("testdata/fuzz/FuzzWire/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		input, err := fuzzInput(string(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		files = append(files, corpusFile{"fuzz/" + filepath.Base(name), input})
	}
	return files
}

// fuzzInput returns the first argument of a file of Go's fuzzing.
func fuzzInput(text string) ([]byte, error) {
	for line := range strings.Lines(text) {
		if quoted, ok := strings.CutPrefix(strings.TrimSpace(line), "[]byte("); ok {
			input, err := strconv.Unquote(strings.TrimSuffix(quoted, ")"))
			return []byte(input), err
		}
	}
	return nil, errors.New("no []byte in it")
}

// TestDifferencesSeesLaxity: the comparison can fail.
func TestDifferencesSeesLaxity(t *testing.T) {
	folded := []byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nX Y: z\r\n\r\n{}")
	theirs := byNetHTTP(folded)
	for name, tt := range map[string]struct {
		answers []wireAnswer
		taken   [][]byte
		theirs  []readByNetHTTP
	}{
		"a 200 where net/http refuses":       {[]wireAnswer{{status: 200}}, [][]byte{[]byte("{}")}, theirs},
		"a connection that goes on":          {[]wireAnswer{{status: 405, reason: "method"}}, nil, theirs},
		"another body":                       {[]wireAnswer{{status: 200}}, [][]byte{[]byte("{}")}, []readByNetHTTP{{"POST", []byte("{"), true}}},
		"a request more than net/http found": {[]wireAnswer{{status: 200}, {status: 200}}, [][]byte{[]byte("{}"), nil}, []readByNetHTTP{{"POST", []byte("{}"), true}}},
	} {
		if _, lax := difference(tt.answers, tt.taken, tt.theirs); !lax {
			t.Errorf("%s passes", name)
		}
	}
}
