package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed report.html.tmpl
var reportSource string

var reportTemplate = template.Must(template.New("report").Parse(reportSource))

// Report reads a run card from path ("-" is standard input) and writes it to w
// as one HTML page that needs nothing else: no script, no foreign file.
func Report(path string, w io.Writer) error {
	in := os.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	card, err := LoadCard(in)
	if err != nil {
		return err
	}
	return WriteReport(w, card)
}

// WriteReport writes the page of a card. The verdict is worked out again from
// the card's numbers. Every text of the card is escaped: a card may come from
// anywhere.
func WriteReport(w io.Writer, c *RunCard) error {
	return reportTemplate.Execute(w, newReportPage(c))
}

// reportPage is what the template shows.
type reportPage struct {
	Card        *RunCard
	Title       string
	When        string
	Pass        bool
	Verdict     string
	Tiles       []reportTile
	Bars        []reportBar
	Comparisons []reportComparison
	Phases      []reportPhase // the measured ones
	Others      []reportPhase // set-up, warm-up: folded away
	Machine     []reportRow
	Programs    []reportRow
	Parameters  []reportRow
	Sysctls     []reportRow
	Command     string
	ServerCmd   string
}

type reportTile struct{ Name, Value, Note string }

type reportRow struct{ Name, Value string }

// reportBar is a row of the bars table. Fill is how far the measured value has
// come towards the limit, in percent of the meter, whose mark stands at 66.
type reportBar struct {
	Name, Measured, Limit, Note, Gap string
	Pass                             bool
	Fill                             float64
}

// reportComparison is a row of the comparison table with positions (percent)
// on a ratio axis.
type reportComparison struct {
	Comparison
	ValueText, BaseText, RatioText, SpreadText string
	One, At, From, Width, LimitAt              float64
	HasSpread, HasLimit, Missed                bool
}

// reportPhase is a phase with its tables and plots.
type reportPhase struct {
	Name   string
	Length string
	Flow   []reportFlow
	Facts  []reportRow
	Delays []reportDelay
	Plots  []*plot
	Causes []reportCause
	Faults []string // examples in words
}

type reportFlow struct {
	Name, Expected, Received, Missing string
	Wrong                             bool
}

type reportDelay struct {
	Name                                     string
	Count, P50, P90, P99, P999, P9999, MaxUS string
}

type reportCause struct {
	Kind, Name, Count string
	Fault             bool
}

func newReportPage(c *RunCard) *reportPage {
	p := &reportPage{
		Card:       c,
		Title:      c.Title,
		When:       c.StartedAt.UTC().Format("2 January 2006, 15:04:05 UTC"),
		Pass:       c.Judge(),
		Tiles:      headlineTiles(c),
		Machine:    machineRows(&c.Machine),
		Programs:   programRows(c),
		Parameters: parameterRows(c.Parameters),
		Sysctls:    sortedRows(c.Machine.Sysctls),
		Command:    CommandLine(c.Command),
	}
	if p.Title == "" {
		p.Title = "bench " + c.Subcommand
	}
	if c.Server != nil && len(c.Server.Command) > 0 {
		p.ServerCmd = CommandLine(c.Server.Command)
	}
	p.Verdict = verdict(c)
	for _, b := range c.Bars {
		p.Bars = append(p.Bars, newReportBar(b))
	}
	p.Comparisons = comparisonRows(c.Comparisons)
	for i := range c.Phases {
		if ph := newReportPhase(&c.Phases[i]); c.Phases[i].Measured {
			p.Phases = append(p.Phases, ph)
		} else {
			p.Others = append(p.Others, ph)
		}
	}
	return p
}

