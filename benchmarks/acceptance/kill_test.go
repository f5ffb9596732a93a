package acceptance

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"github.com/tidegate/tidegate/benchmarks/acceptance/proof"
	"github.com/tidegate/tidegate/benchmarks/load/ledger"
	"github.com/tidegate/tidegate/deploy/local/stack"
	"github.com/tidegate/tidegate/schema"
)

// Ack levels in a routes file.
const (
	levelMemory = "memory"
	levelDisk   = "disk"
	levelBroker = "broker"
)

// Commands of mixedScene, and their ack levels. The raw alarms' topic takes only alarms, so
// what is mixed in one topic goes to the raw callbacks', beside alarms at level disk.
const (
	commandMemory = "Group.CallbackAfterSendMsg"
	commandDisk   = "Group.CallbackAfterMemberExit"
	commandBroker = "Group.CallbackAfterNewMemberJoin"
)

var levels = map[string]string{commandMemory: levelMemory, commandDisk: levelDisk, commandBroker: levelBroker}

// mixedScene starts a stack whose gateway answers at all ack levels what goes to one topic
// with one key.
func mixedScene(t *testing.T, signed int) *scene {
	t.Helper()
	text := "routes:\n"
	for command, level := range levels {
		text += fmt.Sprintf("  - {command: %s, topic: %s, ack: %s}\n", command, schema.NewTopics("").CallbacksRaw, level)
	}
	file := filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newScene(t, signed, func(o *stack.Options) { o.GatewayFlags = append(o.GatewayFlags, "--routes="+file) })
	s.routed = levels
	return s
}

// kill kills the gateway (-9) and writes down what its journal said then.
func (s *scene) kill() {
	s.t.Helper()
	k := proof.Kill{At: time.Now().UnixMicro()}
	if err := s.stack.Gateway().Kill(); err != nil {
		s.t.Fatal(err)
	}
	k.Gone = time.Now().UnixMicro()
	out, err := exec.Command(bin(s.t, "gateway"), "journal", "stat", "--format=json", "--journal-dir="+s.stack.JournalDir()).Output()
	if err != nil {
		s.t.Fatalf("gateway journal stat after kill %d: %v", len(s.row.Kills)+1, err)
	}
	var stat struct {
		Journal struct {
			Settled, Last uint64
			Entries       int // above Settled
			Corruptions   []json.RawMessage
		}
	}
	if err := json.Unmarshal(out, &stat); err != nil {
		s.t.Fatalf("gateway journal stat: %v in %.200s", err, out)
	}
	if len(stat.Journal.Corruptions) > 0 {
		s.t.Errorf("a killed gateway left a corrupt journal: %s", stat.Journal.Corruptions[0])
	}
	k.Settled, k.Last, k.Entries = stat.Journal.Settled, stat.Journal.Last, stat.Journal.Entries
	s.row.Kills = append(s.row.Kills, k)
}

// restart starts a killed gateway and waits until it is ready.
func (s *scene) restart() {
	s.t.Helper()
	if err := s.stack.Gateway().Start(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.stack.Ready(s.t.Context(), s.stack.Gateway()); err != nil {
		s.t.Fatal(err)
	}
}

// forgets bounds for how long a callback that was answered 200 may be in the gateway's memory
// only: the committer writes all the time, and waits for one sync at most.
const forgets = 2 * time.Second

// excused passes what was answered at ack level memory when a kill was near, and counts it
// there: that such callbacks are lost with the process is what the level says. Without a kill
// nothing is excused.
func (s *scene) excused(e *ledger.Entry) bool {
	if s.routed[e.Command] != levelMemory {
		return false
	}
	at := nearKill(s.row.Kills, e)
	if at >= 0 {
		s.row.Kills[at].Forgot++
		s.forgotten = append(s.forgotten, *e)
	}
	return at >= 0
}

// checkForgotten returns what is wrong with what memory forgot, however near a kill it was: a
// journal loses its end and nothing else. Of two callbacks of one life, where one was answered
// before the other was sent, the first cannot be missing when the second was found.
func checkForgotten(kills []proof.Kill, forgotten, entries []ledger.Entry, found func(*ledger.Entry) bool) error {
	newest := make([]*ledger.Entry, len(kills)) // by life: of what was found, the one that was sent last
	for i := range entries {
		e := &entries[i]
		if at := lifeOf(kills, e); at >= 0 && found(e) && (newest[at] == nil || e.Sent > newest[at].Sent) {
			newest[at] = e
		}
	}
	for i := range forgotten {
		e := &forgotten[i]
		if at := lifeOf(kills, e); at >= 0 && newest[at] != nil && e.Done < newest[at].Sent {
			return fmt.Errorf("memory forgot %s, and not what was sent after its answer: %s", e.String(), newest[at].String())
		}
	}
	return nil
}

// lifeOf returns the kill that ended the life in which an entry was sent; -1: none, or it is not
// sure which.
func lifeOf(kills []proof.Kill, e *ledger.Entry) int {
	at := sort.Search(len(kills), func(i int) bool { return e.Sent <= kills[i].Gone })
	if at == len(kills) || e.Sent > kills[at].At {
		return -1
	}
	return at
}

// nearKill returns the first kill that the process of an entry's answer may have met before
// it wrote the entry; -1: none.
func nearKill(kills []proof.Kill, e *ledger.Entry) int {
	for i := range kills {
		if k := &kills[i]; e.Sent <= k.Gone && e.Done >= k.At-forgets.Microseconds() {
			return i
		}
	}
	return -1
}

// blame finds for each copy the kill that it came of, and counts it there. A gateway delivers
// again after a kill what its checkpoint does not call settled, and a record's copies need a
// kill each. Blamed has a kill's number for each copy, -1 where it was settled at all that are
// left; allowed is how many copies there could have been.
func blame(kills []proof.Kill, copies []ledger.Found) (blamed []int, allowed int) {
	next := map[string]int{} // by id: the first kill that no copy of it was blamed on yet
	blamed = make([]int, len(copies))
	for i, c := range copies {
		id, err := schema.ParseCallbackID([]byte(c.ID))
		at := next[c.ID]
		for err == nil && at < len(kills) && (id.LSN <= kills[at].Settled || id.LSN > kills[at].Last) {
			at++
		}
		if err != nil || at >= len(kills) {
			blamed[i] = -1
			continue
		}
		kills[at].Copies++
		blamed[i], next[c.ID] = at, at+1
	}
	for i := range kills {
		allowed += kills[i].Entries
	}
	return blamed, allowed
}

// mostCopies bounds how often one callback may come again, however often the gateway is
// killed: what is delivered is in the checkpoint within about 100 ms, and so many lives that all
// end sooner, one after the other, do not happen.
const mostCopies = 8

// checkCopies returns what is wrong with the copies: one of what was settled, or more of one
// callback than a gateway that writes its checkpoints can make.
func checkCopies(copies []ledger.Found, blamed []int) error {
	times := map[string]int{}
	for i, c := range copies {
		if blamed[i] < 0 {
			return fmt.Errorf("a duplicate of what every checkpoint said was settled: %s", c.String())
		}
		if times[c.ID]++; times[c.ID] > mostCopies {
			return fmt.Errorf("more than %d duplicates of one callback, so the checkpoints were old: %s", mostCopies, c.String())
		}
	}
	return nil
}
