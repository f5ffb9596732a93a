package receive

import (
	"errors"
	"os"
	"syscall"
)

// spare is a file that is open for nothing: when there are no others, it is given up for the next
// connection, which then can be told that it is one too many instead of waiting for an answer that
// does not come. It is for one goroutine.
type spare struct{ file *os.File }

// open makes sure that there is a spare file. It returns false where none is left.
func (s *spare) open() bool {
	if s.file == nil {
		s.file, _ = os.Open(os.DevNull) // nil on an error
	}
	return s.file != nil
}

// release gives the file up, and says whether there was one.
func (s *spare) release() bool {
	if s.file == nil {
		return false
	}
	_ = s.file.Close() // it was only read, by nobody
	s.file = nil
	return true
}

// outOfFiles says whether the process, or the machine, may open no more files.
func outOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
