package journal

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tidegate/tidegate/gateway/internal/journal/vfs"
)

func TestBrokerLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := mustOpen(t, small(vfs.NewMem()))
		late, early, parked, never := mustSync(t, j, "a"), mustSync(t, j, "b"), mustSync(t, j, "c"), mustSync(t, j, "d")
		j.Settle(early.LSN, true) // before anybody waits
		rows := []struct {
			tk   Ticket
			want error
		}{{late, nil}, {late, nil}, {early, nil}, {parked, ErrParked}, {never, ErrNotConfirmed}}
		var wg sync.WaitGroup
		for _, row := range rows {
			wg.Go(func() {
				if err := j.Wait(row.tk, Broker); !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
					t.Errorf("LSN %d: %v, want %v", row.tk.LSN, err, row.want)
				}
			})
		}
		synctest.Wait()
		j.Settle(late.LSN, true)
		j.Settle(parked.LSN, false)
		wg.Wait()
		mustClose(t, j)
		if err := j.Wait(never, Broker); !errors.Is(err, ErrNotConfirmed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestLevels(t *testing.T) {
	for _, l := range []Level{Memory, Disk, Broker} {
		var back Level
		b, err := l.MarshalText()
		if err != nil || back.UnmarshalText(b) != nil || back != l {
			t.Errorf("%v does not survive its text %q", l, b)
		}
	}
	if _, err := ParseLevel("tape"); err == nil || !strings.Contains(err.Error(), "memory, disk or broker") {
		t.Errorf("unknown level: %v", err)
	}
	if s := Level(9).String(); s != "Level(9)" {
		t.Errorf("%q", s)
	}
}
