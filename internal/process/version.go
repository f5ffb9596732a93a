package process

import (
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// version is set by the linker (see the Makefile); empty: what Go knows of the module.
var version string

// Build says what was built: the module's version, the commit, and Go's version.
type Build struct {
	Version  string // of the release, or of the module, or (devel)
	Revision string // commit, with -dirty where the tree was changed; empty outside a repository
	Go       string
}

// Version returns the version and the commit of this binary in one line, for --version,
// logs and /readyz?verbose.
func Version() string {
	b := build()
	if b.Revision == "" {
		return b.Version
	}
	return b.Version + " (" + b.Revision + ")"
}

// build reads what the linker left in the binary.
var build = sync.OnceValue(func() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Build{Version: "unknown", Go: runtime.Version()}
	}
	return buildOf(info)
})

func buildOf(info *debug.BuildInfo) Build {
	b := Build{Version: info.Main.Version, Go: info.GoVersion}
	if version != "" {
		b.Version = version
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	dirty := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if dirty && b.Revision != "" {
		b.Revision += "-dirty"
	}
	return b
}

func registerBuildInfo(reg prometheus.Registerer) error {
	b := build()
	return reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "tidegate_build_info",
		Help:        "1, labelled with the version, commit and Go version of this binary.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.Go},
	}, func() float64 { return 1 }))
}
