package reload

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

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
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return nil, cause(err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("more than %d bytes: %w", most, ErrTooLarge)
	}
	return data, nil
}

func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("cannot be read: %w", e.Err)
	}
	return err
}

// fingerprint tells one state of the files at paths from another without reading them:
// device, inode, size, mtime and ctime of what each path leads to. A swapped symbolic link
// shows another inode, a file that was written in place another ctime, and a file that is
// not there its error.
func fingerprint(paths []string) string {
	var b strings.Builder
	for _, path := range paths {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			fmt.Fprintf(&b, "%s %v\n", path, err)
			continue
		}
		fmt.Fprintf(&b, "%s %d %d %d %d %d\n", path, st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano())
	}
	return b.String()
}
