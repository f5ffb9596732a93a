package process

import "errors"

// ErrStopTimeout is a stop step that went on after the budget of all steps was used up. It
// was left behind; the process exits anyway, and the operator looks at that step.
var ErrStopTimeout = errors.New("did not end within the time to stop")

// ErrStopped is a start that was given up because the process was told to stop: nothing is
// wrong.
var ErrStopped = errors.New("told to stop before the start was done")
