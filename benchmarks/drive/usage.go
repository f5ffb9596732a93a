//go:build linux

package drive

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ThreadCPU is the CPU time that the calling thread has used, user and system.
func ThreadCPU() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// ProcessCPU is the CPU time that process pid has used, user and system, all threads. It is read
// from the process's CPU clock (clock_getcpuclockid(3)): /proc tells it to 10 ms only, a tenth of
// what a slow turn uses.
func ProcessCPU(pid int) (time.Duration, error) {
	const schedClock = 2 // CPUCLOCK_SCHED of the kernel's posix-timers.h
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedClock), &at); err != nil { //nolint:gosec // a process id has 22 bits
		return 0, fmt.Errorf("cpu of the server: %w", err)
	}
	return time.Duration(at.Nano()), nil
}

// Resident is the memory of process pid that is resident now, in bytes.
func Resident(pid int) (int64, error) { return memory(pid, "VmRSS") }

// Peak is the most memory that process pid ever had resident, in bytes.
func Peak(pid int) (int64, error) { return memory(pid, "VmHWM") }

// memory reads a field of /proc/PID/status (proc(5)), which has kilobytes.
func memory(pid int, field string) (int64, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, fmt.Errorf("memory of the server: %w", err)
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte(field+":")); ok {
			kilobytes, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(value), []byte("kB")))), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("memory of the server: %w", err)
			}
			return kilobytes << 10, nil
		}
	}
	return 0, fmt.Errorf("memory of the server: no %s of process %d", field, pid)
}

// MachineCPU is how long the machine's processors were busy since it was started, and how long
// they were there, summed up over all of them. What a host took from a virtual machine is in
// neither.
func MachineCPU() (busy, all time.Duration, err error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, fmt.Errorf("cpu of the machine: %w", err)
	}
	return parseStat(string(stat))
}

// parseStat reads the first line of /proc/stat (proc(5)): ticks of user, nice, system, idle,
// iowait, irq, softirq, steal.
func parseStat(stat string) (busy, all time.Duration, err error) {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0, 0, fmt.Errorf("cpu of the machine: /proc/stat begins with %q", line)
	}
	for i, field := range fields[1:8] { // guests' time is in user's already
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("cpu of the machine: %w", err)
		}
		all += time.Duration(ticks) * tick
		if i != 3 && i != 4 {
			busy += time.Duration(ticks) * tick
		}
	}
	return busy, all, nil
}
