package main

import (
	"fmt"
	"net/http"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"time"
)

// longestProfile bounds how long one request may have the gateway profiled.
const longestProfile = 5 * time.Minute

// handleProfiles adds the profiles under /debug/pprof/, in the forms that `go tool pprof` and
// `go tool trace` read. It is not net/http/pprof, which adds them to http.DefaultServeMux too.
func handleProfiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "profile?seconds=30\ntrace?seconds=1")
		for _, p := range pprof.Profiles() {
			fmt.Fprintf(w, "%s?debug=1 (%d)\n", p.Name(), p.Count())
		}
	})
	mux.HandleFunc("GET /debug/pprof/profile", func(w http.ResponseWriter, r *http.Request) {
		record(w, r, 30*time.Second, func() error { return pprof.StartCPUProfile(w) }, pprof.StopCPUProfile)
	})
	mux.HandleFunc("GET /debug/pprof/trace", func(w http.ResponseWriter, r *http.Request) {
		record(w, r, time.Second, func() error { return trace.Start(w) }, trace.Stop)
	})
	mux.HandleFunc("GET /debug/pprof/{name}", func(w http.ResponseWriter, r *http.Request) {
		p := pprof.Lookup(r.PathValue("name"))
		if p == nil {
			http.Error(w, "unknown profile; /debug/pprof/ lists them", http.StatusNotFound)
			return
		}
		debug, _ := strconv.Atoi(r.URL.Query().Get("debug")) // 0: for the tool
		_ = p.WriteTo(w, debug)                              // whoever asked is gone
	})
}

// record lets a recording run for as long as the request says, at most longestProfile, or until
// it ends. One runs at a time.
func record(w http.ResponseWriter, r *http.Request, usual time.Duration, start func() error, stop func()) {
	wanted := usual
	if s := r.URL.Query().Get("seconds"); s != "" {
		seconds, err := strconv.ParseFloat(s, 64)
		if err != nil || seconds <= 0 || seconds > longestProfile.Seconds() {
			http.Error(w, fmt.Sprintf("seconds: want more than 0 and at most %v", longestProfile.Seconds()), http.StatusBadRequest)
			return
		}
		wanted = time.Duration(seconds * float64(time.Second))
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := start(); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	defer stop()
	select {
	case <-time.After(wanted):
	case <-r.Context().Done():
	}
}
