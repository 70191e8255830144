package plan

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// with makes the default assumptions with some changed: name, value, ...
func with(changes ...any) []Assumption {
	list := Assumptions()
	for i := 0; i < len(changes); i += 2 {
		at := slices.IndexFunc(list, func(a Assumption) bool { return a.Name == changes[i] })
		list[at].Value = changes[i+1].(float64)
	}
	return list
}

func mustMake(t *testing.T, l Load, list []Assumption) *Plan {
	t.Helper()
	if l.Shards == 0 {
		l.Shards = 256
	}
	p, err := Make(l, list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var big = Load{Viewers: 5_000_000, Rate: 1000, Rooms: 1, Tick: 100 * time.Millisecond}

// TestByHand: what one can compute on paper.
func TestByHand(t *testing.T) {
	p := mustMake(t, big, with(CommentBytes, 100.0, BatchBytes, 0.0, CompressionRatio, 5.0, CPUPerFrame, 10.0, PacketOverhead, 0.0,
		CPUPerComment, 0.0, CPUPerMerged, 0.0, CPUPerKiB, 0.0, CPUPerBusMessage, 0.0, RoundTrip, 0.0, KernelBytes, 4000.0, UserBytes, 96.0,
		HostCores, 100.0, CPUShare, 0.5, HostNIC, 8.0, NICShare, 1.0, HostMemory, 1.0, MemoryShare, 1.0, BusMessageBytes, 0.0, BusCommentBytes, 0.0, ReportBytes, 0.0))
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 0.001*want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	near("frames/s", p.Total.Frames, 50e6)                 // 5 M x 10
	near("deliveries/s", p.Total.Deliveries, 5e9)          // 5 M x 1,000
	near("plain", p.Batch.PlainBytes, 10_000)              // 100 x 100 B
	near("wire", p.Batch.WireBytes, 2000)                  // a fifth
	near("bytes/s", p.Total.Bytes, 50e6*(2000+4))          // and the frame's header
	near("cores", p.Total.Cores, 500)                      // 50 M x 10 us
	near("memory", p.Total.MemoryBytes, 4096*5e6)          // 19.07 GiB
	if p.Hosts != (Hosts{CPU: 10, NIC: 101, Memory: 20}) { // 500/50; 100.2 GB/s / 1 GB/s
		t.Errorf("hosts %+v", p.Hosts)
	}
	if p.Nodes != 101 || p.Binds != "nic" || !p.Fits {
		t.Errorf("%d nodes, %s binds, fits %t", p.Nodes, p.Binds, p.Fits)
	}
	near("bound", p.Bus.Bound, 1010) // nodes x rooms x ticks/s
}

// TestEachCount: the chances add up, to the mean that was asked for.
func TestEachCount(t *testing.T) {
	for _, mean := range []float64{0, 0.01, 1, 99, 1999, 5000} {
		all, sum := 0.0, 0.0
		eachCount(mean, func(n int, chance float64) { all += chance; sum += chance * float64(n) })
		if math.Abs(all-1) > 1e-9 || math.Abs(sum-mean) > 0.001*mean+1e-9 {
			t.Errorf("mean %v: %v in all, mean %v", mean, all, sum)
		}
	}
}

// TestWhatBinds: each of the three can.
func TestWhatBinds(t *testing.T) {
	for want, list := range map[string][]Assumption{
		"cpu": with(HostCores, 1.0), "nic": with(HostNIC, 1.0), "memory": with(HostMemory, 0.1),
	} {
		p := mustMake(t, big, list)
		most := max(p.Hosts.CPU, p.Hosts.NIC, p.Hosts.Memory)
		if p.Binds != want || p.Nodes < most {
			t.Errorf("%s binds instead of %s: %+v, %d nodes", p.Binds, want, p.Hosts, p.Nodes)
		}
	}
	few := big
	few.Nodes = 3
	if p := mustMake(t, few, Assumptions()); p.Fits || p.Nodes != 3 || !strings.Contains(p.Advice[0], "do not do") {
		t.Errorf("5 M viewers fit on 3 nodes: %q", p.Advice)
	}
}

// TestDirections: more of one thing is never less of what it costs.
func TestDirections(t *testing.T) {
	p := mustMake(t, big, Assumptions())
	for i := 1; i < len(p.Ticks); i++ {
		a, b := &p.Ticks[i-1], &p.Ticks[i]
		if b.Frames >= a.Frames || b.Hosts.CPU > a.Hosts.CPU || b.Messages >= a.Messages {
			t.Errorf("a longer tick costs more: %+v, %+v", a, b)
		}
	}
	for i := 1; i < len(p.Cuts); i++ {
		a, b := &p.Cuts[i-1], &p.Cuts[i]
		if b.Wire > a.Wire || b.Shown > a.Shown || b.Hosts.NIC > a.Hosts.NIC {
			t.Errorf("a smaller budget costs more: %+v, %+v", a, b)
		}
	}
	alone := mustMake(t, Load{Viewers: 1000, Rate: 10, Rooms: 3, Nodes: 1, Tick: time.Second}, Assumptions())
	if alone.Bus != (Bus{}) {
		t.Errorf("a node by itself speaks: %+v", alone.Bus)
	}
	silent := mustMake(t, Load{Viewers: 1000, Rooms: 3, Tick: time.Second}, Assumptions())
	if silent.Total.Frames != 0 || silent.Nodes != 1 {
		t.Errorf("silence costs: %+v", silent.Total)
	}
}

func TestRefused(t *testing.T) {
	for _, l := range []Load{
		{Rooms: 1, Tick: time.Second}, {Viewers: 1, Tick: time.Second}, {Viewers: 1, Rooms: 1}, {Viewers: 1, Rooms: 1, Tick: time.Second, Rate: -1},
		{Viewers: 1, Rooms: 1, Tick: time.Second, Nodes: -1}, {Viewers: 1, Rooms: 1, Tick: time.Second, Rate: math.NaN()},
	} {
		l.Shards = 1
		if _, err := Make(l, Assumptions()); err == nil {
			t.Errorf("%+v is planned", l)
		}
	}
	for _, list := range [][]Assumption{
		with(CompressionRatio, 0.5), with(CPUShare, 1.5), with(HostNIC, 0.0), with(KernelBytes, -1.0), with(UserBytes, math.NaN()), Assumptions()[1:],
	} {
		if _, err := Make(Load{Viewers: 1, Rooms: 1, Tick: time.Second, Shards: 1}, list); err == nil {
			t.Errorf("%+v is planned with", list)
		}
	}
}

// TestPrinted: every assumption is printed with its value and source, and JSON has all.
func TestPrinted(t *testing.T) {
	p := mustMake(t, big, Assumptions())
	var text, object bytes.Buffer
	if err := p.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, a := range Assumptions() {
		if !strings.Contains(text.String(), "--"+a.Name+" ") || a.Source == "" || !strings.Contains(text.String(), a.Source) {
			t.Errorf("--%s is not printed, or not where it is from", a.Name)
		}
	}
	if err := p.WriteJSON(&object); err != nil {
		t.Fatal(err)
	}
	var back Plan
	if err := json.Unmarshal(object.Bytes(), &back); err != nil || back.Total != p.Total || len(back.Assumptions) != len(p.Assumptions) {
		t.Errorf("%v: %+v", err, back)
	}
	for x, want := range map[float64]string{0: "0", 7.123: "7.12", 999: "999", 9999: "9,999", 12345: "12.3 k", 5e6: "5 M", 1.5e12: "1.5 T"} {
		if got := count(x); got != want {
			t.Errorf("count(%v) = %q, want %q", x, got, want)
		}
	}
}

// TestLoopCost: the table's own points, and what lies between and beyond.
func TestLoopCost(t *testing.T) {
	for _, f := range frameTable {
		if got := loopCost(f.Bytes); math.Abs(got-f.US) > 1e-9 {
			t.Errorf("loopCost(%v) = %v, want %v", f.Bytes, got, f.US)
		}
	}
	last := 0.0
	for bytes := 1.0; bytes < 1<<20; bytes *= 2 {
		if got := loopCost(bytes); got < last || bytes > 1<<17 && got < 25 {
			t.Errorf("loopCost(%v) = %v after %v", bytes, got, last)
		} else {
			last = got
		}
	}
}
