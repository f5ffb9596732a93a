package stack

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The test binary plays the children: started under the name gateway or consumer it is a
// program with an admin listener that notes its start and its end in a journal of events.
func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); name == "gateway" || name == "consumer" {
		os.Exit(play(name, os.Args[1:]))
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // of the fakes, which would wait for a second
	os.Exit(m.Run())
}

// flagValue returns the value of --name=value in args.
func flagValue(args []string, name string) string {
	value := ""
	for _, arg := range args {
		if v, found := strings.CutPrefix(arg, "--"+name+"="); found {
			value = v
		}
	}
	return value
}

func play(name string, args []string) int {
	note := func(what string) {
		file, err := os.OpenFile(flagValue(args, "events"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			fmt.Fprintln(file, name, what)
			file.Close()
		}
	}
	if flagValue(args, "die") == "at-start" {
		return 3
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ready := http.StatusOK
	if flagValue(args, "ready") == "never" {
		ready = http.StatusServiceUnavailable
	}
	http.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(ready) })
	http.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(7) })
	http.HandleFunc("/settings", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, os.Getenv("TIDEGATE_GATEWAY_ACK"), os.Getenv("TIDEGATE_OTHER"))
	})
	go http.ListenAndServe(flagValue(args, "admin-listen"), nil) // the test sees it as not ready
	note("started")
	fmt.Println("one line")
	fmt.Print("and ")
	fmt.Fprintln(os.Stdout, "another")
	<-ctx.Done()
	if flagValue(args, "die") == "never" {
		select {}
	}
	note("stopped")
	return 0
}

// fakeBin returns a folder with the two fakes in it.
func fakeBin(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, name := range []string{"gateway", "consumer"} {
		if err := os.Symlink(self, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}
