package process

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/reload"
)

func TestFindings(t *testing.T) {
	var out bytes.Buffer
	f := NewFindings(&out)
	f.OK("settings")
	f.Note("%d apps", 3)
	f.Warn("two\nlines")
	f.Fail("no %s", "broker")
	f.FailEach(errors.New("a: first\nb: 100 %d"))
	const want = "ok:      settings\nnote:    3 apps\nwarning: two; lines\nerror:   no broker\nerror:   a: first\nerror:   b: 100 %d\n"
	if out.String() != want || f.Errors() != 3 {
		t.Errorf("%d errors\n%s\nwant 3\n%s", f.Errors(), &out, want)
	}
}

func TestFileDetail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "apps.yaml")
	good := reload.Status{Path: path, SHA256: "0123456789abcdef", LoadedAt: time.Date(2026, 11, 25, 15, 0, 0, 0, time.FixedZone("", 3600))}
	warned, bad := good, good
	warned.Warnings.Add(reload.Pos{Line: 1, Column: 2}, "colour: unknown key")
	warned.Warnings.Add(reload.Pos{Line: 3, Column: 4}, "taste: unknown key")
	bad.Err = errors.New("1:2: not YAML\n3:4: nor JSON")
	inUse := path + ", sha256 0123456789ab, read 2026-11-25T14:00:00Z"
	for name, row := range map[string]struct {
		status reload.Status
		facts  []string
		ok     bool
		want   string
	}{
		"no file":    {reload.Status{}, nil, true, "none, the default is in use"},
		"good":       {good, nil, true, inUse},
		"with facts": {good, []string{"2 apps", "1 unsigned"}, true, path + ", 2 apps, 1 unsigned, sha256 0123456789ab, read 2026-11-25T14:00:00Z"},
		"warnings":   {warned, nil, true, inUse + "; warnings: 1:2: colour: unknown key; 3:4: taste: unknown key"},
		"not taken":  {bad, nil, false, inUse + "; the file as it is cannot be used: 1:2: not YAML; 3:4: nor JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			if ok, detail := FileDetail(row.status, row.facts...); ok != row.ok || detail != row.want {
				t.Errorf("%v, %s\nwant %v, %s", ok, detail, row.ok, row.want)
			}
		})
	}
}

func TestIsAddress(t *testing.T) {
	for address, want := range map[string]bool{
		":8080": true, "127.0.0.1:0": true, "[::1]:65535": true, "gw.example:80": true,
		"": false, "8080": false, "host": false, ":": false, ":http": false, ":65536": false, ":-1": false, "::1:80": false,
	} {
		if got := IsAddress(address); got != want {
			t.Errorf("%q: %v, want %v", address, got, want)
		}
	}
}
