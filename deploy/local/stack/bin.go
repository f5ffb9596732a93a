package stack

import (
	"fmt"
	"os"
	"path/filepath"
)

// Bin returns the absolute path of a binary that `make build` writes, such as "gateway".
// It is looked for beside the running program, then in the bin folder of the working folder
// or of the nearest one above it, which is where `go test` finds it. ErrNotBuilt when it is
// in none of them.
func Bin(name string) (string, error) {
	if self, err := os.Executable(); err == nil {
		if path := filepath.Join(filepath.Dir(self), name); executable(path) {
			return path, nil
		}
	}
	folder, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find bin/%s: %w", name, err)
	}
	for {
		if path := filepath.Join(folder, "bin", name); executable(path) {
			return path, nil
		}
		above := filepath.Dir(folder)
		if above == folder {
			return "", fmt.Errorf("bin/%s: %w", name, ErrNotBuilt)
		}
		folder = above
	}
}

// binIn returns the path of a binary in folder; without a folder as Bin does.
func binIn(folder, name string) (string, error) {
	if folder == "" {
		return Bin(name)
	}
	path, err := filepath.Abs(filepath.Join(folder, name))
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	if !executable(path) {
		return "", fmt.Errorf("%s: %w", path, ErrNotBuilt)
	}
	return path, nil
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
