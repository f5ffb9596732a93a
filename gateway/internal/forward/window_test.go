package forward

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/gateway/internal/journal"
)

// windowModel says what a window should say, with nothing clever in it.
type windowModel struct {
	open, done []journal.LSN
}

// A window behaves as a plain list of open entries.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		var m windowModel
		next := journal.LSN(1)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(t, "n") {
					next += journal.LSN(rapid.IntRange(1, 5).Draw(t, "gap"))
					w.push(next, int64(next)*10)
					m.open = append(m.open, next)
				}
			},
			"finish": func(t *rapid.T) {
				if len(m.open) == 0 {
					t.Skip("nothing is open")
				}
				// Mostly the first one, as it is in life.
				i := max(0, rapid.IntRange(-len(m.open), len(m.open)-1).Draw(t, "which"))
				lsn := m.open[i]
				if at := w.finish(lsn); at != int64(lsn)*10 {
					t.Fatalf("finish(%d) returns the time %d", lsn, at)
				}
				m.open = slices.Delete(m.open, i, i+1)
				m.done = append(m.done, lsn)
			},
			"cut": func(t *rapid.T) {
				if len(m.open) == 0 {
					t.Skip("nothing is open")
				}
				// What is handed back is the end of what was taken, and all of it is open.
				from := len(m.open)
				for from > 0 && (len(m.done) == 0 || m.open[from-1] > slices.Max(m.done)) {
					from--
				}
				if from == len(m.open) {
					t.Skip("the last one is settled")
				}
				i := rapid.IntRange(from, len(m.open)-1).Draw(t, "from")
				w.cut(m.open[i])
				m.open = m.open[:i]
			},
			"": func(t *rapid.T) {
				first, open := w.first()
				if open != (len(m.open) > 0) || open && first != m.open[0] {
					t.Fatalf("first is %d, %v; open are %v", first, open, m.open)
				}
				if !open && w.len() != 0 {
					t.Fatalf("%d entries, none open", w.len())
				}
			},
		})
		var ahead []journal.LSN
		if len(m.open) > 0 {
			for _, lsn := range m.done {
				if lsn > m.open[0] {
					ahead = append(ahead, lsn)
				}
			}
		}
		slices.Sort(ahead)
		if got := w.clear(); !slices.Equal(got, ahead) || w.len() != 0 {
			t.Fatalf("clear returns %v, want %v", got, ahead)
		}
	})
}

// Settling twice, or what was never taken, is a fault of ours and does not pass in silence.
func TestWindowRefusesNonsense(t *testing.T) {
	for name, nonsense := range map[string]func(w *window){
		"never taken": func(w *window) { w.finish(4) },
		"twice":       func(w *window) { w.finish(3); w.finish(3) },
		"after all":   func(w *window) { w.finish(1); w.finish(3); w.finish(5); w.finish(5) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			var w window
			for _, lsn := range []journal.LSN{1, 3, 5} {
				w.push(lsn, 0)
			}
			nonsense(&w)
		})
	}
}

// A window that stays small stays small, however many entries pass through it.
func TestWindowMemory(t *testing.T) {
	var w window
	for lsn := journal.LSN(1); lsn < 1_000_000; lsn++ {
		w.push(lsn, 0)
		if lsn > 100 {
			w.finish(lsn - 100)
		}
	}
	if cap(w.items) > 4096 {
		t.Errorf("room for %d entries with 100 open", cap(w.items))
	}
}
