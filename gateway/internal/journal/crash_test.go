package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
	"github.com/tidegate/tidegate/gateway/internal/torture"
)

// faultCase is a way to go wrong at the n-th operation of those that count.
type faultCase struct {
	name   string
	fault  func(n, at int64, mem *vfs.Mem) vfs.Fault
	counts func(vfs.Kind) bool // nil: those that change the disk
	killed bool                // at the end; else the power is lost
	least  int                 // how often the scenario must come to such an operation
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
	{name: "short at n, killed at the end", killed: true, fault: func(n, at int64, _ *vfs.Mem) vfs.Fault {
		if n == at {
			return vfs.Fault{Err: errInjected, Short: true}
		}
		return vfs.Fault{}
	}},
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

// byKind are the cases in which the n-th operation of one kind fails, reads among them.
func byKind() (cases []faultCase) {
	least := map[vfs.Kind]int{
		vfs.KindMkdir: 3, vfs.KindOpen: 3, vfs.KindCreate: 3, vfs.KindRename: 3, vfs.KindRemove: 1, vfs.KindSyncDir: 3, vfs.KindReadDir: 3,
		vfs.KindLock: 3, vfs.KindFree: 1, vfs.KindRead: 10, vfs.KindWrite: 50, vfs.KindSize: 3, vfs.KindSync: 50, vfs.KindTruncate: 0,
	}
	for kind, n := range least {
		cases = append(cases, faultCase{
			name: fmt.Sprintf("only kind %d fails at n", kind), least: n,
			counts: func(k vfs.Kind) bool { return k == kind },
			fault: func(n, at int64, _ *vfs.Mem) vfs.Fault {
				if n == at {
					return vfs.Fault{Err: errInjected, Short: true}
				}
				return vfs.Fault{}
			},
		})
	}
	return cases
}

// TestTortureFaultAtEveryOperation runs the whole scenario for n = 1, 2, 3 ... until the
// n-th operation never comes, recovers after each, and compares with the ledger: J1 to J7,
// J10, J15. In a short run, and under the race detector, most n are left out.
func TestTortureFaultAtEveryOperation(t *testing.T) {
	loop := torture.New(t, 1, 1)
	for seed := range loop.Seeds() {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			for _, c := range append(byKind(), faultCases...) {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					everyOperation(t, loop, c, seed)
				})
			}
		})
	}
}

func everyOperation(t *testing.T, loop *torture.Loop, c faultCase, seed uint64) {
	if c.counts == nil {
		c.counts, c.least = vfs.Kind.Changes, 100
	}
	stride, points := int64(1), int64(0)
	if loop.Short() {
		stride = 11
	}
	for at, hit := 1+int64(seed)%stride, true; hit; at += stride {
		synctest.Test(t, func(t *testing.T) { hit = faultAt(t, loop, c, at, seed) })
		points = at
	}
	if points < int64(c.least) {
		t.Errorf("only %d operations, want %d: the scenario is too small", points, c.least)
	}
}

func faultAt(t *testing.T, loop *torture.Loop, c faultCase, at int64, seed uint64) (hit bool) {
	mem := vfs.NewMem()
	var n, faults atomic.Int64
	fsys := vfs.NewFaulty(mem, func(op vfs.Op) vfs.Fault {
		if !c.counts(op.Kind) {
			return vfs.Fault{}
		}
		f := c.fault(n.Add(1), at, mem)
		if f.Err != nil {
			faults.Add(1)
		}
		return f
	})
	l, r := newLedger(), rand.New(rand.NewPCG(uint64(at), 7+seed))
	usual.run(tiny(fsys), l, uint64(at)+seed<<32)
	mem.Cut()
	if c.killed {
		mem.Revive()
	} else {
		mem.Restart(r)
	}
	loop.Crashed()
	loop.Faulted(int(faults.Load()))
	reopen(t, mem, tiny(mem), l, r, fmt.Sprintf("%s %d, seed %d", c.name, at, seed))
	return n.Load() >= at
}

// The scenario goes through everything that the loop above is to interrupt.
func TestScenarioComesToEverything(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	spares := map[string]bool{} // that were segments
	fsys := vfs.NewFaulty(vfs.NewMem(), func(op vfs.Op) vfs.Fault {
		mu.Lock()
		defer mu.Unlock()
		name := filepath.Base(op.Name)
		suffix := filepath.Ext(name)
		switch {
		case op.Kind == vfs.KindRename && suffix == segmentSuffix:
			seen["retired"]++
			spares[strings.TrimSuffix(name, suffix)] = true
		case op.Kind == vfs.KindRename && suffix == spareSuffix:
			seen["activated"]++
			if spares[strings.TrimSuffix(name, suffix)] {
				seen["recycled"]++
			}
		case op.Kind == vfs.KindSync && name == checkpointName:
			seen["checkpoint"]++
		case op.Kind == vfs.KindRename && strings.HasPrefix(name, ballastName):
			seen["ballast"]++
		case op.Kind == vfs.KindRemove:
			seen["removed"]++
		}
		return vfs.Fault{}
	})
	l := newLedger()
	synctest.Test(t, func(*testing.T) {
		if clean := usual.run(tiny(fsys), l, 1); clean != usual.lives {
			seen["unclean"]++
		}
	})
	l.check(t, "without a fault")
	for _, what := range []string{"retired", "activated", "recycled", "checkpoint", "ballast"} {
		if seen[what] == 0 {
			t.Errorf("%s: never; seen %v", what, seen)
		}
	}
	if seen["unclean"] > 0 || len(l.acked) < usual.writers*usual.each/4 {
		t.Errorf("%v, %d of %d acknowledged", seen, len(l.acked), usual.lives*usual.writers*usual.each)
	}
}
