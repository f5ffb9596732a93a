package apps

import "errors"

// What can be wrong with a token. Each becomes a problem of the file; the operator
// corrects the file or its source.
var (
	// ErrTokenForm is a token that says nothing of where it comes from. Its text does not
	// repeat it: it may be the token itself.
	ErrTokenForm = errors.New("want file:PATH, env:NAME or plain:TOKEN")

	// ErrTokenUnset is an env: token whose variable is not in the process's environment.
	ErrTokenUnset = errors.New("is not set in the environment of this process")

	// ErrTokenEmpty is a token of no bytes: any signature of it could be forged.
	ErrTokenEmpty = errors.New("is empty")
)
