package receive

import (
	"context"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/gateway/internal/quarantine"
)

// BenchmarkWireRefused is what a callback costs in CPU, client and all, over 64 loopback
// connections: accepted at disk, and refused for its Sign, with and without a quarantine.
func BenchmarkWireRefused(b *testing.B) {
	forged := []byte(post(target(signedApp, alarm)+"&RequestTime="+vectorRequestTime+"&Sign="+sign("guess", vectorRequestTime), alarmBody))
	for _, row := range []struct {
		name string
		raw  []byte
		keep bool
	}{
		{"accepted", []byte(post(signed(alarm), alarmBody)), true},
		{"refused", forged, false},
		{"quarantined", forged, true},
	} {
		b.Run(row.name, func(b *testing.B) {
			j := openJournal(b, b.TempDir(), journal.Options{MaxBytes: 4 << 30})
			b.Cleanup(func() { closeJournal(b, j) })
			store, err := quarantine.Open(quarantine.Options{Dir: b.TempDir(), MaxBytes: 256 << 20})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- store.Run(ctx) }()
			g := newServing(b, func(o *Options) {
				unlimited(b)(o)
				o.Journal, o.Now = j, nil
				if row.keep {
					o.Quarantine = func(r *Refused) {
						store.Offer(&quarantine.Callback{ReceivedAt: r.At, Reason: quarantine.SignWrong, Source: r.Source, AppID: r.AppID, Command: r.Command, Query: r.Query, Body: r.Body})
					}
				}
			})
			var left atomic.Int64
			left.Store(int64(b.N))
			ended := make(chan error, 64)
			b.ReportAllocs()
			b.ResetTimer()
			before := processTime()
			for range cap(ended) {
				go func() { ended <- sendAll(g.addr, row.raw, &left, 0) }()
			}
			for range cap(ended) {
				if err := <-ended; err != nil {
					b.Error(err)
				}
			}
			cancel()
			<-done
			b.ReportMetric(float64(processTime()-before)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(store.Stats().Entries)/float64(b.N), "kept/op")
			_ = store.Close()
		})
	}
}

func processTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
