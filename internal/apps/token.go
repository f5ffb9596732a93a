package apps

import (
	"fmt"
	"io"
)

// masked is what is printed in place of a token.
const masked = "***"

// Token is one secret with which the vendor signs an app's callbacks. It prints as ***,
// with every verb of fmt, as JSON, as text and in logs.
type Token struct {
	// value is a function, so that even a printer that reaches it through an unexported
	// field, where fmt calls no methods, shows an address. nil: not resolved.
	value func() []byte

	// Source says where the token comes from: "file:/run/secrets/harbor", "env:NAME" or
	// "plain:***".
	Source string
}

// Bytes returns the token, nil when tokens were not resolved. The caller must not change
// it and must not keep a copy. It does not allocate.
func (t Token) Bytes() []byte {
	if t.value == nil {
		return nil
	}
	return t.value()
}

// String returns ***.
func (t Token) String() string { return masked }

// GoString returns ***.
func (t Token) GoString() string { return masked }

// Format writes *** for every verb: without it %d would show the bytes.
func (t Token) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, masked) }

// MarshalText returns ***.
func (t Token) MarshalText() ([]byte, error) { return []byte(masked), nil }

// MarshalJSON returns "***".
func (t Token) MarshalJSON() ([]byte, error) { return []byte(`"` + masked + `"`), nil }
