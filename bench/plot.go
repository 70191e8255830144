package main

import (
	"fmt"
	"math"
	"strings"
)

// Every plot is drawn on the same sheet, in SVG user units. It is narrow
// enough that its letters stay readable on a phone, where two do not fit side
// by side.
const (
	plotWidth  = 460
	plotHeight = 220
	plotLeft   = 52
	plotRight  = 14
	plotTop    = 12
	plotBottom = 30
)

// plot is the geometry of a picture; the template writes it as SVG. All
// numbers are positions on the sheet, all texts are escaped by the template.
type plot struct {
	Title  string
	Unit   string // of the vertical axis, for people
	Text   string // what the picture shows, for those who cannot see it
	XTicks []plotTick
	YTicks []plotTick
	Bars   []plotBar
	Lines  []plotLine
	Marks  []plotMark
}

type plotTick struct {
	At    float64
	Label string
}

type plotBar struct {
	X, Y, Width, Height float64
	Text                string
}

type plotLine struct {
	Name  string
	Class string // "s1", "s2": the colour
	Path  string
	Area  string // the same, closed down to the axis; empty = no fill
	Last  string // the last value, for the legend
}

type plotMark struct {
	X, LabelY float64
	Label     string
	Anchor    string // of the label: start or end
}

func (p *plot) Width() int   { return plotWidth }
func (p *plot) Height() int  { return plotHeight }
func (p *plot) Left() int    { return plotLeft }
func (p *plot) Right() int   { return plotWidth - plotRight }
func (p *plot) Top() int     { return plotTop }
func (p *plot) Bottom() int  { return plotHeight - plotBottom }
func (p *plot) Legend() bool { return len(p.Lines) > 1 }

// scale maps values onto a stretch of the sheet.
type scale struct {
	low, high float64 // values
	from, to  float64 // positions
	log       bool
}

func (s scale) at(v float64) float64 {
	low, high := s.low, s.high
	if s.log {
		v, low, high = math.Log10(math.Max(v, 1e-9)), math.Log10(low), math.Log10(high)
	}
	if high == low {
		return s.from
	}
	f := math.Min(1, math.Max(0, (v-low)/(high-low)))
	return math.Round((s.from+f*(s.to-s.from))*10) / 10
}

func across(low, high float64, log bool) scale {
	return scale{low: low, high: high, from: plotLeft, to: plotWidth - plotRight, log: log}
}

func upward(low, high float64, log bool) scale {
	return scale{low: low, high: high, from: plotHeight - plotBottom, to: plotTop, log: log}
}

// niceStep is 1, 2 or 5 times a power of ten, so that about n of them make up span.
func niceStep(span float64, n int) float64 {
	if !(span > 0) || math.IsInf(span, 0) {
		return 1
	}
	step := math.Pow(10, math.Floor(math.Log10(span/float64(n))))
	for _, f := range []float64{1, 2, 5, 10} {
		if f*step*float64(n) >= span*0.999 {
			return f * step
		}
	}
	return 10 * step
}

// fromZero makes a scale from nothing to a round value at or above the
// highest, with its ticks. Round is meant in multiples of unit, which is 1
// except for bytes.
func fromZero(highest, unit float64, label func(float64) string) (scale, []plotTick) {
	if !(highest > 0) {
		highest = unit
	}
	step := unit * niceStep(highest/unit, 4)
	top := math.Ceil(highest/step-1e-9) * step
	s := upward(0, top, false)
	var ticks []plotTick
	for i := 0; float64(i)*step <= top*1.0001; i++ {
		v := float64(i) * step
		ticks = append(ticks, plotTick{At: s.at(v), Label: label(v)})
	}
	return s, ticks
}

