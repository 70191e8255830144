package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// orNaN makes "not measured" of a negative value.
func orNaN(v float64) float64 {
	if v < 0 {
		return math.NaN()
	}
	return v
}

// summarize prints a card for people.
func summarize(w io.Writer, c *RunCard) {
	fmt.Fprintf(w, "%s on %s, %d CPUs, Linux %s\n", c.Subcommand, c.Machine.CPUModel, c.Machine.CPUs, c.Machine.Kernel)
	for i := range c.Phases {
		summarizePhase(w, &c.Phases[i])
	}
	for i := range c.Tables {
		printTable(w, &c.Tables[i])
	}
	for _, k := range c.Comparisons {
		fmt.Fprintf(w, "\n%s: %s %s, %s %s, ratio %.3f (%.3f to %.3f over %d rounds)\n", k.Name,
			k.Label, quantity(k.Value, unitOf(k.Unit)), k.BaseLabel, quantity(k.Base, unitOf(k.Unit)), k.Ratio, k.RatioMin, k.RatioMax, k.Rounds)
	}
	if len(c.Bars) > 0 {
		fmt.Fprintln(w)
	}
	for _, b := range c.Bars {
		word := "ok    "
		if !b.Pass {
			word = "MISSED"
		}
		fmt.Fprintf(w, "bar %s %s: %s, wanted %s %s %s\n", word, b.Name, quantity(b.Measured, b.Unit), b.Relation, quantity(b.Limit, b.Unit), b.Note)
	}
	for _, n := range c.Notes {
		fmt.Fprintln(w, "note:", n)
	}
	word := "PASSED"
	if !c.Pass {
		word = "FAILED"
	}
	fmt.Fprintf(w, "%s: %d faults\n", word, c.Faults())
}

// unitOf strips the "per what" off a unit, which quantity does not know.
func unitOf(unit string) string {
	u, _, _ := strings.Cut(unit, "/")
	return u
}

func summarizePhase(w io.Writer, p *Phase) {
	fmt.Fprintf(w, "\n%s (%.1f s): %d viewers, %d verified, %d rooms, %d senders\n", p.Name, p.DurationS, p.Viewers, p.Verified, p.Rooms, p.Senders)
	if d := p.DurationS; p.Measured && p.Received.Bytes > 0 {
		fmt.Fprintf(w, "  rate        %s deliveries/s, %s frames/s, %s/s\n",
			count(float64(p.Received.Deliveries)/d), count(float64(p.Received.Frames)/d), byteSize(float64(p.Received.Bytes)/d))
	}
	if p.Expected.Frames > 0 {
		fmt.Fprintf(w, "  deliveries  %s of %s, frames %s of %s, comments %s of %s\n",
			grouped(p.Received.Deliveries), grouped(p.Expected.Deliveries), grouped(p.Received.Frames), grouped(p.Expected.Frames),
			grouped(p.Received.Comments), grouped(p.Expected.Comments))
	}
	if p.Latency != nil {
		printDelays(w, "latency", p.Latency)
	}
	for i := range p.Others {
		printDelays(w, p.Others[i].Name, &p.Others[i].Latency)
	}
	printUse(w, "server", p.Server)
	printUse(w, "load", p.Load)
	if k := p.Cost; k != nil {
		fmt.Fprintf(w, "  cost        %s CPU a frame, %.1f ns a delivery, %.3f write calls a frame, %.1f deliveries a frame, %.1f B a delivery\n",
			duration(k.CPUNSPerFrame), k.CPUNSPerDelivery, k.WriteCallsPerFrame, k.DeliveriesPerFrame, k.BytesPerDelivery)
		if k.Compression > 1.001 {
			fmt.Fprintf(w, "  compressed  %s a frame of %s plain: %.2f times fewer bytes\n",
				byteSize(k.BytesPerFrame), byteSize(k.PlainBytesPerFrame), k.Compression)
		}
	}
	printCounts(w, "skips", p.Skips)
	printCounts(w, "drops", p.Drops)
	printCounts(w, "FAULTS", p.Faults)
	for _, e := range p.Examples {
		fmt.Fprintln(w, "   ", e)
	}
}

// printTable sets columns with two spaces between.
func printTable(w io.Writer, t *Table) {
	lines := append([][]string{t.Columns}, t.Rows...)
	var widths []int
	for _, line := range lines {
		for i, cell := range line {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	fmt.Fprintf(w, "\n%s\n", t.Title)
	for _, line := range lines {
		text := ""
		for i, cell := range line {
			text += fmt.Sprintf("%-*s  ", widths[i], cell)
		}
		fmt.Fprintln(w, "  "+strings.TrimRight(text, " "))
	}
}

func printDelays(w io.Writer, name string, l *Latency) {
	us := func(v int64) string { return microseconds(float64(v)) }
	fmt.Fprintf(w, "  %-11s p50 %s, p99 %s, p99.9 %s, max %s (%s)\n", name, us(l.P50US), us(l.P99US), us(l.P999US), us(l.MaxUS), grouped(l.Count))
}

func printUse(w io.Writer, who string, u *ProcUse) {
	if u == nil {
		return
	}
	fmt.Fprintf(w, "  %-11s %.0f %% CPU, RSS %s to %s", who, u.CPUPercent, byteSize(float64(u.RSSStart)), byteSize(float64(u.RSSEnd)))
	if u.ThreadsEnd > 0 {
		fmt.Fprintf(w, ", threads %d to %d, goroutines %d, fds %d to %d", u.ThreadsStart, u.ThreadsEnd, u.Goroutines, u.FDsStart, u.FDsEnd)
	}
	fmt.Fprintln(w)
}

func printCounts(w io.Writer, name string, m map[string]int64) {
	if len(m) == 0 {
		return
	}
	parts := make([]string, 0, len(m))
	for k, n := range m {
		if n != 0 {
			parts = append(parts, fmt.Sprintf("%s %s", k, grouped(n)))
		}
	}
	if len(parts) == 0 {
		return
	}
	slices.Sort(parts)
	fmt.Fprintf(w, "  %-11s %s\n", name, strings.Join(parts, ", "))
}
