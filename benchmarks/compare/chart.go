//go:build linux

package main

import (
	_ "embed"
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/template"

	"github.com/tidegate/tidegate/benchmarks/rounds"
)

//go:embed chart.svg.tmpl
var chartText string

var chartTemplate = template.Must(template.New("chart").Parse(chartText))

// chart is a figure: groups along x, in each the same series. Linear ones have bars from
// zero; logarithmic ones, which have no zero, dots.
type chart struct {
	title, note string
	log         bool
	series      []string // names of servers, which are the classes of the style
	groups      []chartGroup
}

// chartGroup is one place on the x axis.
type chartGroup struct {
	label, sub string
	values     []rounds.Spread // by series; without rounds: no figure
}

// Where things are, in pixels.
const (
	chartWidth, chartHeight = 960, 440
	chartLeft, chartRight   = 64, chartWidth - 20
	chartTop, chartBottom   = 92, chartHeight - 52
	groupShare              = 0.82 // of its place that a group's series fill
	slotWidth               = 48   // of one of its series at most
	labelWidth              = 26   // a narrower bar has no room for its number
)

// mark is a thing in the picture. Which fields count depends on the thing.
type mark struct {
	Class               string
	X, Y, Width, Height float64
	High, Low           float64
	Text                string
	TextX, TextY        float64
}

// picture is what the template draws.
type picture struct {
	Width, Height, Left, Right, Top, Bottom                          int
	Title, Note                                                      string
	Legend, Ticks, Parts, Bars, Dots, Whiskers, Values, Groups, Subs []mark
}

// svg draws the chart. It is well-formed XML, and readable on light paper and dark.
func (c chart) svg() (string, error) {
	scale, ticks := c.scale()
	p := picture{Width: chartWidth, Height: chartHeight, Left: chartLeft, Right: chartRight, Top: chartTop, Bottom: chartBottom, Title: c.title, Note: c.note}
	if c.gaps() {
		p.Note += "; –: no figure, too much was refused"
	}
	x := float64(chartLeft)
	for _, name := range c.series {
		p.Legend = append(p.Legend, mark{Class: name, X: x, Y: 58, Text: name, TextX: x + 17, TextY: 68.5})
		x += 36 + 7.5*float64(len(name))
	}
	for _, value := range ticks {
		y := scale(value)
		p.Ticks = append(p.Ticks, mark{Y: y, Text: short(value), TextX: chartLeft - 8, TextY: y + 4})
	}
	place := float64(chartRight-chartLeft) / float64(max(len(c.groups), 1))
	for i, g := range c.groups {
		middle := chartLeft + place*(float64(i)+0.5)
		p.Groups = append(p.Groups, mark{Text: g.label, TextX: round(middle), TextY: chartBottom + 20})
		p.Subs = append(p.Subs, mark{Text: g.sub, TextX: round(middle), TextY: chartBottom + 38})
		if i > 0 {
			p.Parts = append(p.Parts, mark{X: round(chartLeft + place*float64(i))})
		}
		slot := min(place*groupShare/float64(len(c.series)), slotWidth)
		for j, value := range g.values {
			c.draw(&p, j, value, middle+slot*(float64(j)-float64(len(c.series))/2), slot, scale)
		}
	}
	var b strings.Builder
	if err := chartTemplate.Execute(&b, p); err != nil {
		return "", fmt.Errorf("draw %q: %w", c.title, err)
	}
	return b.String(), nil
}

// gaps says whether a figure is missing.
func (c chart) gaps() bool {
	for _, g := range c.groups {
		for _, v := range g.values {
			if v.Rounds == 0 {
				return true
			}
		}
	}
	return false
}

// draw puts one value into p, whose place begins at left and is slot wide.
func (c chart) draw(p *picture, series int, v rounds.Spread, left, slot float64, scale func(float64) float64) {
	middle := round(left + slot/2)
	if v.Rounds == 0 {
		p.Values = append(p.Values, mark{Text: "–", TextX: middle, TextY: chartBottom - 6})
		return
	}
	at := mark{Class: c.series[series], X: middle, Y: scale(v.Middle)}
	if c.log {
		p.Dots = append(p.Dots, at)
	} else {
		at.X, at.Width, at.Height = round(left+1.5), round(slot-3), round(chartBottom-at.Y)
		p.Bars = append(p.Bars, at)
		if slot >= labelWidth {
			p.Values = append(p.Values, mark{Text: short(v.Middle), TextX: middle, TextY: scale(v.Most) - 6})
		}
	}
	p.Whiskers = append(p.Whiskers, mark{X: middle, High: scale(v.Most), Low: scale(v.Least)})
}

// scale maps values to y, and says where the axis has numbers.
func (c chart) scale() (y func(float64) float64, ticks []float64) {
	low, high := math.Inf(1), 0.0
	for _, g := range c.groups {
		for _, v := range g.values {
			if v.Rounds > 0 {
				low, high = min(low, v.Least), max(high, v.Most)
			}
		}
	}
	if high <= 0 {
		low, high = 1, 1
	}
	if !c.log {
		step := niceStep(high / 5)
		top := math.Ceil(high*1.02/step) * step
		for i := 0; float64(i)*step <= top*1.001; i++ {
			ticks = append(ticks, float64(i)*step)
		}
		return func(v float64) float64 { return round(chartBottom - v/top*(chartBottom-chartTop)) }, ticks
	}
	bottom, top := math.Log10(max(low, 1e-3)*0.8), math.Log10(high*1.25)
	for decade := math.Floor(bottom); decade <= top; decade++ {
		for _, digit := range []float64{1, 2, 5} {
			if v := digit * math.Pow(10, decade); math.Log10(v) >= bottom && math.Log10(v) <= top {
				ticks = append(ticks, v)
			}
		}
	}
	return func(v float64) float64 {
		return round(chartBottom - (math.Log10(max(v, 1e-3))-bottom)/(top-bottom)*(chartBottom-chartTop))
	}, ticks
}

// niceStep is the smallest of 1, 2, 5 times a power of ten that is not below least.
func niceStep(least float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, digit := range []float64{1, 2, 5} {
		if digit*power >= least {
			return digit * power
		}
	}
	return 10 * power
}

// short is a number with three digits at most, thousands as k.
func short(v float64) string {
	suffix := ""
	if v >= 10_000 {
		v, suffix = v/1000, "k"
	}
	digits := 0
	if v < 100 && v != math.Trunc(v) {
		digits = 1
	}
	if v < 1 && v != 0 {
		digits = 2
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if digits > 0 {
		text = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	}
	return text + suffix
}

// round keeps a tenth of a pixel: more only makes the file longer.
func round(v float64) float64 { return math.Round(v*10) / 10 }