// decades makes ticks at 1, 2 and 5 times powers of ten, or at powers of ten
// alone where those would crowd.
func decades(s scale, label func(float64) string) []plotTick {
	var ticks []plotTick
	factors := []float64{1, 2, 5}
	if math.Log10(s.high/s.low) > 2.2 {
		factors = factors[:1]
	}
	for e := math.Floor(math.Log10(s.low)); e <= math.Ceil(math.Log10(s.high)); e++ {
		for _, f := range factors {
			v := f * math.Pow(10, e)
			if v >= s.low*0.999 && v <= s.high*1.001 {
				ticks = append(ticks, plotTick{At: s.at(v), Label: label(v)})
			}
		}
	}
	return ticks
}

func microseconds(v float64) string { return duration(v * 1e3) }

// histogramPlot shows a distribution on a logarithmic time axis.
func histogramPlot(l *Latency) *plot {
	b := l.Buckets
	if len(b) == 0 || l.Count <= 0 {
		return nil
	}
	low, high := math.Max(b[0].FromUS, 0.5), b[len(b)-1].ToUS
	if high/low < 4 { // a single spike still wants an axis around it
		low, high = low/2, high*2
	}
	x := across(low, high, true)
	var most int64
	for _, k := range b {
		most = max(most, k.Count)
	}
	percent := func(n int64) float64 { return 100 * float64(n) / float64(l.Count) }
	// A third more than the highest bar: there the marks have their labels.
	y, ticks := fromZero(percent(most)*1.34, 1, func(v float64) string { return digits(v) + " %" })
	p := &plot{
		Title:  "Distribution of latency",
		Unit:   "share of deliveries, logarithmic time axis",
		Text:   fmt.Sprintf("Histogram: half within %s, 99 percent within %s", microseconds(float64(l.P50US)), microseconds(float64(l.P99US))),
		XTicks: decades(x, microseconds),
		YTicks: ticks,
	}
	for _, k := range b {
		left, right := x.at(math.Max(k.FromUS, low)), x.at(k.ToUS)
		top := math.Min(y.at(percent(k.Count)), y.from-0.5) // the rarest is still seen
		p.Bars = append(p.Bars, plotBar{
			X: left, Y: top, Width: math.Max(1, right-left-1), Height: y.from - top,
			Text: fmt.Sprintf("%s to %s: %s (%s %%)", microseconds(k.FromUS), microseconds(k.ToUS), grouped(k.Count), digits(percent(k.Count))),
		})
	}
	for i, m := range []struct {
		name string
		us   int64
	}{{"p50", l.P50US}, {"p99", l.P99US}, {"p99.9", l.P999US}} {
		p.Marks = append(p.Marks, markAt(x, float64(m.us), i, m.name+" "+microseconds(float64(m.us))))
	}
	return p
}

// markAt puts a mark's label where it stays on the sheet, each in its own row.
func markAt(x scale, v float64, row int, label string) plotMark {
	m := plotMark{X: x.at(v), LabelY: float64(plotTop + 10 + 14*row), Label: label, Anchor: "start"}
	if m.X > (x.from+x.to)/2 {
		m.Anchor = "end"
	}
	return m
}

// quantilePlot shows the tail: latency over the share of slower deliveries,
// both logarithmic, so that each "nine" takes the same room.
func quantilePlot(l *Latency) *plot {
	if len(l.Buckets) == 0 || l.Count <= 0 {
		return nil
	}
	last := math.Max(100, math.Pow(10, math.Floor(math.Log10(float64(l.Count)))))
	last = math.Min(last, 1e5)
	x := across(1, last, true) // 1 over the share that is slower: 1 = all, 100 = p99
	high := math.Max(float64(l.MaxUS), 2)
	low := math.Max(1, math.Min(float64(l.MinUS), high/10))
	y := upward(low, high, true)
	p := &plot{
		Title:  "Latency by percentile",
		Unit:   "both axes logarithmic",
		Text:   fmt.Sprintf("Curve from the fastest, %s, to the slowest, %s", microseconds(float64(l.MinUS)), microseconds(float64(l.MaxUS))),
		YTicks: decades(y, microseconds),
	}
	p.XTicks = []plotTick{{At: x.at(2), Label: "p50"}}
	for i, name := range []string{"p90", "p99", "p99.9", "p99.99", "p99.999"} {
		if v := math.Pow(10, float64(i+1)); v <= last {
			p.XTicks = append(p.XTicks, plotTick{At: x.at(v), Label: name})
		}
	}
	var path strings.Builder
	fmt.Fprintf(&path, "M%v %v", x.at(1), y.at(math.Max(float64(l.MinUS), 1)))
	var below int64
	for _, b := range l.Buckets {
		below += b.Count
		inverse := last
		if slower := l.Count - below; slower > 0 {
			inverse = float64(l.Count) / float64(slower)
		}
		fmt.Fprintf(&path, "L%v %v", x.at(inverse), y.at(math.Min(b.ToUS, high)))
	}
	p.Lines = []plotLine{{Name: "latency", Class: "s1", Path: path.String()}}
	return p
}

