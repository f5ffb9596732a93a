//go:build linux

// Package drive is what the programs that measure a running server share: they start it as a
// process of its own (Launch), send on a schedule that nothing moves (Schedule), drive all
// connections by one thread on epoll (Poll), and read what the server used meanwhile (ProcessCPU,
// Resident). What is sent, and which answers are right, is theirs.
package drive
