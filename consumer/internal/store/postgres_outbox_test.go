package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store/storetest"
	"github.com/tidegate/tidegate/schema"
)

func TestPostgresOutbox(t *testing.T) {
	testOutbox(t, func(t *testing.T) database { return postgresAt(storetest.Postgres(t)) })
}

// What another consumer has in hand is passed over, without a wait; of its app nothing is
// given to channels before it.
func TestRoutePassesOverWhatAnotherHas(t *testing.T) {
	s := openPostgresAt(t, storetest.Postgres(t), atStart)
	notices := []quota.Notice{notice(1, schema.SeverityWatch), notice(1, schema.SeverityWarning), notice(2, schema.SeverityWatch)}
	save(t, s, Changes{Notices: notices, Progress: progressAt(0)})
	unrouted, err := s.Unrouted(t.Context(), 10)
	if err != nil || len(unrouted) != 3 {
		t.Fatalf("%d unrouted, %v", len(unrouted), err)
	}
	var routes []Route
	for _, u := range unrouted {
		routes = append(routes, Route{u.ID, []string{"x"}})
	}
	route := func(want string) {
		t.Helper()
		if _, err := s.Route(t.Context(), routes, start); err != nil {
			t.Fatal(err)
		}
		all := list(t, s.Dispatches(t.Context(), DispatchFilter{}))
		slices.Reverse(all)
		if got := said(all); got != want {
			t.Errorf("routed: %q, want %q", got, want)
		}
	}
	other, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback(t.Context()) }()
	if _, err := other.Exec(t.Context(), "UPDATE notice SET routed_at = now() WHERE seq = $1", unrouted[0].ID); err != nil {
		t.Fatal(err)
	}
	route("2 watch")
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	route("2 watch, 1 watch, 1 warning")
}

// Many consumers route what they see at the same time, while apps get new notices: each is
// routed once, and an app's dispatches are in the order of its notices.
func TestManyRoute(t *testing.T) {
	s := openPostgresAt(t, storetest.Postgres(t), atStart)
	const routers, rounds, apps = 4, 40, 3
	var routed, over atomic.Int64
	errs := make(chan error, routers)
	for router := range routers {
		go func() {
			random := rand.New(rand.NewPCG(11, uint64(router)))
			for {
				last := over.Load() == 1
				unrouted, err := s.Unrouted(t.Context(), 1+random.IntN(5))
				if err != nil || last && len(unrouted) == 0 {
					errs <- err
					return
				}
				var routes []Route
				for _, u := range unrouted {
					routes = append(routes, Route{u.ID, []string{"x", "y"}})
				}
				n, err := s.Route(t.Context(), routes, start)
				if err != nil {
					errs <- err
					return
				}
				routed.Add(int64(n))
			}
		}()
	}
	for round := range rounds {
		var c Changes
		c.Progress = progressAt(int64(round))
		for app := range int64(apps) {
			n := notice(app+1, schema.SeverityWatch)
			n.Period = fmt.Sprintf("%03d", round)
			c.Notices = append(c.Notices, n)
		}
		save(t, s, c)
	}
	over.Store(1)
	for range routers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := routed.Load(); n != rounds*apps {
		t.Errorf("%d were routed, want %d", n, rounds*apps)
	}
	for _, channel := range []string{"x", "y"} {
		next := map[int64]int{}
		all := list(t, s.Dispatches(t.Context(), DispatchFilter{Channel: channel}))
		for _, d := range slices.Backward(all) {
			if want := fmt.Sprintf("%03d", next[d.AppID]); d.Period != want {
				t.Fatalf("%s: app %d: period %s, want %s", channel, d.AppID, d.Period, want)
			}
			next[d.AppID]++
		}
		if len(all) != rounds*apps {
			t.Errorf("%s: %d dispatches, want %d", channel, len(all), rounds*apps)
		}
	}
}

// Replays close dead letters while workers save new ones, evict old ones and retention
// deletes: nobody waits crosswise, and no letter counts twice.
func TestReplaysMakeNoDeadlock(t *testing.T) {
	s := postgresAt(storetest.Postgres(t)).open(t, Options{Now: atStart, DeadLetterBytes: 3000}).(*postgresStore)
	const workers, replays, rounds = 3, 3, 40
	errs := make(chan error, workers+replays)
	of := func(apps ...int64) map[int64]quota.Period { // so that retention leaves their rows alone
		periods := map[int64]quota.Period{}
		for _, app := range apps {
			periods[app] = quota.Period{LastAt: start.UnixMilli()}
		}
		return periods
	}
	for worker := range workers {
		go func() {
			errs <- func() error {
				for round := range rounds {
					apps := []int64{1, 2, int64(3 + round%5)}
					tx, err := s.Begin(t.Context(), rawTopic, int32(worker), nil, apps)
					if err != nil {
						return err
					}
					dead := letter(int64(worker*rounds + round))
					dead.FailedAt = start.AddDate(0, 0, -(round % 3))
					c := Changes{DeadLetters: []schema.DeadLetter{dead, letter(int64(round))}, Periods: of(apps...), Progress: progressAt(int64(round))}
					c.Progress.Partition = int32(worker)
					if err := tx.Save(t.Context(), c); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	var closed [replays][]int64
	for replay := range replays {
		go func() {
			errs <- func() error {
				for round := range rounds {
					var ids []int64
					for l, err := range s.DeadLetters(t.Context(), DeadLetterFilter{State: DeadLettersOpen, Order: OldestFirst, Limit: 3}) {
						if err != nil {
							return err
						}
						ids = append(ids, l.ID)
					}
					tx, err := s.Begin(t.Context(), rawTopic, int32(round%workers), nil, []int64{2, 1})
					if err != nil {
						return err
					}
					c := Changes{Replayed: ids, Periods: of(1, 2)}
					c.DeadLetters = []schema.DeadLetter{letter(int64(1000 + replay*rounds + round))}
					switch err := tx.Save(t.Context(), c); {
					case errors.Is(err, ErrReplayed):
						continue
					case err != nil:
						return err
					}
					closed[replay] = append(closed[replay], ids...)
					if err := s.MarkPublished(t.Context(), append(ids, 1, 2, 3)); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	stop, retained := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				retained <- nil
				return
			default:
			}
			if _, err := s.Retain(t.Context(), 1, start.Add(time.Hour)); err != nil {
				retained <- err
				return
			}
		}
	}()
	for range workers + replays {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	close(stop)
	if err := <-retained; err != nil {
		t.Error(err)
	}
	all := slices.Concat(closed[:]...)
	slices.Sort(all)
	if len(all) == 0 || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("of %d letters that were closed some were closed twice", len(all))
	}
}