// verdict says in one sentence why the run passed or not.
func verdict(c *RunCard) string {
	missed := 0
	for _, b := range c.Bars {
		if !b.Pass {
			missed++
		}
	}
	var parts []string
	switch n := len(c.Bars); {
	case n == 0:
		parts = append(parts, "no bars were set")
	case missed > 0:
		parts = append(parts, fmt.Sprintf("%d of %d bars missed", missed, n))
	case n == 1:
		parts = append(parts, "the bar is met")
	default:
		parts = append(parts, fmt.Sprintf("all %d bars met", n))
	}
	switch n := c.Faults(); n {
	case 0:
		parts = append(parts, "verification found no fault")
	case 1:
		parts = append(parts, "verification found 1 fault")
	default:
		parts = append(parts, "verification found "+grouped(n)+" faults")
	}
	if !c.Pass && missed == 0 && c.Faults() == 0 {
		parts = append(parts, "but nothing was received where something was expected")
	}
	s := strings.Join(parts, ", ")
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// headlineTiles are the few numbers that sum the run up, of the first measured phase.
func headlineTiles(c *RunCard) []reportTile {
	i := slices.IndexFunc(c.Phases, func(p Phase) bool { return p.Measured })
	if i < 0 {
		return nil
	}
	p := &c.Phases[i]
	tiles := []reportTile{{"Viewers", grouped(p.Viewers), plural(p.Rooms, "room") + ", " + grouped(p.Verified) + " read every byte"}}
	if p.DurationS > 0 && p.Received.Deliveries > 0 {
		tiles = append(tiles, reportTile{"Deliveries/s", count(float64(p.Received.Deliveries) / p.DurationS),
			count(float64(p.Received.Frames)/p.DurationS) + " frames a second"})
	}
	if l := p.Latency; l != nil {
		tiles = append(tiles, reportTile{"Latency p99", microseconds(float64(l.P99US)),
			"p50 " + microseconds(float64(l.P50US)) + ", worst " + microseconds(float64(l.MaxUS))})
	}
	if p.Expected.Deliveries > 0 {
		lost := p.Expected.Deliveries - p.Received.Deliveries
		tiles = append(tiles, reportTile{"Missing", grouped(lost), "of " + count(float64(p.Expected.Deliveries)) + " expected deliveries"})
	}
	if s := p.Server; s != nil {
		tiles = append(tiles, reportTile{"Server CPU", digits(s.CPUPercent) + " %", "100 % is one core; " + plural(int64(s.ThreadsEnd), "thread")},
			reportTile{"Server memory", byteSize(float64(s.RSSEnd)), "peak " + byteSize(float64(s.RSSPeak))})
	}
	if k := p.Cost; k != nil && k.CPUNSPerFrame > 0 {
		tiles = append(tiles, reportTile{"CPU a frame", duration(k.CPUNSPerFrame), digits(k.DeliveriesPerFrame) + " comments in a frame"})
	}
	return tiles
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}

var relationSigns = map[string]string{"<=": "≤", ">=": "≥", "==": "="}

func newReportBar(b Bar) reportBar {
	sign := relationSigns[b.Relation]
	if sign == "" {
		sign = b.Relation
	}
	r := reportBar{
		Name: b.Name, Note: b.Note, Pass: b.Pass,
		Measured: quantity(b.Measured, b.Unit),
		Limit:    sign + " " + quantity(b.Limit, b.Unit),
	}
	if b.Limit > 0 && b.Measured >= 0 {
		r.Fill = math.Round(math.Min(100, 66*b.Measured/b.Limit)*10) / 10
	}
	if !b.Pass && b.Limit != 0 && b.Note != "not measured" {
		off := 100 * (b.Measured - b.Limit) / b.Limit
		r.Gap = digits(math.Abs(off)) + " % over"
		if off < 0 {
			r.Gap = digits(-off) + " % short"
		}
	}
	return r
}

func comparisonRows(list []Comparison) []reportComparison {
	low, high := 0.8, 1.25
	for _, k := range list {
		high = math.Max(high, math.Max(k.Ratio, k.RatioMax)*1.05)
		if least := min(k.Ratio, cmp.Or(k.RatioMin, k.Ratio)); least > 0 {
			low = math.Min(low, least*0.95)
		}
	}
	at := func(ratio float64) float64 {
		return math.Round(1000*math.Min(1, math.Max(0, (ratio-low)/(high-low)))) / 10
	}
	rows := make([]reportComparison, 0, len(list))
	for _, k := range list {
		r := reportComparison{
			Comparison: k,
			ValueText:  comparisonValue(k.Value, k.Unit), BaseText: comparisonValue(k.Base, k.Unit),
			RatioText: digits(k.Ratio) + " ×",
			One:       at(1), At: at(k.Ratio),
		}
		if k.RatioMax > 0 {
			r.HasSpread = true
			r.From, r.Width = at(k.RatioMin), at(k.RatioMax)-at(k.RatioMin)
			r.SpreadText = digits(k.RatioMin) + " to " + digits(k.RatioMax) + " in " + plural(int64(k.Rounds), "round")
		}
		if k.Limit != nil {
			r.HasLimit, r.LimitAt, r.Missed = true, at(*k.Limit), k.Ratio > *k.Limit
		}
		rows = append(rows, r)
	}
	return rows
}

// comparisonValue knows "ns/frame" and the like: a time for each something.
func comparisonValue(v float64, unit string) string {
	if before, each, ok := strings.Cut(unit, "/"); ok {
		return quantity(v, before) + " / " + each
	}
	return quantity(v, unit)
}

func newReportPhase(p *Phase) reportPhase {
	r := reportPhase{Name: p.Name, Length: duration(p.DurationS * 1e9)}
	r.Flow = flowRows(p)
	r.Facts = factRows(p)
	if p.Latency != nil {
		r.Delays = append(r.Delays, delayRow("Intended send to receipt", p.Latency))
		r.addPlot(histogramPlot(p.Latency))
		r.addPlot(quantilePlot(p.Latency))
	}
	for i := range p.Others {
		r.Delays = append(r.Delays, delayRow(p.Others[i].Name, &p.Others[i].Latency))
	}
	r.addSeriesPlots(p.Series)
	r.Causes = slices.Concat(causeRows("fault", p.Faults), causeRows("drop", p.Drops), causeRows("skip", p.Skips), causeRows("counter", p.Counters))
	r.Faults = p.Examples
	return r
}

func (r *reportPhase) addPlot(p *plot) {
	if p != nil {
		r.Plots = append(r.Plots, p)
	}
}

func (r *reportPhase) addSeriesPlots(s []Second) {
	whole := func(get func(*Second) float64) func(*Second) (float64, bool) {
		return func(s *Second) (float64, bool) { return get(s), true }
	}
	r.addPlot(seriesPlot("Deliveries a second", "comments at viewers", s, count,
		seriesLine{"deliveries", whole(func(s *Second) float64 { return s.DeliveriesPerS })}))
	r.addPlot(seriesPlot("Latency of each second", "of that second alone", s, microseconds,
		seriesLine{"p50", optional(func(s *Second) *int64 { return s.LatencyP50US })},
		seriesLine{"p99", optional(func(s *Second) *int64 { return s.LatencyP99US })}))
	r.addPlot(seriesPlot("Frames a second", "WebSocket frames at viewers", s, count,
		seriesLine{"frames", whole(func(s *Second) float64 { return s.FramesPerS })}))
	r.addPlot(seriesPlot("CPU", "100 % is one core", s, func(v float64) string { return digits(v) + " %" },
		seriesLine{"server", optional(func(s *Second) *float64 { return s.ServerCPUPercent })},
		seriesLine{"bench", optional(func(s *Second) *float64 { return s.LoadCPUPercent })}))
	r.addPlot(seriesPlot("Server memory", "resident", s, byteSize,
		seriesLine{"RSS", optional(func(s *Second) *int64 { return s.ServerRSSBytes })}))
	if slices.ContainsFunc(s, func(x Second) bool { return x.Connections != s[0].Connections }) {
		r.addPlot(seriesPlot("Connections", "open at the end of the second", s, count,
			seriesLine{"connections", whole(func(s *Second) float64 { return float64(s.Connections) })}))
	}
}

// optional reads a value that may not be known in a second.
func optional[T int64 | float64](get func(*Second) *T) func(*Second) (float64, bool) {
	return func(s *Second) (float64, bool) {
		if v := get(s); v != nil {
			return float64(*v), true
		}
		return 0, false
	}
}

func flowRows(p *Phase) []reportFlow {
	var rows []reportFlow
	for _, k := range []struct {
		name               string
		expected, received int64
	}{
		{"Comments", p.Expected.Comments, p.Received.Comments},
		{"Frames", p.Expected.Frames, p.Received.Frames},
		{"Deliveries", p.Expected.Deliveries, p.Received.Deliveries},
		{"Bytes", p.Expected.Bytes, p.Received.Bytes},
		{"Bytes before compression", compressedOnly(p.Expected), compressedOnly(p.Received)},
	} {
		if k.expected == 0 && k.received == 0 {
			continue
		}
		row := reportFlow{Name: k.name, Expected: grouped(k.expected), Received: grouped(k.received), Missing: grouped(k.expected - k.received)}
		if k.expected == 0 {
			row.Expected, row.Missing = "–", "–"
		} else {
			row.Wrong = k.expected != k.received
		}
		rows = append(rows, row)
	}
	return rows
}

// compressedOnly is the plain bytes where they are not those on the wire.
func compressedOnly(c Counts) int64 {
	if c.PlainBytes == c.Bytes {
		return 0
	}
	return c.PlainBytes
}

func delayRow(name string, l *Latency) reportDelay {
	us := func(v int64) string { return microseconds(float64(v)) }
	return reportDelay{
		Name: name, Count: grouped(l.Count), P50: us(l.P50US), P90: us(l.P90US), P99: us(l.P99US),
		P999: us(l.P999US), P9999: us(l.P9999US), MaxUS: us(l.MaxUS),
	}
}

func factRows(p *Phase) []reportRow {
	rows := []reportRow{{"Viewers", fmt.Sprintf("%s in %s, %s verified", grouped(p.Viewers), plural(p.Rooms, "room"), grouped(p.Verified))}}
	if p.Senders > 0 {
		rows = append(rows, reportRow{"Senders", grouped(p.Senders)})
	}
	rows = append(rows, useRows("Server", p.Server)...)
	if k := p.Cost; k != nil {
		rows = append(rows,
			reportRow{"Server CPU", fmt.Sprintf("%s a frame, %s a delivery", duration(k.CPUNSPerFrame), duration(k.CPUNSPerDelivery))},
			reportRow{"Write calls", fmt.Sprintf("%s; %s a frame, %s a delivery", grouped(k.WriteCalls), digits(k.WriteCallsPerFrame), digits(k.WriteCallsPerDelivery))},
			reportRow{"On the wire", fmt.Sprintf("%s a delivery, %s comments a frame", byteSize(k.BytesPerDelivery), digits(k.DeliveriesPerFrame))})
		if k.Compression > 1.001 {
			rows = append(rows, reportRow{"Compression", fmt.Sprintf("%s a frame of %s plain: %s times fewer bytes",
				byteSize(k.BytesPerFrame), byteSize(k.PlainBytesPerFrame), digits(k.Compression))})
		}
	}
	return append(rows, useRows("Load tool", p.Load)...)
}

func useRows(who string, u *ProcUse) []reportRow {
	if u == nil {
		return nil
	}
	rows := []reportRow{{who + " used", fmt.Sprintf("%s of CPU, %s %% of a core", duration(float64(u.CPUNS)), digits(u.CPUPercent))}}
	if u.RSSEnd > 0 {
		rows = append(rows, reportRow{who + " memory", fmt.Sprintf("%s → %s, peak %s", byteSize(float64(u.RSSStart)), byteSize(float64(u.RSSEnd)), byteSize(float64(u.RSSPeak)))})
	}
	if u.ThreadsEnd > 0 {
		text := fmt.Sprintf("threads %d → %d, descriptors %s → %s", u.ThreadsStart, u.ThreadsEnd, grouped(int64(u.FDsStart)), grouped(int64(u.FDsEnd)))
		if u.Goroutines > 0 {
			text += fmt.Sprintf(", goroutines %d", u.Goroutines)
		}
		rows = append(rows, reportRow{who + " has", text})
	}
	if u.MachineBusy > 0 {
		rows = append(rows, reportRow{"Machine meanwhile", fmt.Sprintf("%s %% busy, %s %% stolen, ksoftirqd %s",
			digits(u.MachineBusy), digits(u.StealPercent), duration(float64(u.KsoftirqdNS)))})
	}
	return rows
}

func causeRows(kind string, m map[string]int64) []reportCause {
	var rows []reportCause
	for _, name := range slices.Sorted(maps.Keys(m)) {
		rows = append(rows, reportCause{Kind: kind, Name: name, Count: grouped(m[name]), Fault: kind == "fault" && m[name] != 0})
	}
	return rows
}

func machineRows(m *Machine) []reportRow {
	rows := []reportRow{
		{"Processor", strings.TrimSpace(m.CPUModel + ", " + plural(int64(m.CPUs), "CPU"))},
		{"System", strings.Trim(strings.Join([]string{m.OS, m.Arch, m.Kernel, m.Distro}, " · "), " ·")},
		{"Open files", fmt.Sprintf("%s soft, %s hard", limitText(m.OpenFiles), limitText(m.OpenFilesHi))},
	}
	if m.CPUMHz > 0 {
		rows[0].Value += ", " + digits(m.CPUMHz/1000) + " GHz"
	}
	if m.Hypervisor {
		rows[0].Value += ", virtual"
	}
	if m.MemoryBytes > 0 {
		rows = append(rows, reportRow{"Memory", byteSize(float64(m.MemoryBytes))})
	}
	if m.LoadAverage != "" {
		rows = append(rows, reportRow{"Load before", m.LoadAverage})
	}
	for _, r := range sortedRows(m.Mitigations) {
		rows = append(rows, reportRow{"Mitigation " + r.Name, r.Value})
	}
	return rows
}

func limitText(n uint64) string {
	if n >= 1<<62 {
		return "unlimited"
	}
	return grouped(int64(n))
}

func programRows(c *RunCard) []reportRow {
	text := c.Bench.Version
	if c.Bench.Revision != "" {
		text += " at " + c.Bench.Revision[:min(12, len(c.Bench.Revision))]
	}
	if c.Bench.Modified {
		text += ", modified"
	}
	rows := []reportRow{{"bench", text + ", " + c.Bench.GoVersion}}
	if s := c.Server; s != nil {
		how := "was running already"
		if s.Spawned {
			how = "started by bench"
		}
		rows = append(rows, reportRow{"Server", strings.TrimPrefix(fmt.Sprintf("%s at %s, %s", s.Version, s.Addr, how), " ")})
	}
	if d := c.FinishedAt.Sub(c.StartedAt); d > 0 && !c.FinishedAt.IsZero() {
		rows = append(rows, reportRow{"The run took", d.Round(100 * time.Millisecond).String()})
	}
	return rows
}

func parameterRows(m map[string]any) []reportRow {
	var rows []reportRow
	for _, name := range slices.Sorted(maps.Keys(m)) {
		rows = append(rows, reportRow{name, parameterText(m[name])})
	}
	return rows
}

func parameterText(v any) string {
	if f, ok := v.(float64); ok { // as JSON numbers come back
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

func sortedRows(m map[string]string) []reportRow {
	var rows []reportRow
	for _, name := range slices.Sorted(maps.Keys(m)) {
		rows = append(rows, reportRow{name, m[name]})
	}
	return rows
}
