package process

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidegate/tidegate/internal/reload"
)

// Absolute returns path as an absolute one, for logs and errors, or as it is when there is
// no working directory.
func Absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// FileDetail is a check's answer (see Readiness.Add) about a file that is reloaded: which one
// is in use, facts of it, and why the one on disk is not, if so. A check of it is not to be
// required: the last good file goes on working.
func FileDetail(s reload.Status, facts ...string) (ok bool, detail string) {
	if s.Path == "" {
		return true, "none, the default is in use"
	}
	facts = append([]string{Absolute(s.Path)}, facts...)
	detail = fmt.Sprintf("%s, sha256 %.12s, read %s", strings.Join(facts, ", "), s.SHA256, s.LoadedAt.UTC().Format(time.RFC3339))
	if len(s.Warnings) > 0 {
		detail += "; warnings: " + oneLine(s.Warnings.Error())
	}
	if s.Err != nil {
		return false, detail + "; the file as it is cannot be used: " + oneLine(s.Err.Error())
	}
	return true, detail
}
