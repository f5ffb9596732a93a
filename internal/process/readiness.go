package process

import (
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Readiness collects what says whether this process can do its work. The zero value is not
// ready: a process with no required check yet is starting. It may be used from any
// goroutine.
type Readiness struct {
	mu       sync.Mutex // guards all below; not held while checks run
	checks   []check
	draining bool
}

type check struct {
	name     string
	required bool
	ask      func() (ok bool, detail string)
}

// Add adds a check. A required one makes the process not ready while it is not ok; others
// are shown by /readyz?verbose only. ask must be quick, must not call the Readiness, and is
// called from many goroutines at once; detail is one line, for a person.
func (r *Readiness) Add(name string, required bool, ask func() (ok bool, detail string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checks = append(r.checks, check{name, required, ask})
}

// Draining says whether the process is about to stop: it is not ready then, so that load
// balancers take it out before its listener closes.
func (r *Readiness) Draining(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining = on
}

// Ready says whether all required checks are ok, and if not, why.
func (r *Readiness) Ready() (ok bool, why string) { return r.report(io.Discard) }

// register registers what /readyz answers as a metric, as rules cannot ask pages.
func (r *Readiness) register(reg prometheus.Registerer) error {
	return reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tidegate_ready",
		Help: "1 while /readyz answers 200, 0 while it answers 503: also while the process starts or stops.",
	}, func() float64 {
		if ok, _ := r.Ready(); ok {
			return 1
		}
		return 0
	}))
}

// report writes every check to w, in the order in which they were added.
func (r *Readiness) report(w io.Writer) (ok bool, why string) {
	r.mu.Lock()
	checks, draining := r.checks[:len(r.checks):len(r.checks)], r.draining
	r.mu.Unlock()
	required, failing := 0, ""
	for _, c := range checks {
		good, detail := c.ask()
		mark, note := "+", ""
		if !good {
			mark = "-"
		}
		if !c.required {
			note = " (not required)"
		} else if required++; !good && failing == "" {
			failing = c.name + ": " + detail
		}
		fmt.Fprintf(w, "[%s] %s%s: %s\n", mark, c.name, note, detail)
	}
	switch {
	case draining:
		return false, "draining"
	case required == 0:
		return false, "starting"
	}
	return failing == "", failing
}

// ServeHTTP answers 200 "ready" or 503 "not ready: why", and with the query parameter
// verbose every check before it.
func (r *Readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	var detail lines
	ok, why := r.report(&detail)
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if req.URL.Query().Has("verbose") {
		_, _ = w.Write(detail)
	}
	if ok {
		fmt.Fprintln(w, "ready")
		return
	}
	fmt.Fprintln(w, "not ready: "+why)
}

type lines []byte

// Write appends data.
func (l *lines) Write(data []byte) (int, error) {
	*l = append(*l, data...)
	return len(data), nil
}
