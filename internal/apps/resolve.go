package apps

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxTokenBytes bounds a token file: a larger one is not a token.
const maxTokenBytes = 64 << 10

// resolver turns tokens as they are written into tokens. Its errors name the source and
// what to do, never the token: what cannot be understood is not shown either, as it may be
// a token without the word before it.
type resolver struct {
	on        bool
	lookupEnv func(string) (string, bool)
	readFile  func(string) ([]byte, error)
	files     []string        // of all tokens so far, each once
	known     map[string]bool // the same
}

func newResolver(o Options) *resolver {
	r := &resolver{on: o.ResolveTokens, lookupEnv: o.LookupEnv, readFile: o.ReadFile, known: make(map[string]bool)}
	if r.lookupEnv == nil {
		r.lookupEnv = os.LookupEnv
	}
	if r.readFile == nil {
		r.readFile = readTokenFile
	}
	return r
}

func (r *resolver) token(text string) (Token, error) {
	from, rest, ok := strings.Cut(text, ":")
	if !ok || (from != "file" && from != "env" && from != "plain") {
		return Token{}, ErrTokenForm
	}
	token := Token{Source: text}
	if from == "plain" {
		token.Source = "plain:" + masked
	}
	if rest == "" {
		return token, fmt.Errorf("nothing follows %s: %w", from+":", ErrTokenForm)
	}
	if !r.on {
		return token, nil
	}
	value, err := r.value(from, rest)
	if err != nil {
		return token, fmt.Errorf("%s %w", token.Source, err)
	}
	if len(value) == 0 {
		return token, fmt.Errorf("%s %w", token.Source, ErrTokenEmpty)
	}
	token.value = func() []byte { return value }
	return token, nil
}

func (r *resolver) value(from, rest string) ([]byte, error) {
	switch from {
	case "file":
		if !r.known[rest] {
			r.known[rest] = true
			r.files = append(r.files, rest)
		}
		data, err := r.readFile(rest)
		if err != nil {
			return nil, fmt.Errorf("cannot be read: %w", reason(err))
		}
		return bytes.TrimRight(data, "\r\n"), nil
	case "env":
		value, ok := r.lookupEnv(rest)
		if !ok {
			return nil, ErrTokenUnset
		}
		return []byte(value), nil
	}
	return []byte(rest), nil
}

// reason drops the path from err: the source names it already.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

func readTokenFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxTokenBytes+1))
	if err == nil && len(data) > maxTokenBytes {
		err = fmt.Errorf("more than %d bytes, so not a token", maxTokenBytes)
	}
	return data, err
}