// seriesLine picks one value of a second; false = not known then.
type seriesLine struct {
	name  string
	value func(*Second) (float64, bool)
}

// seriesPlot draws values over the seconds of a phase, from zero up; nil if
// there are not two seconds with any of them.
func seriesPlot(title, unit string, series []Second, label func(float64) string, lines ...seriesLine) *plot {
	highest, known := 0.0, 0
	for i := range series {
		for _, l := range lines {
			if v, ok := l.value(&series[i]); ok {
				highest = math.Max(highest, v)
				known++
			}
		}
	}
	if len(series) < 2 || known < 2 {
		return nil
	}
	x := across(0, series[len(series)-1].AtS, false)
	y, ticks := fromZero(highest, roundUnit(highest, label), label)
	p := &plot{Title: title, Unit: unit, YTicks: ticks}
	step := niceStep(x.high, 6)
	for v := 0.0; v <= x.high*1.0001; v += step {
		p.XTicks = append(p.XTicks, plotTick{At: x.at(v), Label: digits(v) + " s"})
	}
	for i, l := range lines {
		line := plotLine{Name: l.name, Class: fmt.Sprint("s", i+1)}
		if last := line.draw(series, l.value, x, y, len(lines) == 1); line.Path != "" {
			line.Last = label(last)
			p.Lines = append(p.Lines, line)
		}
	}
	p.Text = fmt.Sprintf("%s over %s, highest %s", title, duration(x.high*1e9), label(highest))
	return p
}

// roundUnit is the power of 1024 below the highest value where values are
// labelled as bytes, so that ticks fall on whole MiB; else 1.
func roundUnit(highest float64, label func(float64) string) float64 {
	if label(1024) != byteSize(1024) || highest < 1024 {
		return 1
	}
	return math.Pow(1024, math.Floor(math.Log2(highest)/10))
}

// draw fills in the path, broken where values are missing, and returns the last value.
func (l *plotLine) draw(series []Second, value func(*Second) (float64, bool), x, y scale, fill bool) (last float64) {
	var path, area strings.Builder
	var stretch []string // points since the last gap
	end := func() {
		if len(stretch) == 0 {
			return
		}
		fmt.Fprintf(&path, "M%s", strings.Join(stretch, "L"))
		if len(stretch) == 1 {
			path.WriteString("h.1") // a dot, since the ends are round
		}
		first, _, _ := strings.Cut(stretch[0], " ")
		final, _, _ := strings.Cut(stretch[len(stretch)-1], " ")
		fmt.Fprintf(&area, "M%s %vL%sL%s %vZ", first, y.from, strings.Join(stretch, "L"), final, y.from)
		stretch = stretch[:0]
	}
	for i := range series {
		v, ok := value(&series[i])
		if !ok {
			end()
			continue
		}
		last = v
		stretch = append(stretch, fmt.Sprintf("%v %v", x.at(series[i].AtS), y.at(v)))
	}
	end()
	l.Path = path.String()
	if fill {
		l.Area = area.String()
	}
	return last
}
