package reload

// Guard says what is lost by taking next, a good value, in place of prev, the one in use, that
// nobody may have meant: a file can be flawless and still be what a broken template makes.
// Its problems are errors at reload. A start does not ask it: there is nothing to lose yet.
// It must not call the File, and runs in the goroutine that reloads.
type Guard[T any] func(prev, next T) Problems

// verdict is what a guard found in one text of a file.
type verdict struct {
	sum      string // SHA-256 of the text; empty: none yet
	problems Problems
}

// SetGuard has guard asked before a changed file is taken, from this call on and in place of
// the one before.
//
// A file that was refused stays refused until its text changes, be it read again by SIGHUP or
// because another file of its value changed: what a guard knows may depend on the time, and
// passing time alone must not take what an operator was told is not taken.
func (f *File[T]) SetGuard(guard Guard[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.guard, f.refused = guard, verdict{}
}

// guarded asks the guard about a good value of the text with that sum. f.mu is held.
func (f *File[T]) guarded(next T, sum string) Problems {
	if f.guard == nil {
		return nil
	}
	if sum != f.refused.sum {
		f.refused = verdict{}
		if problems := f.guard(f.Get(), next); len(problems) > 0 {
			f.refused = verdict{sum, problems}
		}
	}
	return f.refused.problems
}
