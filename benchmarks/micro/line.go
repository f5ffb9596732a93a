//go:build linux

package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tidegate/tidegate/benchmarks/rounds"
)

// write writes the samples as JSON lines, the table as Markdown and the line as SVG.
func (c memoryCommand) write(samples []sample, sent load) error {
	raw, err := rounds.Raw(samples)
	if err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	files := map[string]string{c.Name + ".jsonl": string(raw), c.Name + ".svg": drawLine(samples), c.Name + ".md": c.document(samples, sent)}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(c.Out, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("memory: %w", err)
		}
	}
	fmt.Println(c.document(samples, sent))
	return nil
}

// document is the table of ten equal parts of the time, and how steep the line is over all but
// the first two of them, in which batches, stacks and the ring of recent batches reach their size.
func (c memoryCommand) document(samples []sample, sent load) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s. bin/gateway under bin/load, %d quota alarms a second acknowledged from the disk, Kafka away, %d samples. The floor is 128 MiB, the goal 64 MiB and a flat line.\n\n    benchmarks/micro %s\n\n",
		c.Name, machine(), c.Rate, len(samples), strings.Join(os.Args[1:], " "))
	fmt.Fprintf(&b, "![Resident memory over time](%s.svg)\n\n", c.Name)
	peak := slices.MaxFunc(samples, func(a, b sample) int { return int(a.PeakKiB - b.PeakKiB) }).PeakKiB
	steady := samples[len(samples)/5:]
	fmt.Fprintf(&b, "Resident at most %.1f MiB, %.1f MiB in the middle of the time; it grows by %+.2f MiB an hour (least squares, without the first fifth). %d of %d answered 200, %.0f a second, p50 %.2f ms, p99 %.2f ms.\n\n",
		mib(peak), medianMiB(steady), slope(steady)*3600, sent.OK, sent.Requests, sent.PerSecond, sent.Latency.P50, sent.Latency.P99)
	b.WriteString("| until | RSS MiB, median | of that heap and stacks | the binary | journal MB |\n|---|---|---|---|---|\n")
	const partsOfTime = 10
	for i := range partsOfTime {
		part := samples[len(samples)*i/partsOfTime : len(samples)*(i+1)/partsOfTime]
		if len(part) == 0 {
			continue
		}
		last := part[len(part)-1]
		fmt.Fprintf(&b, "| %s | %.1f | %.1f | %.1f | %.0f |\n", time.Duration(last.Seconds*float64(time.Second)).Round(time.Second),
			medianMiB(part), mib(last.AnonKiB), mib(last.FileKiB), last.JournalMB)
	}
	return b.String()
}

func mib(kib int64) float64 { return float64(kib) / 1024 }

func medianMiB(samples []sample) float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, mib(s.RSSKiB))
	}
	return rounds.Median(values)
}

// slope is that of the line nearest to the samples, in MiB a second; 0 for a single one.
func slope(samples []sample) float64 {
	n := float64(len(samples))
	var x, y, xx, xy float64
	for _, s := range samples {
		v := mib(s.RSSKiB)
		x, y, xx, xy = x+s.Seconds, y+v, xx+s.Seconds*s.Seconds, xy+s.Seconds*v
	}
	if d := n*xx - x*x; d > 0 {
		return (n*xy - x*y) / d
	}
	return 0
}

// Where things are in the picture, in pixels.
const (
	lineWidth, lineHeight = 720, 300
	lineLeft, lineRight   = 56, lineWidth - 16
	lineTop, lineBottom   = 24, lineHeight - 40
)

// drawLine draws resident memory over time from zero up, with the goal of 64 MiB.
func drawLine(samples []sample) string {
	const goal = 64
	highest := float64(goal)
	for _, s := range samples {
		highest = max(highest, mib(s.RSSKiB))
	}
	highest = math.Ceil(highest/16)*16 + 16
	span := max(samples[len(samples)-1].Seconds, 1)
	x := func(seconds float64) float64 { return lineLeft + seconds/span*(lineRight-lineLeft) }
	y := func(v float64) float64 { return lineBottom - v/highest*(lineBottom-lineTop) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", lineWidth, lineHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", lineWidth, lineHeight)
	for v := 0.0; v <= highest; v += 16 {
		fmt.Fprintf(&b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#e0e0e0"/><text x="%d" y="%.1f" text-anchor="end" fill="#333333">%.0f</text>`+"\n",
			lineLeft, y(v), lineRight, y(v), lineLeft-6, y(v)+4, v)
	}
	fmt.Fprintf(&b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#b00020" stroke-dasharray="6 4"/>`+"\n", lineLeft, y(goal), lineRight, y(goal))
	b.WriteString(`<polyline fill="none" stroke="#1f5fa8" stroke-width="1.5" points="`)
	for _, s := range samples {
		fmt.Fprintf(&b, "%.1f,%.1f ", x(s.Seconds), y(mib(s.RSSKiB)))
	}
	fmt.Fprintf(&b, "\"/>\n"+`<text x="%d" y="16" fill="#333333">resident memory in MiB, Kafka away; dashed: the goal</text>`+"\n", lineLeft)
	fmt.Fprintf(&b, `<text x="%d" y="%d" fill="#333333">0 s</text><text x="%d" y="%d" text-anchor="end" fill="#333333">%.0f s</text></svg>`+"\n",
		lineLeft, lineHeight-16, lineRight, lineHeight-16, span)
	return b.String()
}
