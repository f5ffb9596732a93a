package stack

import "errors"

// ErrNotBuilt is returned where a binary is missing: the caller says so and stops; the
// person runs make build.
var ErrNotBuilt = errors.New("not built: run `make build` first")

// ErrExited is wrapped by what is returned for a child that ended by itself: the stack is
// over, the child's log says why.
var ErrExited = errors.New("exited by itself")

// ErrNotReady is returned where a part did not become ready in time; the error's text says
// what it answered last. The caller stops the stack.
var ErrNotReady = errors.New("not ready in time")

// ErrStopTimeout is returned by Stop for a child that had to be killed because it did not
// end in time. Its data are as after a crash: recovered at its next start.
var ErrStopTimeout = errors.New("did not stop in time and was killed")

// ErrState is returned where a child is asked for what its state does not permit, such as
// starting it twice: a mistake of the caller.
var ErrState = errors.New("not possible in this state")
