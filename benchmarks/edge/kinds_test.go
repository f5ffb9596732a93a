//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEveryKindHasABaseline(t *testing.T) {
	for i, k := range kinds {
		if k.base != "" && !slices.ContainsFunc(kinds[:i], func(b kind) bool { return b.name == k.base && b.base == "" && b.reason == "" }) {
			t.Errorf("%s: no baseline %q before it", k.name, k.base)
		}
		if slices.ContainsFunc(kinds[:i], func(other kind) bool { return other.name == k.name }) {
			t.Errorf("%s is there twice", k.name)
		}
		if _, listed := notCausable[k.reason]; listed {
			t.Errorf("%s is measured and listed as not causable", k.reason)
		}
	}
}

func TestAReasonThatNobodyKnowsFails(t *testing.T) {
	if err := unknownReasons([]string{"none", "path", "timeout"}, kinds); err != nil {
		t.Errorf("known ones: %v", err)
	}
	if err := unknownReasons([]string{"path", "moon_phase"}, kinds); !errors.Is(err, errUnknownReason) || !strings.Contains(err.Error(), "moon_phase") {
		t.Errorf("an unknown one: %v", err)
	}
}

func TestShareIsOfWhatCameBetween(t *testing.T) {
	before := map[string]float64{"none": 1000, "rate": 5}
	if of, most := share(before, map[string]float64{"none": 1001, "rate": 14}, "rate"); of != 0.9 || most != "rate" {
		t.Errorf("share %v, most %s", of, most)
	}
	if of, most := share(before, before, "rate"); of != 0 || most != "nothing" {
		t.Errorf("of nothing: %v, %s", of, most)
	}
}

func TestOnlyWhatAKindIsAboutIsWrongInIt(t *testing.T) {
	now := time.Unix(1700000000, 0)
	read := func(raw []byte) *http.Request {
		t.Helper()
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	good := read(right(firstApp, now).write()).URL.Query()
	bad := read(forged(firstApp, now).write()).URL.Query()
	if good.Get("Sign") == bad.Get("Sign") || len(bad.Get("Sign")) != len(good.Get("Sign")) {
		t.Errorf("signs %q and %q", good.Get("Sign"), bad.Get("Sign"))
	}
	bad.Set("Sign", good.Get("Sign"))
	if good.Encode() != bad.Encode() {
		t.Errorf("a forged one is otherwise %q, a right one %q", bad.Encode(), good.Encode())
	}
	if n := read(callback{length: 99, body: "x"}.write()).ContentLength; n != 99 {
		t.Errorf("announced %d", n)
	}
}

func TestVersionsOfTheAppsFileDiffer(t *testing.T) {
	one, other := appsFile(50, 1), appsFile(50, 2)
	if bytes.Equal(one, other) || !bytes.Equal(one, appsFile(50, 1)) {
		t.Error("the file does not depend on its version alone")
	}
	if n := bytes.Count(one, []byte("sdk_app_id")); n != 52 {
		t.Errorf("%d apps", n)
	}
}
