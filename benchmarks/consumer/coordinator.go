//go:build linux

package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// committedOf sums up the committed offsets of a group on a topic.
func committedOf(ctx context.Context, client *kgo.Client, group, topic string) (sum int64, err error) {
	request := kmsg.NewPtrOffsetFetchRequest()
	one := kmsg.NewOffsetFetchRequestGroup()
	one.Group = group
	request.Groups = []kmsg.OffsetFetchRequestGroup{one} // the client puts it as the broker's version wants it, and the answer back
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return 0, fmt.Errorf("ask for the offsets of group %s: %w", group, err)
	}
	for _, g := range answer.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return 0, fmt.Errorf("ask for the offsets of group %s: %w", group, err)
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if t.Topic == topic && p.Offset > 0 {
					sum += p.Offset
				}
			}
		}
	}
	return sum, nil
}

// stable says how many members a group has, as its coordinator says it, and whether the
// generation is stable: every member was given its share.
func stable(ctx context.Context, client *kgo.Client, group string) (members int, yes bool, err error) {
	request := kmsg.NewPtrDescribeGroupsRequest()
	request.Groups = []string{group}
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return 0, false, fmt.Errorf("ask for group %s: %w", group, err)
	}
	if len(answer.Groups) != 1 {
		return 0, false, fmt.Errorf("ask for group %s: %d answers", group, len(answer.Groups))
	}
	g := answer.Groups[0]
	if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
		return 0, false, fmt.Errorf("ask for group %s: %w", group, err)
	}
	return len(g.Members), g.State == "Stable", nil
}
