//go:build !linux

package stack

import "syscall"

// processAttributes puts a child into a process group of its own. Where there is no
// Pdeathsig a killed owner leaves its children running.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
