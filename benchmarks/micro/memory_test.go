//go:build linux

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"testing"
)

const statusText = "Name:\tgateway\nVmHWM:\t   45056 kB\nVmRSS:\t   40960 kB\nRssAnon:\t   30720 kB\nRssFile:\t   10240 kB\nRssShmem:\t       0 kB\n"

func TestParseStatus(t *testing.T) {
	got, err := parseStatus(statusText)
	if want := (sample{RSSKiB: 40960, AnonKiB: 30720, FileKiB: 10240, PeakKiB: 45056}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, name := range []string{"VmHWM", "VmRSS", "RssAnon", "RssFile"} {
		if _, err := parseStatus(strings.Replace(statusText, name+":", "Was"+name+":", 1)); err == nil {
			t.Errorf("a status without %s was read", name)
		}
	}
	if _, err := parseStatus(strings.Replace(statusText, "40960", "much", 1)); err == nil {
		t.Error("a value that is no number was read")
	}
}

func TestLookAtThisProcess(t *testing.T) {
	s, err := look(os.Getpid(), t.TempDir())
	if err != nil || s.RSSKiB < 1024 || s.PeakKiB < s.RSSKiB || s.JournalMB != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func line(perSecond float64) (samples []sample) {
	for i := range 100 {
		samples = append(samples, sample{Seconds: float64(i), RSSKiB: int64(1024 * (40 + perSecond*float64(i))), PeakKiB: 60 << 10, AnonKiB: 20 << 10, FileKiB: 10 << 10})
	}
	return samples
}

func TestSlope(t *testing.T) {
	for _, want := range []float64{0, 0.5, -0.25} {
		if got := slope(line(want)); math.Abs(got-want) > 0.001 {
			t.Errorf("slope %v, want %v", got, want)
		}
	}
	if got := slope(line(1)[:1]); got != 0 {
		t.Errorf("slope of one sample %v", got)
	}
}

func TestDocumentSaysPeakAndGrowth(t *testing.T) {
	text := memoryCommand{Rate: 5000, Name: "memory"}.document(line(0.5), load{Requests: 10, OK: 9})
	for _, want := range []string{"at most 60.0 MiB", "+1800.00 MiB an hour", "9 of 10 answered 200", "| 1m39s |"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func TestLineIsWellFormed(t *testing.T) {
	d := xml.NewDecoder(strings.NewReader(drawLine(line(0.5))))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
