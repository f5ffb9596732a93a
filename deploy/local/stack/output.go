package stack

import (
	"bytes"
	"io"
	"sync"
)

// lines writes whole lines to out, each behind a prefix, so that the logs of several
// children can share one terminal or file. It is safe for several goroutines; those that
// share out share mu.
type lines struct {
	mu      *sync.Mutex
	out     io.Writer
	prefix  string
	partial []byte // guarded by mu: a line that has not ended
}

// Write implements io.Writer. It reports no error: a log that cannot be written must not
// end the child that writes it.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, p...)
	for {
		end := bytes.IndexByte(l.partial, '\n')
		if end < 0 {
			return len(p), nil
		}
		line := append([]byte(l.prefix), l.partial[:end+1]...)
		l.out.Write(line) //nolint:errcheck // see Write
		l.partial = l.partial[end+1:]
	}
}
