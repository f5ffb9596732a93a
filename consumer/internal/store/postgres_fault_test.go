package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/consumer/internal/quota"
	"github.com/tidegate/tidegate/consumer/internal/store/storetest"
)

// The database goes and comes: between batches, inside one, and while it commits. What
// fails is no fault of the data, whatever was confirmed is there, and work goes on by
// itself.
func TestDatabaseGoesAndComes(t *testing.T) {
	direct := storetest.Postgres(t)
	r, through := storetest.NewRoad(t, direct)
	s := openPostgresAt(t, through, atStart)
	save(t, s, Changes{Alarms: alarms(1, 2), Progress: progressAt(1)})

	away := func(err error) {
		t.Helper()
		if err == nil || errors.Is(err, ErrData) {
			t.Errorf("while the database is away: %v", err)
		}
	}
	inside := begin(t, s, nil, 1)
	r.Close()
	away(inside.Save(t.Context(), batch()))
	_, err := s.Begin(t.Context(), rawTopic, 3, nil, []int64{1})
	away(err)
	away(s.Ping(t.Context()))
	_, err = s.Retain(t.Context(), 1, start)
	away(err)
	for _, err := range s.Alarms(t.Context(), AlarmFilter{}) {
		away(err)
	}
	r.Open()
	save(t, s, Changes{Alarms: alarms(2, 2), Periods: batch().Periods, Progress: progressAt(2)})

	// It is there, but says nothing: the caller's context is what ends that.
	r.Block()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err = s.Begin(ctx, rawTopic, 3, nil, []int64{1})
	away(err)
	if took := time.Since(begun); took > 10*cancelTimeout || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Begin at a server that says nothing: %v after %v", err, took)
	}
	r.Close()
	r.Open()
	save(t, s, Changes{Alarms: alarms(3, 2), Progress: progressAt(3)})
	if n := len(read(t, s).Alarms); n != 6 {
		t.Errorf("%d alarms, want 6", n)
	}
}

// Connections that the server ended, as a restart or an operator does, cost one batch each
// at most.
func TestServerEndsConnections(t *testing.T) {
	url := with(t, storetest.Postgres(t), "application_name", "doomed")
	s := openPostgresAt(t, url, atStart)
	for round := range int64(3) {
		tx := begin(t, s, nil, 1)
		storetest.Exec(t, with(t, url, "application_name", "killer"), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'doomed'")
		if err := tx.Save(t.Context(), Changes{Alarms: alarms(round+1, 3), Progress: progressAt(round)}); err == nil || errors.Is(err, ErrData) {
			t.Errorf("Save on a connection that ended: %v", err)
		}
		save(t, s, Changes{Alarms: alarms(round+1, 3), Progress: progressAt(round)})
	}
	if n := len(read(t, s).Alarms); n != 9 {
		t.Errorf("%d alarms, want 9", n)
	}
}

// A consumer that says nothing for idleTimeout, stopped or gone with its machine, does not
// keep its successor from the partition.
func TestSilentOwnerLosesItsLocks(t *testing.T) {
	url := storetest.Postgres(t)
	silent := openPostgresAt(t, with(t, url, "idle_in_transaction_session_timeout", "200"), atStart)
	tx := begin(t, silent, nil, 1)
	successor := openPostgresAt(t, url, atStart)
	save(t, successor, batch())
	before := read(t, successor)
	c := Changes{Periods: map[int64]quota.Period{1: {}}, Progress: progressAt(0)}
	if err := tx.Save(t.Context(), c); err == nil || errors.Is(err, ErrData) {
		t.Errorf("Save of the one that was silent: %v", err)
	}
	equal(t, "contents", read(t, successor), before)
}

// A lock that somebody holds for ever ends the wait, not the data.
func TestLockTimeout(t *testing.T) {
	url := storetest.Postgres(t)
	s := openPostgresAt(t, with(t, url, "lock_timeout", "100"), atStart)
	begin(t, s, nil, 1)
	if _, err := s.Begin(t.Context(), rawTopic, 4, nil, []int64{1}); err == nil || errors.Is(err, ErrData) {
		t.Errorf("Begin at a lock that stays: %v", err)
	}
}

// Workers of many partitions that all hear of the same apps for the first time.
func TestNewAppsMakeNoDeadlock(t *testing.T) {
	s := openPostgresAt(t, storetest.Postgres(t), atStart)
	const workers, rounds, appCount = 6, 15, 20
	for round := range int64(rounds) {
		errs := make(chan error, workers)
		for worker := range int32(workers) {
			go func() {
				var apps []int64
				for _, n := range rand.Perm(appCount) {
					apps = append(apps, round*appCount+int64(n))
				}
				tx, err := s.Begin(t.Context(), rawTopic, worker, nil, apps)
				if err == nil {
					tx.Rollback()
				}
				errs <- err
			}()
		}
		for range workers {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Workers of many partitions, over apps that are in several of them, known and new, with
// dead letters, evictions and retention: nobody waits crosswise, which the server would end
// with an error, and no update is lost.
func TestNoDeadlocks(t *testing.T) {
	s := postgresAt(storetest.Postgres(t)).open(t, Options{Now: atStart, DeadLetterBytes: 2000}).(*postgresStore)
	const workers, rounds, appCount = 6, 40, 12
	var mu sync.Mutex
	told := map[int64]int{}
	errs := make(chan error, workers+1)
	work := func(worker int) error {
		random := rand.New(rand.NewPCG(7, uint64(worker)))
		for round := range rounds {
			var apps []int64
			for _, n := range random.Perm(appCount)[:5] {
				apps = append(apps, int64(n+1+round/8*4)) // new ones come all the time
			}
			tx, err := s.Begin(t.Context(), rawTopic, int32(worker), nil, apps)
			if err != nil {
				return err
			}
			dead := letter(int64(worker*rounds + round))
			dead.FailedAt = start.AddDate(0, 0, -random.IntN(3))
			c := Changes{Periods: map[int64]quota.Period{}, Progress: progressAt(int64(round))}
			c.Progress.Partition = int32(worker)
			c.DeadLetters = append(c.DeadLetters, dead)
			for _, app := range apps {
				p := tx.Periods()[app]
				p.Number++
				p.LastAt = start.UnixMilli()
				c.Periods[app] = p
			}
			if err := tx.Save(t.Context(), c); err != nil {
				return err
			}
			mu.Lock()
			for _, app := range apps {
				told[app]++
			}
			mu.Unlock()
		}
		return nil
	}
	for worker := range workers {
		go func() { errs <- work(worker) }()
	}
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				errs <- nil
				return
			default:
			}
			if _, err := s.Retain(t.Context(), 1, start); err != nil {
				errs <- err
				return
			}
		}
	}()
	for range workers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	close(stop)
	if err := <-errs; err != nil {
		t.Error(err)
	}
	var apps []int64
	for app := range told {
		apps = append(apps, app)
	}
	slices.Sort(apps)
	for app, p := range begin(t, s, nil, apps...).Periods() {
		if p.Number != told[app] {
			t.Errorf("app %d: %d updates, want %d", app, p.Number, told[app])
		}
	}
	var held, sum int64
	err := s.pool.QueryRow(t.Context(), "SELECT (SELECT bytes FROM dead_letter_total), (SELECT coalesce(sum(bytes), 0) FROM dead_letter)").Scan(&held, &sum)
	if err != nil || held != sum {
		t.Errorf("the total says %d bytes, dead letters hold %d, %v", held, sum, err)
	}
	if held > 2000 {
		t.Errorf("dead letters hold %d bytes, more than the bound", held)
	}
}
