package acceptance

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// drained is what `gateway drain` says when nothing is left.
var drained = regexp.MustCompile(`(\d+) callbacks delivered, .* is empty`)

// drain runs `gateway drain` over a directory.
func (s *scene) drain(dir string, more ...string) (out string, err error) {
	s.t.Helper()
	args := append([]string{"drain", "--journal-dir=" + dir}, s.gatewayKafka()...)
	text, err := exec.CommandContext(s.t.Context(), bin(s.t, "gateway"), append(args, more...)...).CombinedOutput()
	return string(text), err
}

// drainedAll runs `gateway drain` to its good end and returns how many callbacks it delivered.
func (s *scene) drainedAll(dir string) int {
	s.t.Helper()
	out, err := s.drain(dir, "--timeout="+patience.String())
	said := drained.FindStringSubmatch(out)
	if err != nil || said == nil {
		s.t.Fatalf("drain %s: %v\n%s", dir, err, out)
	}
	n, err := strconv.Atoi(said[1])
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// journalID returns the identity file of a journal.
func journalID(t *testing.T, dir string) []byte {
	t.Helper()
	id, err := os.ReadFile(filepath.Join(dir, "journal-id"))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Promise: the gateway's machine is lost while Kafka is away, and its disk is not: moved
// elsewhere and drained there, it holds everything that was answered 200. Meanwhile another
// gateway took its name and its place, with a journal of its own.
//
// The two take the callbacks of different apps: order per app is a promise of one journal,
// and what the lost machine holds comes later than what its successor takes.
func TestProofMachineLost(t *testing.T) {
	s := newScene(t, 64, nil)
	perSecond := rate(t)
	firstApps, secondApps := s.apps[:32], s.apps[32:64]
	first := s.loadFor(firstApps, steady(perSecond, alarms, "--malformed=0.02")...)
	first.progress(perSecond)
	bringBack := s.takeKafkaAway()
	first.progress(int(outage(t).Seconds() * float64(perSecond)))
	s.kill()
	entries := first.end()

	elsewhere := filepath.Join(t.TempDir(), "disk")
	if err := os.Rename(s.stack.JournalDir(), elsewhere); err != nil {
		t.Fatal(err)
	}
	s.restart()
	if bytes.Equal(journalID(t, elsewhere), journalID(t, s.stack.JournalDir())) {
		t.Fatal("the new journal has the lost one's id")
	}
	second := s.loadFor(secondApps, steady(perSecond, alarms)...)
	second.progress(perSecond)

	// Without Kafka a drain gives up when it is told to, says that it did, and takes nothing away.
	if out, err := s.drain(elsewhere, "--timeout=2s"); err == nil || !regexp.MustCompile(`[1-9]\d* callbacks are left`).MatchString(out) {
		t.Errorf("drain without Kafka: %v\n%s", err, out)
	}
	bringBack()
	began := time.Now()
	n := s.drainedAll(elsewhere)
	t.Logf("drained %d callbacks of the lost machine in %s", n, time.Since(began).Round(time.Millisecond))
	if least := int(outage(t).Seconds()*float64(perSecond)) / 2; n < least || n > len(entries) {
		t.Errorf("drained %d callbacks, want what came while Kafka was away: %d and more, at most %d", n, least, len(entries))
	}
	if again := s.drainedAll(elsewhere); again != 0 {
		t.Errorf("a second drain delivered %d", again)
	}
	second.progress(perSecond)
	entries = append(entries, second.end()...)
	t.Logf("answers: %s", tallied(t, entries))
	s.row.Faults = 1
	s.proof("machine lost with Kafka away, its directory moved and drained elsewhere", entries)
	s.consumed(entries)
}
