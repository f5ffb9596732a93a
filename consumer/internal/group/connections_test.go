package group

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// silentMember puts a member into the group that never answers again: what a kill -9
// leaves behind.
func (c *cluster) silentMember() {
	c.t.Helper()
	topics := kmsg.NewConsumerMemberMetadata()
	topics.Version, topics.Topics = 1, []string{testTopic}
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.ProtocolType = testGroup, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 60_000, 60_000
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name, protocol.Metadata = "range", topics.AppendTo(nil)
	req.Protocols = append(req.Protocols, protocol)
	for range 2 { // Kafka first gives out a member id
		res, err := req.RequestWith(c.t.Context(), c.client)
		if err == nil {
			err = kerr.ErrorForCode(res.ErrorCode)
		}
		if err != nil && !errors.Is(err, kerr.MemberIDRequired) {
			c.t.Fatalf("join as a silent member: %v", err)
		}
		req.MemberID = res.MemberID
	}
}

func TestStopDoesNotWaitForAMemberThatNeverAnswers(t *testing.T) {
	c := newCluster(t, 2)
	c.silentMember()
	m := c.start(&recorder{}, func(o *Options) { o.SessionTimeout = 30 * time.Second })
	eventually(t, "joining", func() bool { return c.GroupInfo(testGroup).State == "PreparingRebalance" })
	begun := time.Now()
	if err := m.end(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(begun); took > 3*cutAfter {
		t.Errorf("stopped after %v: the join was waited for", took)
	}
}

func TestCutEndsWhatWaitsAndAllowsNewConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var c connections
	first, err := c.dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if len(c.open) != 1 {
		t.Errorf("%d connections are kept, want the open one", len(c.open))
	}
	c.cut()
	if _, err := first.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v, want closed", err)
	}
	third, err := c.dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatalf("dial after a cut: %v", err)
	}
	_ = third.Close()
	if _, err := c.dial(t.Context(), "tcp", "127.0.0.1:1"); err == nil || len(c.open) != 0 {
		t.Errorf("dial of nobody: %v, %d kept", err, len(c.open))
	}
}
