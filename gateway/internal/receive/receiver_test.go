package receive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tidegate/tidegate/gateway/internal/journal"
	"github.com/tidegate/tidegate/internal/apps"
	"github.com/tidegate/tidegate/internal/reload"
)

// write replaces a file's text.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reloadNow reloads a file and fails the test unless that gave a new value.
func reloadNow[T any](t *testing.T, f *reload.File[T]) {
	t.Helper()
	if changed, err := f.Reload(); err != nil || !changed {
		t.Fatalf("reload: changed %v, %v", changed, err)
	}
}

// TestFilesAreReloaded changes both files on disk under a running Receiver: a token is
// rotated, an app comes and goes, a command gets another topic; a broken file changes
// nothing.
func TestFilesAreReloaded(t *testing.T) {
	dir := t.TempDir()
	appsPath, routesPath := filepath.Join(dir, "apps.yaml"), filepath.Join(dir, "routes.yaml")
	write(t, appsPath, testApps)
	write(t, routesPath, testRoutes)
	appsFile, err := reload.Open("apps", appsPath, apps.Parser(apps.Options{ResolveTokens: true}), reload.Options{})
	if err != nil {
		t.Fatal(err)
	}
	routesFile, err := reload.Open("routes", routesPath, ParseRoutes(RouteOptions{Ack: journal.Disk}), reload.Options{})
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.InfoLevel)
	g := newServing(t, func(o *Options) { o.Apps, o.Routes, o.Log = appsFile, routesFile, zap.New(core) })
	byOld := post(signed(alarm), "{}")
	byNew := post(target(signedApp, alarm)+"&RequestTime="+vectorRequestTime+"&Sign="+sign("rotated", vectorRequestTime), "{}")
	g.exchange(t, byOld).wantOK(t)
	g.exchange(t, byNew).wantRefusal(t, refusedSignWrong)

	write(t, appsPath, strings.Replace(testApps, `"plain:xxxxyyyy"`, `"plain:rotated", "plain:xxxxyyyy"`, 1))
	reloadNow(t, appsFile)
	g.exchange(t, byOld).wantOK(t)
	g.exchange(t, byNew).wantOK(t)

	write(t, appsPath, "apps: [")
	if _, err := appsFile.Reload(); err == nil {
		t.Fatal("a broken file was taken")
	}
	g.exchange(t, byOld).wantOK(t)

	write(t, appsPath, strings.Replace(testApps, "plain:xxxxyyyy", "plain:rotated", 1)+"  - {sdk_app_id: 1499999999, name: New}\n")
	reloadNow(t, appsFile)
	g.exchange(t, byOld).wantRefusal(t, refusedSignWrong)
	g.exchange(t, post(target(unknownApp, alarm), "{}")).wantOK(t)

	before := len(g.journal.entries(t))
	write(t, routesPath, "routes: [{command: Profile.*, topic: profiles, ack: memory}]")
	reloadNow(t, routesFile)
	g.exchange(t, post(target(unsignedApp, "Profile.CallbackX"), "{}")).wantOK(t)
	g.exchange(t, post(target(unsignedApp, otherCommand), "{}")).wantOK(t) // dropped now
	list := g.journal.entries(t)
	if len(list) != before+1 || string(list[before].Topic) != "profiles" {
		t.Errorf("%d entries more, want one, to profiles", len(list)-before)
	}
	lines := logs.FilterMessageSnippet("routes in use").All()
	if len(lines) != 2 || !strings.Contains(lines[1].ContextMap()["routes"].([]any)[0].(string), "Profile.*") {
		t.Errorf("the log says %v of the routes", lines)
	}
}

// TestDefaults: the zero value of each limit is its default.
func TestDefaults(t *testing.T) {
	g := newGate(t, nil)
	if g.window != DefaultRequestTimeWindow || g.inFlight.limit != DefaultMaxInFlight ||
		g.maxConnections != DefaultMaxConnections || g.server.MaxRequestBodySize != DefaultMaxBodyBytes ||
		g.server.ReadBufferSize != DefaultMaxHeaderBytes ||
		g.timeouts != (timeouts{DefaultReadTimeout, DefaultIdleTimeout, DefaultWriteTimeout}) {
		t.Error("a default is not in use")
	}
	if g.server.StreamRequestBody {
		t.Error("bodies must not be streamed")
	}
}
