package journal

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
	"github.com/tidegate/tidegate/gateway/internal/torture"
)

// TestTortureProperties does random things to a journal, one after another: appends of any
// size, waits, reads, checkpoints, other budgets, faults of any kind, power losses, kills,
// restarts; and compares with the ledger (J1 to J10, J14, J15). It runs in fake time.
// rapid prints the seed of a failure, and reduces it; -rapid.seed replays it, and so does
// the seed of the loop.
func TestTortureProperties(t *testing.T) {
	loop := torture.New(t, 4, 1)
	given := flag.Lookup("rapid.seed").Value.String() // by who replays one
	t.Cleanup(func() { _ = flag.Set("rapid.seed", given) })
	for seed := range loop.Seeds() {
		if given == "0" {
			// rapid's seed 0 is a random one.
			if err := flag.Set("rapid.seed", strconv.FormatUint(seed+1, 10)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Test(t, func(t *testing.T) {
			// Not t itself: rapid would ask for its deadline, which bubbles do not have.
			rapid.Check(struct{ testing.TB }{t}, func(t *rapid.T) {
				m := newMachine(t, loop)
				defer m.end()
				t.Repeat(m.actions())
				m.settleDown(t)
			})
		})
	}
}

// machine is a journal and what the outside knows of it.
type machine struct {
	loop *torture.Loop
	mem  *vfs.Mem
	o    Options
	*ledger
	faults faults

	j         *Journal
	r         *Reader
	tickets   []Ticket // of this life
	lastRead  LSN
	lastSaved LSN
	troubled  bool // a fault came in this life
	n         int  // payloads made
}

// faults are those that are on. Written between two actions, read by the journal.
type faults struct {
	set   atomic.Pointer[faultSet]
	count atomic.Int64
}

// faultSet says what fails.
type faultSet struct {
	kinds []vfs.Kind
	name  string // part of the file's name
	err   error
	short bool
	cutAt int64 // changes of the disk until the power goes; 0: it stays
}

func (f *faults) decide(mem *vfs.Mem) func(vfs.Op) vfs.Fault {
	var changes atomic.Int64
	return func(op vfs.Op) vfs.Fault {
		s := f.set.Load()
		switch {
		case s == nil:
			changes.Store(0)
		case s.cutAt > 0:
			if op.Kind.Changes() && changes.Add(1) == s.cutAt {
				return vfs.Fault{Cut: mem}
			}
		case slices.Contains(s.kinds, op.Kind) && strings.Contains(op.Name, s.name):
			f.count.Add(1)
			return vfs.Fault{Err: s.err, Short: s.short}
		}
		return vfs.Fault{}
	}
}

func newMachine(t *rapid.T, loop *torture.Loop) *machine {
	m := &machine{loop: loop, mem: vfs.NewMem(), ledger: newLedger()}
	m.o = tiny(vfs.NewFaulty(m.mem, m.faults.decide(m.mem)))
	m.o.Retain = rapid.SampledFrom([]time.Duration{-1, time.Second}).Draw(t, "retain")
	m.reopen(t)
	return m
}

// actions are what may happen, by name. Every one of them leaves a journal that is open,
// though perhaps without power.
func (m *machine) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"append": m.appendSome, "append more": m.appendSome, "wait": m.wait, "read": m.readSome, "checkpoint": m.checkpoint, "sleep": m.sleep,
		"budget": func(t *rapid.T) {
			// Entries in memory may have no place any more: Close then says so.
			m.troubled = true
			m.j.SetMaxBytes(int64(rapid.IntRange(1, 20).Draw(t, "segments")) * m.o.SegmentBytes)
		},
		"fault": m.fault, "healthy": func(*rapid.T) { m.faults.set.Store(nil) },
		"cut later": func(t *rapid.T) {
			m.troubled = true
			m.faults.set.Store(&faultSet{cutAt: rapid.Int64Range(1, 40).Draw(t, "after")})
		},
		"power loss": func(t *rapid.T) {
			seed := rapid.Uint64().Draw(t, "what is left")
			m.crash(t, func() { m.mem.Restart(rand.New(rand.NewPCG(seed, 5))) })
		},
		"kill":    func(t *rapid.T) { m.crash(t, m.mem.Revive) },
		"restart": m.restart,
		"":        m.invariants,
	}
}

func (m *machine) appendSome(t *rapid.T) {
	reserve := rapid.Bool().Draw(t, "reserve")
	for range rapid.IntRange(1, 12).Draw(t, "entries") {
		m.n++
		payload := fmt.Sprint(m.n, " ", strings.Repeat("p", rapid.IntRange(0, m.o.MaxPayload-20).Draw(t, "size")))
		if m.n%17 == 0 {
			payload = ""
		}
		tk, err := m.j.Append(reserve, text(payload))
		switch {
		case err == nil:
			m.append(tk.LSN, payload)
			m.tickets = append(m.tickets, tk)
		case !errors.Is(err, ErrFull):
			t.Fatalf("J8: append: %v", err)
		}
	}
}

func (m *machine) wait(t *rapid.T) {
	if len(m.tickets) == 0 {
		t.Skip("nothing was appended")
	}
	tk := m.tickets[rapid.IntRange(0, len(m.tickets)-1).Draw(t, "ticket")]
	switch err := m.j.Wait(tk, Disk); {
	case err == nil:
		m.ack(tk.LSN)
	case !errors.Is(err, ErrNotConfirmed):
		t.Fatalf("wait: %v", err)
	}
}

