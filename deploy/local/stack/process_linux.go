package stack

import "syscall"

// processAttributes puts a child into a process group of its own, and has the kernel kill
// it when the thread that started it is gone: nothing outlives a killed owner.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
