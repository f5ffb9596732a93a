package apps

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/internal/reload"
)

// Recently is for how long after its last callback an app counts as one that sends.
const Recently = time.Hour

// guardedApps bounds the apps that one problem names.
const guardedApps = 20

// Guard returns what holds a reload of the apps file back that looks like a slip; see the
// package's documentation. sent says whether an app sent within Recently, as far as this process
// knows; it is asked about apps that are gone only. nil: who asks sees no callbacks, and tokens are
// not its business. Then only the tenth holds.
func Guard(sent func(id int64) bool) reload.Guard[*Snapshot] {
	return func(prev, next *Snapshot) (problems reload.Problems) {
		checkRemoved(&problems, prev, next, sent)
		if sent != nil {
			checkUnsigned(&problems, prev, next)
		}
		return problems
	}
}

// checkRemoved adds a problem when apps are gone that may not go without being named.
func checkRemoved(problems *reload.Problems, prev, next *Snapshot, sent func(int64) bool) {
	var gone, unnamed, sending []*App
	var pace reload.Pace
	for app := range prev.All() {
		pace.Step()
		if next.Get(app.ID) != nil {
			continue
		}
		gone = append(gone, app)
		if next.removed[app.ID] {
			continue
		}
		unnamed = append(unnamed, app)
		if sent != nil && sent(app.ID) {
			sending = append(sending, app)
		}
	}
	const key = "removed"
	switch {
	case len(gone)*10 > prev.Len() && len(unnamed) > 0:
		refuse(problems, unnamed, key, fmt.Sprintf("%d of %d apps are gone, more than a tenth, and these are not under %s", len(gone), prev.Len(), key))
	case len(sending) > 0:
		refuse(problems, sending, key, "these apps sent within the last hour, are gone, and are not under "+key)
	}
}

// checkUnsigned adds a problem when apps have lost their last token and are not named.
func checkUnsigned(problems *reload.Problems, prev, next *Snapshot) {
	var opened []*App
	var pace reload.Pace
	for app := range prev.All() {
		pace.Step()
		if now := next.Get(app.ID); now != nil && len(app.Tokens) > 0 && len(now.Tokens) == 0 && !next.mayBeUnsigned[app.ID] {
			opened = append(opened, app)
		}
	}
	if len(opened) > 0 {
		refuse(problems, opened, "unsigned", "these apps have no token any more, so that anyone could send in their name, and are not under unsigned")
	}
}

// refuse adds the problem about list: which apps, and what to write.
func refuse(problems *reload.Problems, list []*App, key, what string) {
	var names, ids []string
	for _, app := range list[:min(len(list), guardedApps)] {
		id := strconv.FormatInt(app.ID, 10)
		names, ids = append(names, id+" ("+app.Name+")"), append(ids, id)
	}
	more := ""
	if n := len(list) - guardedApps; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
		ids = append(ids, "...")
	}
	problems.Add(reload.Pos{}, "%s: %s%s; if that is meant, add %s: [%s]", what, strings.Join(names, ", "), more, key, strings.Join(ids, ", "))
}
