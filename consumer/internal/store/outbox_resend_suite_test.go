package store

import (
	"slices"
	"time"
)

func testResend(b *outboxBench) {
	b.told("1 watch, 2 watch, 3 watch, 4 watch", "x")
	due, _ := b.claim("x", "a")
	const gone = "HTTP 410"
	later := b.now.Add(time.Minute)
	for range 3 {
		b.settle("x", 0, Settlement{State: DispatchPending, NextAt: b.now, Error: "HTTP 503"})
	}
	all := []Settlement{
		{ID: due[0].ID, State: DispatchParked, Error: gone}, {ID: due[1].ID, State: DispatchParked, Error: gone},
		{ID: due[2].ID, State: DispatchSent}, {ID: due[3].ID, State: DispatchPending, NextAt: later, Error: "HTTP 503"},
	}
	if err := b.Settle(b.Context(), all, b.now); err != nil {
		b.Fatal(err)
	}
	b.now = b.now.Add(30 * time.Second)
	b.resend(0)
	b.resend(0, 999)
	b.resend(1, due[0].ID, due[2].ID, due[3].ID)
	b.want("due", b.due("x"), "1 watch")
	again, _ := b.claim("x", "a")
	if d := again[0]; d.Attempts != 0 || d.Error != gone || !d.NextAt.Equal(b.now) || !d.ChangedAt.Equal(b.now) || !d.CreatedAt.Equal(start) {
		b.Errorf("dispatch: %+v", d)
	}
	b.settle("x", 0, Settlement{State: DispatchSent})
	b.resend(0, due[0].ID)
	b.want("after it was sent", b.due("x"), "")
	b.resend(1, due[1].ID)
	b.want("the other", b.due("x"), "2 watch")
}

// resend sends again, and wants that it concerns so many.
func (b *outboxBench) resend(want int, ids ...int64) {
	b.Helper()
	if n, err := b.Resend(b.Context(), ids, b.now); n != want || err != nil {
		b.Errorf("Resend of %v: %d, %v, want %d", ids, n, err, want)
	}
}

func testResendTwice(b *outboxBench) {
	b.told("1 watch, 2 watch, 3 watch", "x")
	due, _ := b.claim("x", "a")
	var all []Settlement
	var ids []int64
	for _, d := range due {
		all, ids = append(all, Settlement{ID: d.ID, State: DispatchParked}), append(ids, d.ID)
	}
	if err := b.Settle(b.Context(), all, b.now); err != nil {
		b.Fatal(err)
	}
	const people = 4
	counts := make(chan int, people)
	for person := range people {
		go func() {
			given := slices.Clone(ids)
			if person%2 == 1 {
				slices.Reverse(given)
			}
			n, err := b.Resend(b.Context(), given, b.now)
			if err != nil {
				b.Error(err)
			}
			counts <- n
		}()
	}
	sum := 0
	for range people {
		sum += <-counts
	}
	if sum != len(ids) {
		b.Errorf("%d were sent again, want %d", sum, len(ids))
	}
}
