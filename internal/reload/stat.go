package reload

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// MaxBytes is the largest file that is read. A list of 50,000 apps is a quarter of it.
const MaxBytes = 32 << 20

// ReadFile returns the content of the file at path, which has to be a regular one of at most so
// many bytes (ErrTooLarge): what else a path may lead to, such as a pipe, is not waited for. It is
// for the other files of a value too, see File. Its errors do not repeat the path: the caller's
// line begins with it.
func ReadFile(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, cause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer file.Close()
	// Room for all of it at once, and for one byte more, so that the end is seen without growing.
	// The file may have grown since it was looked at.
	data := bytes.NewBuffer(make([]byte, 0, min(info.Size(), most)+bytes.MinRead))
	if _, err := data.ReadFrom(io.LimitReader(file, most+1)); err != nil {
		return nil, cause(err)
	}
	if int64(data.Len()) > most {
		return nil, fmt.Errorf("more than %d bytes: %w", most, ErrTooLarge)
	}
	return data.Bytes(), nil
}

func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("cannot be read: %w", e.Err)
	}
	return err
}

// fingerprint tells one state of the files at path and more from another without reading them:
// it is a hash of the device, inode, size, mtime and ctime of what each path leads to. A swapped
// symbolic link shows another inode, a file that was written in place another ctime, and a file
// that is not there its error. It is taken every second, of one file for each token.
func fingerprint(path string, more ...string) string {
	var pace Pace
	hash := sha256.New()
	line := appendState(nil, path)
	for _, path := range more {
		hash.Write(line)
		line = appendState(line[:0], path)
		pace.Step()
	}
	hash.Write(line)
	return hex.EncodeToString(hash.Sum(nil))
}

// appendState appends the state of one file, which no other file and no other state of it has.
func appendState(line []byte, path string) []byte {
	line = append(line, path...)
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return append(append(line, ' '), err.Error()+"\n"...)
	}
	for _, n := range []int64{int64(st.Dev), int64(st.Ino), st.Size, st.Mtim.Nano(), st.Ctim.Nano()} {
		line = strconv.AppendInt(append(line, ' '), n, 10)
	}
	return append(line, '\n')
}
