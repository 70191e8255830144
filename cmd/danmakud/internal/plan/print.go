package plan

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// WriteJSON writes the plan as one JSON object.
func (p *Plan) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(p)
}

// WriteText writes the plan as tables.
func (p *Plan) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(t, "  "+strings.Join(cells, "\t")) }
	head := func(text string) { t.Flush(); fmt.Fprintln(w, text) }

	l := &p.Load
	fmt.Fprintf(w, "%s viewers, %s comments/s, %s rooms, tick %v, %s nodes\n\n", whole(float64(l.Viewers)), count(l.Rate), whole(float64(l.Rooms)), l.Tick, whole(float64(p.Nodes)))
	head("A batch")
	row("comments", digits(p.Batch.Comments), fmt.Sprintf("%s a second, %.0f %% left out", digits(p.Batch.PerSecond), 100*p.Batch.LeftOut))
	row("bytes", size(p.Batch.PlainBytes), fmt.Sprintf("%s as sent, %s on the wire", size(p.Batch.WireBytes), size(p.Batch.NICBytes)))
	row("CPU", digits(p.Batch.CPUMicros)+" us", "to one viewer")
	row("a viewer", count(1000*p.Viewer.KbitPerS)+"bit/s", fmt.Sprintf("and %s ms of waiting for the tick", digits(p.Viewer.Delay)))
	head("\nVolume")
	row("", "all", "a node")
	for _, r := range []struct {
		name      string
		all, host float64
		text      func(float64) string
	}{
		{"viewers", p.Total.Viewers, p.Host.Viewers, count}, {"frames/s", p.Total.Frames, p.Host.Frames, count}, {"deliveries/s", p.Total.Deliveries, p.Host.Deliveries, count},
		{"bit/s", 8 * p.Total.Bytes, 8 * p.Host.Bytes, count}, {"cores", p.Total.Cores, p.Host.Cores, digits}, {"memory", p.Total.MemoryBytes, p.Host.MemoryBytes, size},
	} {
		row(r.name, r.text(r.all), r.text(r.host))
	}
	head("\nHosts")
	row("by", "hosts", fmt.Sprintf("used on each of %d", p.Nodes))
	row("CPU", whole(float64(p.Hosts.CPU)), percent(p.Use.CPU))
	row("network", whole(float64(p.Hosts.NIC)), percent(p.Use.NIC))
	row("memory", whole(float64(p.Hosts.Memory)), percent(p.Use.Memory))
	head("\nBus")
	row("messages/s", count(p.Bus.Messages), fmt.Sprintf("at most %s for ticks, and %s reports", count(p.Bus.Bound), digits(p.Bus.Reports)))
	row("bytes/s", size(p.Bus.Bytes), "to NATS")
	row("delivered/s", count(p.Bus.Delivered), size(p.Bus.BytesOut)+"/s from NATS")
	head("\nOther ticks")
	variants(row, "tick", p.Ticks, func(v *Variant) string { return v.Tick.String() })
	head("\nOther budgets (--budget-bytes)")
	variants(row, "budget", p.Cuts, func(v *Variant) string { return size(v.Budget) })
	head("\nSo")
	for _, a := range p.Advice {
		head("  " + a)
	}
	head("\nAssumptions (each is a flag)")
	for _, a := range p.Assumptions {
		row("--"+a.Name, strings.TrimSpace(strconv.FormatFloat(a.Value, 'g', 6, 64)+" "+a.Unit), a.Meaning, a.Source)
	}
	var points []string
	for _, f := range frameTable {
		points = append(points, fmt.Sprintf("%s %s us", size(f.Bytes), digits(f.US)))
	}
	row("(table)", "", "CPU for a frame by size: "+strings.Join(points, ", "), frameTableSource)
	return t.Flush()
}

func variants(row func(...string), name string, list []Variant, first func(*Variant) string) {
	row(name, "frames/s", "a frame", "a viewer", "comments/s shown", "hosts: CPU", "network", "memory", "bus messages/s")
	for i := range list {
		v := &list[i]
		row(first(v), count(v.Frames), size(v.Wire), count(1000*v.Kbit)+"bit/s", count(v.Shown),
			whole(float64(v.Hosts.CPU)), whole(float64(v.Hosts.NIC)), whole(float64(v.Hosts.Memory)), count(v.Messages))
	}
}

// digits prints three of them.
func digits(x float64) string {
	if x >= 1000 {
		return whole(x)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

// whole prints an integer with its thousands apart.
func whole(x float64) string {
	s := strconv.FormatFloat(x, 'f', 0, 64)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

// count prints a number with k, M, G or T.
func count(x float64) string {
	for _, u := range []struct {
		from float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if x >= u.from {
			if u.name == "k" {
				return digits(x/1e3) + " k"
			}
			return digits(x/u.from) + " " + u.name
		}
	}
	return digits(x)
}

// size prints bytes.
func size(x float64) string {
	for _, u := range []struct {
		from float64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if x >= u.from {
			return digits(x/u.from) + " " + u.name
		}
	}
	return digits(x) + " B"
}

func percent(x float64) string { return fmt.Sprintf("%.0f %%", 100*x) }
