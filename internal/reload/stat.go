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

// readFile returns the content of the file at path. Its errors do not repeat the path:
// the caller's line begins with it.
func readFile(path string) ([]byte, error) {
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
	data, err := io.ReadAll(io.LimitReader(file, MaxBytes+1))
	if err != nil {
		return nil, cause(err)
	}
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("more than %d bytes: %w", MaxBytes, ErrTooLarge)
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
