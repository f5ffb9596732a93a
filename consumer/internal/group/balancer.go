package group

import (
	"sync"

	"github.com/segmentio/kafka-go"
)

// balancer is the range balancer, and remembers what it was asked to share out: only the
// leader of a generation knows for certain how many partitions were shared. Metadata read
// a moment later can already show one more, which belongs to nobody yet.
type balancer struct {
	kafka.RangeGroupBalancer

	mu         sync.Mutex
	partitions int // guarded by mu; 0: this member is not the leader
}

// UserData is called at the beginning of every attempt to join, so it also forgets the
// attempt before.
func (b *balancer) UserData() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.partitions = 0
	return nil, nil
}

// AssignGroups is called on the leader only.
func (b *balancer) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	b.mu.Lock()
	b.partitions = len(partitions)
	b.mu.Unlock()
	return b.RangeGroupBalancer.AssignGroups(members, partitions)
}

// shared returns how many partitions this member shared out as the leader of the attempt
// that just succeeded; false: another member is the leader.
func (b *balancer) shared() (int, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.partitions, b.partitions > 0
}
