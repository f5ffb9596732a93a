package apps

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/tidegate/tidegate/internal/reload"
	"github.com/tidegate/tidegate/schema"
)

// Options say how the file is read.
type Options struct {
	// ResolveTokens reads the tokens' files and environment variables. Only the gateway
	// does; without it tokens are checked as far as they are written.
	ResolveTokens bool

	// LookupEnv and ReadFile replace os.LookupEnv and the reading of token files; nil: the
	// real ones.
	LookupEnv func(name string) (string, bool)
	ReadFile  func(path string) ([]byte, error)
}

// Parser returns the function that reads apps.yaml. What it returns beside errors has
// nothing but the names of the token files, so that these are watched until they are good.
func Parser(o Options) reload.Parse[*Snapshot] {
	return func(data []byte) (*Snapshot, reload.Problems) { return parse(data, o) }
}

func parse(data []byte, o Options) (*Snapshot, reload.Problems) {
	var f file
	doc, problems := reload.Decode(data, &f)
	if f == (file{}) && problems.Errors() != nil {
		return new(Snapshot), problems // nothing could be read: that apps is missing is no news
	}
	r := newReader(doc, problems, o)
	snapshot := r.snapshot(&f)
	slices.SortStableFunc(r.problems, func(a, b reload.Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return snapshot, r.problems
}

// reader turns the file as it is written into a snapshot and collects what is wrong.
type reader struct {
	doc      *reload.Document
	problems reload.Problems
	reported map[reload.Pos]bool // where the errors in problems stand
	resolve  *resolver
	zones    zones
	first    map[int64]int // sdk_app_id -> index of the app that has it first
	pace     reload.Pace
	badSteps bool // the file's own defaults are wrong: apps need not repeat it
}

func newReader(doc *reload.Document, problems reload.Problems, o Options) *reader {
	r := &reader{
		doc: doc, problems: problems, reported: make(map[reload.Pos]bool),
		resolve: newResolver(o), zones: make(zones), first: make(map[int64]int),
	}
	for _, p := range problems.Errors() {
		r.reported[reload.Pos{Line: p.Line, Column: p.Column}] = true
	}
	return r
}

func (r *reader) snapshot(f *file) *Snapshot {
	s := &Snapshot{defaults: defaults}
	s.defaults.zone = r.zones.mustLoad(defaults.zoneName)
	if f.Defaults != nil {
		s.defaults = r.settings(*f.Defaults, s.defaults, root.key("defaults"))
	}
	if f.Apps == nil {
		r.missing(root, root.key("apps"), `write apps: and one "- sdk_app_id: 1400000001" per app, or apps: []`)
		return s
	}
	s.byID = make(map[int64]*App, len(*f.Apps))
	s.ordered = make([]*App, 0, len(*f.Apps))
	r.first = make(map[int64]int, len(*f.Apps))
	for i := range *f.Apps {
		r.pace.Step()
		app := r.app(&(*f.Apps)[i], i, s.defaults)
		s.byID[app.ID] = app
		s.ordered = append(s.ordered, app)
		if len(app.Tokens) == 0 {
			s.unsigned++
		}
	}
	s.files = r.resolve.files
	s.removed = r.ids(f.Removed, "removed", func(id int64) string {
		if s.Get(id) != nil {
			return "is an app of this file; take it out of one of the two"
		}
		return ""
	})
	s.mayBeUnsigned = r.ids(f.Unsigned, "unsigned", func(id int64) string {
		if app := s.Get(id); app != nil && len(app.Tokens) > 0 {
			return "has tokens; take it out of this list, or its tokens away"
		}
		return ""
	})
	return s
}

// ids reads a list of SdkAppids. wrong says what is wrong with one, if anything.
func (r *reader) ids(list *[]int64, key string, wrong func(id int64) string) map[int64]bool {
	if list == nil {
		return nil
	}
	ids := make(map[int64]bool, len(*list))
	for i, id := range *list {
		ids[id] = true
		r.pace.Step()
		if id < 1 || id > schema.MaxAppID {
			r.wrong(root.key(key).item(i), "want a whole number from 1 to %d", int64(schema.MaxAppID))
		} else if text := wrong(id); text != "" {
			r.wrong(root.key(key).item(i), "%d %s", id, text)
		}
	}
	return ids
}

// app reads one app. A wrong one is returned all the same: its snapshot is not used.
func (r *reader) app(a *fileApp, i int, d settings) *App {
	at := root.key("apps").item(i)
	s := r.settings(a.settings(), d, at)
	app := &App{
		Owner: a.Owner, Tier: a.Tier, Zone: s.zone, ZoneName: s.zoneName,
		Steps: s.steps, RateLimit: s.rate, AlarmRateLimit: s.alarmRate, Registered: true,
	}
	app.ID = r.id(a.ID, i, at)
	app.Name = r.name(a.Name, at)
	if a.Site != nil {
		app.Site = *a.Site
		if app.Site != "cn" && app.Site != "intl" {
			r.wrong(at.key("site"), "want cn or intl")
		}
	}
	if len(a.Tokens) > 0 {
		app.Tokens = make([]Token, 0, len(a.Tokens))
	}
	for j, text := range a.Tokens {
		token, err := r.resolve.token(text)
		if err != nil {
			r.wrong(at.key("tokens").item(j), "%v", err)
		}
		if slices.Index(a.Tokens, text) < j {
			r.wrong(at.key("tokens").item(j), "the same token stands twice; keep one")
		}
		app.Tokens = append(app.Tokens, token)
	}
	return app
}

func (r *reader) id(id *int64, index int, app path) int64 {
	at := app.key("sdk_app_id")
	if id == nil {
		r.missing(app, at, "write the app's SDKAppID, such as sdk_app_id: 1400000001")
		return 0
	}
	if *id < 1 || *id > schema.MaxAppID {
		r.wrong(at, "want a whole number from 1 to %d", int64(schema.MaxAppID))
	} else if first, twice := r.first[*id]; twice {
		line := r.doc.At("apps", first, "sdk_app_id").Line
		r.wrong(at, "%d stands twice, first in line %d; every app has one entry", *id, line)
	} else {
		r.first[*id] = index
	}
	return *id
}

func (r *reader) name(name *string, app path) string {
	at := app.key("name")
	switch {
	case name == nil:
		r.missing(app, at, "write what people call the app, such as name: Harbor Chat")
		return ""
	case strings.TrimSpace(*name) == "":
		r.wrong(at, "is empty; write what people call the app")
	case strings.ContainsFunc(*name, unicode.IsControl):
		r.wrong(at, "has a control character or a line break; write one line")
	}
	return *name
}

// wrong reports the value at path, unless something about it was reported already.
func (r *reader) wrong(value path, format string, args ...any) {
	if at := r.doc.At(value.steps()...); !r.reported[at] {
		r.reported[at] = true
		r.problems.Add(at, "%s: %s", value, fmt.Sprintf(format, args...))
	}
}

// missing reports a key that parent lacks, unless it is there without a value, or the
// parent is no mapping, which was reported already.
func (r *reader) missing(parent, key path, what string) {
	at := r.doc.At(parent.steps()...)
	if r.reported[at] || r.reported[r.doc.At(key.steps()...)] {
		return
	}
	r.problems.Add(at, "%s is missing; %s", key, what)
}
