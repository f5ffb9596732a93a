package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

// faultCase is a way to go wrong at the n-th operation that changes the disk.
type faultCase struct {
	name  string
	fault func(n, at int64, mem *vfs.Mem) vfs.Fault
	crash func(mem *vfs.Mem, r *rand.Rand) // what happens at the end; nil: power loss
}

var errInjected = errors.New("injected")

var faultCases = []faultCase{
	{name: "power lost at n", fault: func(n, at int64, mem *vfs.Mem) vfs.Fault {
		if n == at {
			return vfs.Fault{Cut: mem}
		}
		return vfs.Fault{}
	}},
	{name: "error at n, power lost later", fault: func(n, at int64, mem *vfs.Mem) vfs.Fault {
		switch n {
		case at:
			return vfs.Fault{Err: errInjected}
		case at + 9:
			return vfs.Fault{Cut: mem}
		}
		return vfs.Fault{}
	}},
	{name: "short at n, killed at the end", fault: func(n, at int64, _ *vfs.Mem) vfs.Fault {
		if n == at {
			return vfs.Fault{Err: errInjected, Short: true}
		}
		return vfs.Fault{}
	}, crash: func(mem *vfs.Mem, _ *rand.Rand) { mem.Kill() }},
	{name: "everything fails from n on", fault: func(n, at int64, _ *vfs.Mem) vfs.Fault {
		if n >= at {
			return vfs.Fault{Err: syscall.EIO}
		}
		return vfs.Fault{}
	}},
	{name: "no space for nine operations from n on", fault: func(n, at int64, _ *vfs.Mem) vfs.Fault {
		if n >= at && n < at+9 {
			return vfs.Fault{Err: syscall.ENOSPC, Short: n%2 == 0}
		}
		return vfs.Fault{}
	}},
}

// TestFaultAtEveryOperation runs the whole scenario for n = 1, 2, 3 ... until the n-th
// change of the disk never comes, recovers after each, and compares with the ledger.
func TestFaultAtEveryOperation(t *testing.T) {
	stride := int64(1)
	if testing.Short() {
		stride = 7
	}
	for _, c := range faultCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			points := 0
			for at, hit := int64(1), true; hit; at += stride {
				synctest.Test(t, func(t *testing.T) { hit = faultAt(t, c, at) })
				points++
			}
			t.Logf("%d fault points", points)
			if points < 100/int(stride) {
				t.Errorf("only %d fault points: the scenario is too small", points)
			}
		})
	}
}

func faultAt(t *testing.T, c faultCase, at int64) (hit bool) {
	mem := vfs.NewMem()
	var n atomic.Int64
	fsys := vfs.NewFaulty(mem, func(op vfs.Op) vfs.Fault {
		if !op.Kind.Changes() {
			return vfs.Fault{}
		}
		return c.fault(n.Add(1), at, mem)
	})
	l, r := newLedger(), rand.New(rand.NewPCG(uint64(at), 7))
	usual.run(tiny(fsys), l, uint64(at))
	if crash := c.crash; crash != nil {
		crash(mem, r)
	} else {
		mem.Cut()
		mem.Restart(r)
	}
	reopen(t, mem, tiny(mem), l, r, fmt.Sprintf("%s %d", c.name, at))
	return n.Load() >= at
}
