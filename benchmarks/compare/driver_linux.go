package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// load is one closed-loop run against one server.
type load struct {
	address  string        // host:port on loopback
	requests [][]byte      // connection i sends requests[i % len]
	conns    int           // keep-alive connections
	warmup   time.Duration // not counted
	duration time.Duration // counted
	pid      int           // the server's process, whose CPU is read
}

// outcome is what a run saw.
type outcome struct {
	accepted  int64  // 200s
	refused   int64  // 503s and 429s
	refusal   string // body of the first of them
	elapsed   time.Duration
	latency   *hdrhistogram.Histogram // of the 200s, microseconds
	driverCPU time.Duration           // of the driver's thread, over elapsed
	serverCPU time.Duration           // of the server's process, user and system
}

// connection is one keep-alive socket. Owned by the driver's loop.
type connection struct {
	fd      int
	request []byte
	sent    time.Time
	unsent  []byte // rest of a request that the socket did not take at once
	answer  []byte // bytes of an answer that is not yet whole
}

// driver is the loop: one thread, one epoll instance, all connections.
type driver struct {
	epoll   int
	conns   map[int32]*connection
	buffer  []byte
	latency *hdrhistogram.Histogram
	seen    [refused + 1]int64 // answers by verdict
	refusal string             // body of the first refusal that was counted
	counted bool               // past the warm-up
}

// run drives l and returns what it saw. It blocks for warm-up and duration.
func (l load) run() (outcome, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	d := &driver{conns: map[int32]*connection{}, buffer: make([]byte, 64<<10), latency: hdrhistogram.New(1, 60_000_000, 3)}
	var err error
	if d.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return outcome{}, fmt.Errorf("driver: epoll: %w", err)
	}
	defer d.close()
	for i := range l.conns {
		if err := d.connect(l.address, l.requests[i%len(l.requests)]); err != nil {
			return outcome{}, err
		}
	}
	for _, c := range d.conns {
		if err := d.send(c); err != nil {
			return outcome{}, err
		}
	}
	if err := d.loop(time.Now().Add(l.warmup)); err != nil {
		return outcome{}, err
	}
	d.counted = true
	server, err := processCPU(l.pid)
	if err != nil {
		return outcome{}, err
	}
	start, cpu := time.Now(), threadCPU()
	if err := d.loop(start.Add(l.duration)); err != nil {
		return outcome{}, err
	}
	seen := outcome{accepted: d.seen[accepted], refused: d.seen[refused], refusal: d.refusal, elapsed: time.Since(start), latency: d.latency, driverCPU: threadCPU() - cpu}
	after, err := processCPU(l.pid)
	seen.serverCPU = after - server
	return seen, err
}

func (d *driver) connect(address string, request []byte) error {
	raw, err := net.Dial("tcp", address)
	if err != nil {
		return fmt.Errorf("driver: connect: %w", err)
	}
	// The descriptor is taken out of Go's own poller: dup, then close the original.
	file, err := raw.(*net.TCPConn).File()
	if err != nil {
		return fmt.Errorf("driver: descriptor: %w", err)
	}
	raw.Close()
	fd, err := unix.Dup(int(file.Fd()))
	file.Close()
	if err != nil {
		return fmt.Errorf("driver: dup: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("driver: non-blocking: %w", err)
	}
	d.conns[int32(fd)] = &connection{fd: fd, request: request}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(d.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("driver: epoll add: %w", err)
	}
	return nil
}

func (d *driver) close() {
	for _, c := range d.conns {
		unix.Close(c.fd)
	}
	unix.Close(d.epoll)
}

// loop answers events until deadline.
func (d *driver) loop(deadline time.Time) error {
	events := make([]unix.EpollEvent, 1024)
	for {
		n, err := unix.EpollWait(d.epoll, events, 10)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("driver: epoll wait: %w", err)
		}
		for _, event := range events[:max(n, 0)] {
			if err := d.handle(d.conns[event.Fd], event.Events); err != nil {
				return err
			}
		}
		if time.Now().After(deadline) {
			return nil
		}
	}
}

func (d *driver) handle(c *connection, events uint32) error {
	if events&unix.EPOLLOUT != 0 && len(c.unsent) > 0 {
		if err := d.flush(c); err != nil {
			return err
		}
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return nil
	}
	n, err := unix.Read(c.fd, d.buffer)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return nil
	case err != nil:
		return fmt.Errorf("driver: read: %w", err)
	case n == 0:
		return errors.New("driver: the server closed a connection")
	}
	answer := d.buffer[:n]
	if len(c.answer) > 0 {
		c.answer = append(c.answer, answer...)
		answer = c.answer
	}
	verdict, err := judge(answer)
	if err != nil {
		return err
	}
	if verdict == partial {
		if len(c.answer) == 0 {
			c.answer = append(c.answer, answer...)
		}
		return nil
	}
	c.answer = c.answer[:0]
	if d.counted {
		d.seen[verdict]++
		if verdict == refused && d.refusal == "" {
			d.refusal = string(answer[bytes.Index(answer, headEnd)+len(headEnd):])
		}
	}
	if d.counted && verdict == accepted {
		_ = d.latency.RecordValue(time.Since(c.sent).Microseconds()) // out of range only beyond a minute: the run is bounded below that
	}
	return d.send(c)
}

func (d *driver) send(c *connection) error {
	c.sent, c.unsent = time.Now(), c.request
	return d.flush(c)
}

// flush writes what is left of the request, and waits for room where there is none.
func (d *driver) flush(c *connection) error {
	n, err := unix.Write(c.fd, c.unsent)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("driver: write: %w", err)
	}
	waited := len(c.unsent) < len(c.request)
	c.unsent = c.unsent[max(n, 0):]
	interest := uint32(unix.EPOLLIN)
	if len(c.unsent) > 0 {
		interest |= unix.EPOLLOUT
	} else if !waited {
		return nil
	}
	event := unix.EpollEvent{Events: interest, Fd: int32(c.fd)}
	if err := unix.EpollCtl(d.epoll, unix.EPOLL_CTL_MOD, c.fd, &event); err != nil {
		return fmt.Errorf("driver: epoll mod: %w", err)
	}
	return nil
}

// threadCPU is the CPU time that the calling thread has used.
func threadCPU() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// processCPU is the CPU time that process pid has used, user and system, to 10 ms
// (proc(5): fields 14 and 15 of stat, in clock ticks of 1/100 s).
func processCPU(pid int) (time.Duration, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, fmt.Errorf("driver: cpu of the server: %w", err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("driver: cpu of the server: %d fields in stat", len(fields))
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("driver: cpu of the server: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}
