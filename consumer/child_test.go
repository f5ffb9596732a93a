package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// childFlags is the variable that has the test binary be a consumer with these flags, a line
// each.
const childFlags = "TIDEGATE_TEST_CONSUMER_FLAGS"

func TestMain(m *testing.M) {
	if flags := os.Getenv(childFlags); flags != "" {
		os.Exit(execute(context.Background(), strings.Split(flags, "\n"), io.Discard, os.Stderr))
	}
	os.Exit(m.Run())
}

// child is a consumer that is a process of its own, which can be killed and stopped.
type child struct {
	*testing.T
	process *os.Process
	logs    *output
	ended   chan struct{} // closed when it is no more
	status  int           // its exit status then, -1 after a signal
}

// child starts a consumer of the bench. It is killed at the end of the test, and its log is
// shown where the test failed.
func (b *bench) child(more ...string) *child {
	b.t.Helper()
	command := exec.Command(os.Args[0])
	flags := b.flags(append(more, "--admin-listen", "127.0.0.1:0")...)
	command.Env = append(os.Environ(), childFlags+"="+strings.Join(flags, "\n"))
	c := &child{T: b.t, logs: &output{}, ended: make(chan struct{})}
	command.Stderr = c.logs
	if err := command.Start(); err != nil {
		b.t.Fatal(err)
	}
	c.process = command.Process
	go func() {
		defer close(c.ended)
		_ = command.Wait() // the status says it
		c.status = command.ProcessState.ExitCode()
	}()
	b.t.Cleanup(func() {
		c.kill()
		if b.t.Failed() {
			b.t.Logf("consumer %d:\n%s", c.process.Pid, c.logs)
		}
	})
	return c
}

// kill kills it, also one that is stopped, and returns when it is no more.
func (c *child) kill() {
	_ = c.process.Kill() // the error says that it is no more
	<-c.ended
}

func (c *child) signal(s syscall.Signal) {
	c.Helper()
	if err := c.process.Signal(s); err != nil {
		c.Fatalf("%v: %v\n%s", s, err, c.logs)
	}
}

// expire ends the session of every member of the group, as the coordinator does after the
// session's timeout.
func (b *bench) expire() {
	b.t.Helper()
	info := b.kafka.GroupInfo("tidegate")
	if info == nil || len(info.Members) == 0 {
		return
	}
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group = "tidegate"
	for i := range info.Members {
		member := kmsg.NewLeaveGroupRequestMember()
		member.MemberID = info.Members[i].MemberID
		leave.Members = append(leave.Members, member)
	}
	if _, err := leave.RequestWith(b.t.Context(), b.client); err != nil {
		b.t.Fatal(err)
	}
}