func (m *machine) readSome(t *rapid.T) {
	for range rapid.IntRange(1, 20).Draw(t, "entries") {
		e, ok, err := m.r.Next()
		if !ok || err != nil { // reads fail, too
			if err != nil {
				m.r.Close()
				m.r = m.j.Reader(m.lastRead + 1)
			}
			return
		}
		if e.LSN <= m.lastRead {
			t.Fatalf("J2: LSN %d was read after %d", e.LSN, m.lastRead)
		}
		m.lastRead = e.LSN
		m.saw(e)
	}
}

// checkpoint settles what was read, some of it or all.
func (m *machine) checkpoint(t *rapid.T) {
	if m.lastRead == 0 {
		t.Skip("nothing was read")
	}
	lsn := m.lastRead - LSN(rapid.IntRange(0, 3).Draw(t, "behind"))
	lsn = max(min(lsn, m.lastRead), m.lastSaved)
	m.lastSaved = lsn
	m.settle(lsn)
	m.j.Settle(lsn, true)
	m.j.Checkpoint(lsn, []Cursor{{Lane: "a/0", LSN: lsn}})
}

func (m *machine) sleep(t *rapid.T) {
	time.Sleep(time.Duration(rapid.IntRange(0, 2500).Draw(t, "milliseconds")) * time.Millisecond)
	synctest.Wait()
}

// fault lets operations fail, from now on.
func (m *machine) fault(t *rapid.T) {
	kinds := []vfs.Kind{
		vfs.KindOpen, vfs.KindCreate, vfs.KindRename, vfs.KindRemove, vfs.KindSyncDir, vfs.KindFree, vfs.KindRead, vfs.KindWrite, vfs.KindSync,
	}
	m.troubled = true
	m.faults.set.Store(&faultSet{
		kinds: rapid.SliceOfNDistinct(rapid.SampledFrom(kinds), 1, 4, rapid.ID).Draw(t, "kinds"),
		name:  rapid.SampledFrom([]string{"", segmentSuffix, spareSuffix, checkpointName}).Draw(t, "files"),
		err:   rapid.SampledFrom([]error{syscall.EIO, syscall.ENOSPC, syscall.EROFS, syscall.EDQUOT}).Draw(t, "error"),
		short: rapid.Bool().Draw(t, "short"),
	})
}

// crash ends the process, does to the disk what after says, and opens it again.
func (m *machine) crash(t *rapid.T, after func()) {
	m.mem.Cut()
	m.r.Close()
	_ = m.j.Close() // the dead may complain
	after()
	m.loop.Crashed()
	m.reopen(t)
}

// restart is a stop in order. J14: without a fault it has no error.
func (m *machine) restart(t *rapid.T) {
	m.r.Close()
	err := m.j.Close()
	if err != nil && !m.troubled {
		t.Fatalf("J14: close: %v", err)
	}
	if err == nil {
		for _, tk := range m.tickets {
			m.ack(tk.LSN) // J14: drained
		}
	}
	m.mem.Cut() // whatever it left running does not count
	m.mem.Revive()
	m.reopen(t)
}

// reopen recovers, on a device that works, and compares.
func (m *machine) reopen(t *rapid.T) {
	m.faults.set.Store(nil)
	j, err := Open(m.o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	m.j, m.tickets, m.troubled = j, nil, false
	m.compare(j)
	m.lastSaved, _ = j.Restored()
	m.lastRead = m.lastSaved
	m.r = j.Reader(m.lastSaved + 1)
	m.invariants(t)
}

// invariants hold after every step.
func (m *machine) invariants(t *rapid.T) {
	if len(m.broken) > 0 {
		t.Fatalf("%d promises broken: %s", len(m.broken), strings.Join(m.broken[:min(8, len(m.broken))], "\n"))
	}
	s := m.j.Stats()
	if s.Appended < s.Synced || s.Synced < s.Settled {
		t.Fatalf("watermarks: %+v", s)
	}
	if len(s.Corruptions) > 0 {
		t.Fatalf("J5: false alarm: %v", s.Corruptions)
	}
}

// settleDown ends all faults. J8: after a while the journal takes entries again by itself, and
// has all that was synced.
func (m *machine) settleDown(t *rapid.T) {
	m.crash(t, m.mem.Revive)
	m.j.SetMaxBytes(m.o.MaxBytes)
	for !m.caughtUp() {
		m.readSome(t)
	}
	m.settle(m.lastRead)
	m.j.Checkpoint(m.lastRead, nil)
	time.Sleep(5 * time.Second)
	tk, err := m.j.Append(false, text("in the end"))
	if err == nil {
		m.append(tk.LSN, "in the end")
		err = m.j.Wait(tk, Disk)
	}
	if err != nil {
		t.Fatalf("J8: everything works and is settled, and an append says: %v; %+v", err, m.j.Stats())
	}
	m.ack(tk.LSN)
	m.restart(t)
}

func (m *machine) caughtUp() bool { return m.lastRead >= m.j.Stats().Synced }

// end leaves no goroutine behind, whatever happened.
func (m *machine) end() {
	m.loop.Faulted(int(m.faults.count.Load()))
	if m.j != nil {
		m.mem.Cut()
		m.r.Close()
		_ = m.j.Close()
	}
}
