//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tidegate/tidegate/benchmarks/drive"
)

const (
	variantLoris = "beside slow connections"

	lorisRate  = 1000 // honest callbacks a second
	lorisConns = 64   // of the honest
	dripPause  = 3 * time.Second
	lorisBatch = 256 // connections that are begun before the accept queue is given time
)

// loris has honest callbacks come on schedule, alone and beside connections that send a header
// byte by byte, and come back when the gateway has had enough of them.
func (b *bench) loris(ctx context.Context) (err error) {
	if err := raiseFiles(b.Slow + 1024); err != nil {
		return err
	}
	g, err := b.start(ctx, appsFile(honestApps, 0), fmt.Sprintf("--max-connections=%d", b.Slow+4096))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.kill()) }()
	for round := range b.Rounds {
		for _, variant := range []string{variantAlone, variantLoris} {
			if err := b.lorisTurn(ctx, g, round, variant); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) lorisTurn(ctx context.Context, g *gateway, round int, variant string) error {
	f := flow{server: g.listen, source: honestSource, requests: honest(honestApps, time.Now()), conns: lorisConns, rate: lorisRate}
	s := sample{Part: partLoris, Variant: variant, Round: round}
	if variant == variantAlone {
		return b.turn(ctx, g, s, f, b.Turn, nil)
	}
	d, err := openDrip(ctx, g.listen, b.Slow)
	if err != nil {
		return err
	}
	defer d.close()
	resident := int64(0)
	look := func(ctx context.Context, counted drive.Span) (err error) { // while they are held
		if err := wait(ctx, counted.To); err != nil {
			return err
		}
		resident, err = g.resident()
		return err
	}
	note := func(s *sample) error {
		s.Held, s.Resident = d.least, resident
		if float64(d.least) < wanted*float64(b.Slow) {
			b.wrong = append(b.wrong, fmt.Errorf("slow-loris in round %d: %d slow connections were held, %d were to be", round+1, d.least, b.Slow))
		}
		return nil
	}
	return b.turn(ctx, g, s, f, b.Turn, note, d.run, look)
}

// drip holds connections that send one byte every dripPause each. It is for one goroutine.
type drip struct {
	server  netip.AddrPort
	watched *drive.Poll
	slow    []slow
	index   map[int32]int // of slow, by descriptor
	begin   time.Time
	sent    int64 // bytes of all
	least   int   // that were held at a time in the counted span
	open    int   // that are held
	scratch []byte
}

// slow is one of them.
type slow struct {
	fd   int
	at   int  // byte of dripRequest that comes next
	held bool // connected
}

// dripRequest never ends: its last header goes on for longer than any connection lives.
var dripRequest = []byte("POST " + callbackPath + "?SdkAppid=1400000001 HTTP/1.1\r\nHost: edge.test\r\nX-Slow: ")

// openDrip connects n and returns when all are there.
func openDrip(ctx context.Context, server netip.AddrPort, n int) (*drip, error) {
	watched, err := drive.NewPoll()
	if err != nil {
		return nil, fmt.Errorf("slow-loris: %w", err)
	}
	d := &drip{server: server, watched: watched, slow: make([]slow, n), index: map[int32]int{}, scratch: make([]byte, 4096)}
	for i := range d.slow {
		if err := d.connect(i); err != nil {
			d.close()
			return nil, err
		}
		for (i+1)%lorisBatch == 0 && d.open < i+1 || i+1 == n && d.open < n {
			if err := errors.Join(ctx.Err(), d.poll()); err != nil {
				d.close()
				return nil, err
			}
		}
	}
	return d, nil
}

func (d *drip) connect(i int) error {
	fd, err := connectFrom(hostileSource, d.server)
	if err != nil {
		return err
	}
	d.slow[i] = slow{fd: fd}
	d.index[int32(fd)] = i //nolint:gosec // a descriptor
	return d.watched.Watch(fd, edges)
}

// run sends what is due, and comes back where the gateway has closed, until the span is over.
func (d *drip) run(ctx context.Context, s drive.Span) error {
	d.begin, d.least = time.Now(), len(d.slow)
	for now := d.begin; now.Before(s.To); now = time.Now() {
		if err := errors.Join(ctx.Err(), d.poll()); err != nil {
			return err
		}
		for due := dripDue(now.Sub(d.begin), len(d.slow), dripPause); d.sent < due; d.sent++ {
			d.send(&d.slow[d.sent%int64(len(d.slow))])
		}
		if s.Has(now) {
			d.least = min(d.least, d.open)
		}
	}
	return nil
}

// dripDue is how many bytes are due after elapsed, when each of conns connections gets one byte every
// pause and the connections take turns, so that they do not all send at once.
func dripDue(elapsed time.Duration, conns int, pause time.Duration) int64 {
	return int64(float64(elapsed) / float64(pause) * float64(conns))
}

// send sends the next byte. What goes wrong shows as an event.
func (d *drip) send(k *slow) {
	if k.held {
		at := min(k.at, len(dripRequest)-1)
		_, _ = unix.Write(k.fd, dripRequest[at:at+1])
		k.at++
	}
}

// poll takes notice of what happened, and waits for it for 10 ms at most.
func (d *drip) poll() error {
	events, _, err := d.watched.Wait(time.Now().Add(10 * time.Millisecond))
	if err != nil {
		return fmt.Errorf("slow-loris: %w", err)
	}
	for _, event := range events {
		i, ok := d.index[event.Fd]
		if !ok {
			continue
		}
		k := &d.slow[i]
		if event.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			if k.held {
				d.open--
			}
			delete(d.index, event.Fd)
			unix.Close(k.fd)
			if err := d.connect(i); err != nil {
				return err
			}
			continue
		}
		if event.Events&unix.EPOLLIN != 0 {
			_, _ = unix.Read(k.fd, d.scratch) // a refusal: the end comes behind it
		}
		if event.Events&unix.EPOLLOUT != 0 && !k.held {
			k.held = true
			d.open++
		}
	}
	return nil
}

func (d *drip) close() {
	for fd := range d.index {
		unix.Close(int(fd))
	}
	d.watched.Close()
}

// slowMemory is what one slow connection takes, in KiB, when they come for the first time:
// later ones find memory that the gateway has kept.
func slowMemory(all []sample) []float64 {
	alone, beside := of(all, partLoris, variantAlone), of(all, partLoris, variantLoris)
	if len(alone) == 0 || len(beside) == 0 || beside[0].Held == 0 {
		return nil
	}
	return []float64{float64(beside[0].Resident-alone[0].Resident) / float64(beside[0].Held) / 1024}
}

func lorisFigures(all []sample) []figure {
	return append(honestFigures(all, partLoris, variantLoris, variantAlone, 1.5),
		figure{partLoris, "slow connections held, the least at a time", bound{}, "%.0f", each(all, partLoris, variantLoris, held)},
		figure{partLoris, "resident memory beside them, MiB", bound{}, "%.0f", each(all, partLoris, variantLoris, mib)},
		figure{partLoris, "resident memory for each of them at their first coming, KiB", bound{}, "%.1f", slowMemory(all)},
		figure{partLoris, "resident memory without them, MiB", bound{}, "%.0f", each(all, partLoris, variantAlone, mib)})
}
