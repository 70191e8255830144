package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// mixedOptions are what only mixed knows.
type mixedOptions struct {
	options
	zlib, plain int
	rounds      int
	maxCPURatio float64
}

func mixedCommand() *cobra.Command {
	o := mixedOptions{options: defaultOptions()}
	o.viewers, o.rate, o.nap = 5000, 1000, time.Millisecond
	c := loadCommand("mixed", "Native viewers and clients of Bilibili's packets in one room, against native viewers alone, in turns",
		"bench mixed --server bin/danmakud --viewers 5000 --zlib 2500 --rate 1000 --max-cpu-ratio 1.1", &o.options, nil)
	f := c.Flags()
	f.IntVar(&o.zlib, "zlib", 2500, "of the viewers, how many speak packets and take batches in zlib (protover 2)")
	f.IntVar(&o.plain, "plain", 0, "how many speak packets and take them plain (protover 0)")
	f.IntVar(&o.rounds, "rounds", 3, "pairs of runs, in alternating order")
	f.Float64Var(&o.maxCPURatio, "max-cpu-ratio", 0, "fail if a frame costs the server more times the CPU than with native viewers alone; 0 = no bar")
	c.RunE = func(*cobra.Command, []string) error { return runMixed(o) }
	return c
}

func runMixed(o mixedOptions) error {
	switch {
	case o.zlib < 0 || o.plain < 0 || o.zlib+o.plain == 0 || o.zlib+o.plain >= o.viewers:
		return fmt.Errorf("--zlib and --plain are some of the --viewers, not all")
	case o.rooms != 1:
		return fmt.Errorf("mixed has one room")
	}
	s, err := newSession("mixed", o.options, o.viewers)
	if err != nil {
		return err
	}
	s.card.Parameters["zlib"], s.card.Parameters["plain"], s.card.Parameters["rounds"] = o.zlib, o.plain, o.rounds
	if err := s.mixed(&o); err != nil {
		return errors.Join(err, s.abandon())
	}
	return s.finish()
}

// mixedTurn is one run of one side.
type mixedTurn struct {
	phase   *Phase
	native  *judgement
	packets []*judgement // zlib, then plain, as far as there are such
	counts  metrics      // what the server counted from before the first comment to after the last
}

// mixed alternates the two sides.
func (s *session) mixed(o *mixedOptions) error {
	var cpu [2][]float64 // native alone, mixed
	for round := range o.rounds {
		order := []bool{false, true}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, both := range order {
			t, err := s.mixedTurn(o, round, both)
			switch {
			case err != nil:
				return err
			case t.phase.Cost == nil:
				return fmt.Errorf("no CPU of the server is known: --pid is needed with --addr")
			}
			side := 0
			if both {
				side = 1
			}
			cpu[side] = append(cpu[side], t.phase.Cost.CPUNSPerFrame)
			s.judgeMixed(o, t, both)
		}
	}
	k := Comparison{
		Name: fmt.Sprintf("CPU a frame, %d of %d viewers with packets", o.zlib+o.plain, o.viewers), Viewers: int64(o.viewers),
		Unit: "ns/frame", Label: "mixed", BaseLabel: "native alone",
	}
	k.fill(cpu[1], cpu[0])
	s.compare(k, o.maxCPURatio)
	return nil
}

// mixedPlans are the fleets of one run, the native one first.
func (o *mixedOptions) mixedPlans(addr string, number int64, both bool) []plan {
	native := o.plan(addr)
	native.Number = number
	if !both {
		return []plan{native}
	}
	native.Viewers = o.viewers - o.zlib - o.plain
	native.Senders, native.Verified = o.sendersFor(native.Viewers, 1), verifiedFor(native.Viewers, o.sample)
	plans := []plan{native}
	for protover, n := range map[int]int{packetZlib: o.zlib, packetPlain: o.plain} {
		if n > 0 {
			p := native
			p.Speaks, p.Protover, p.Viewers, p.Senders, p.Verified = speaksPackets, protover, n, 0, verifiedFor(n, o.sample)
			plans = append(plans, p)
		}
	}
	slices.SortFunc(plans[1:], func(a, b plan) int { return b.Protover - a.Protover })
	return plans
}

// kindOf names the viewers of a fleet in phases and bars.
func kindOf(p *plan) string {
	switch {
	case p.Speaks != speaksPackets:
		return "native"
	case p.Protover == packetZlib:
		return "zlib"
	}
	return "plain packets"
}

// mixedTurn runs one side. The server's counters are read while nothing is sent, so
// that they belong to the same batches.
func (s *session) mixedTurn(o *mixedOptions, round int, both bool) (*mixedTurn, error) {
	name := fmt.Sprintf("round %d, native alone", round+1)
	if both {
		name = fmt.Sprintf("round %d, mixed", round+1)
	}
	var parties []*party
	for _, p := range o.mixedPlans(s.target.info.Addr, 1+rand.Int64N(1<<50), both) {
		party, err := s.invite(p, "")
		if err != nil {
			return nil, err
		}
		if err := party.open(p.Viewers); err != nil {
			return nil, err
		}
		parties = append(parties, party)
	}
	before, err := scrape(s.target.info.Control)
	if err != nil {
		return nil, err
	}
	t := new(mixedTurn)
	if t.phase, err = s.mixedLoad(o, parties, name); err != nil {
		return nil, err
	}
	for _, p := range parties {
		if err := p.settle(); err != nil {
			return nil, err
		}
	}
	after, err := scrape(s.target.info.Control)
	if err != nil {
		return nil, err
	}
	if t.counts = (metrics{}); after != nil {
		for k, n := range after {
			t.counts[k] = n - before[k]
		}
	}
	return t, s.endMixed(t, parties, name)
}

// mixedLoad has the native viewers speak and measures all of them.
func (s *session) mixedLoad(o *mixedOptions, parties []*party, name string) (*Phase, error) {
	start, err := parties[0].send(headStart, o.warmup+o.duration, o.rate, false, o.messageBytes)
	if err != nil {
		return nil, err
	}
	from := start + o.warmup.Microseconds()
	to := from + o.duration.Microseconds()
	for _, p := range parties {
		if err := p.watch("latency", from, to); err != nil {
			return nil, err
		}
	}
	sleepUntil(from)
	m := &measurement{party: parties[0], with: parties[1:]}
	if err := m.begin(name); err != nil {
		return nil, err
	}
	if err := m.until(to); err != nil {
		return nil, err
	}
	return m.finish()
}

// endMixed judges all fleets. The phase has the latency of the native viewers, and that
// of the others beside it.
func (s *session) endMixed(t *mixedTurn, parties []*party, name string) error {
	var accounts []func()
	for _, p := range parties {
		v, delays, err := p.close()
		if err != nil {
			return err
		}
		l := LatencyOf(delays["latency"])
		if p == parties[0] {
			t.native, t.phase.Latency = v, l
		} else {
			t.packets = append(t.packets, v)
			t.phase.Viewers += int64(p.plan.Viewers)
			t.phase.Verified += int64(p.plan.verifiedCount())
			if l == nil {
				return fmt.Errorf("%s: nothing came to the %s viewers", name, kindOf(&p.plan))
			}
			t.phase.Others = append(t.phase.Others, NamedDelay{Name: kindOf(&p.plan), Latency: *l})
		}
		accounts = append(accounts, func() { s.addAccount(name+", "+kindOf(&p.plan)+": whole account", &p.plan, v, delays) })
	}
	s.card.Phases = append(s.card.Phases, *t.phase)
	for _, add := range accounts {
		add()
	}
	return nil
}

// judgeMixed sets the bars of one run and shows it.
func (s *session) judgeMixed(o *mixedOptions, t *mixedTurn, both bool) {
	name := t.phase.Name
	s.setBars(t.phase, t.native)
	sealed := t.counts.sum("danmakud_batches_sealed_total")
	builds := func(encoding string) float64 {
		return t.counts[`danmakud_encodings_total{encoding="`+encoding+`"}`] / sealed
	}
	if s.target.info.Control != "" {
		wanted := map[string]bool{"bilibili_zlib": both && o.zlib > 0, "bilibili": both && o.plain > 0}
		for _, encoding := range []string{"bilibili_zlib", "bilibili"} {
			want := 0.0
			if wanted[encoding] {
				want = 1
			}
			s.card.Bar(name+": times a batch was made as "+encoding, builds(encoding), "==", want, "")
		}
		s.card.Bar(name+": batches that the server skipped at viewers", t.counts.sum("danmakud_batches_skipped_total"), "<=", 0, "")
	}
	said := t.native.Received.Comments // what everybody is owed; whether it is all that was taken, the native account says
	for i, v := range t.packets {
		d := t.phase.Others[i]
		s.card.Bar(name+": comments that "+d.Name+" viewers were not shown", float64(said-v.Received.Comments), "==", 0, "")
		if o.maxP99 > 0 {
			s.card.Bar(name+": latency p99, "+d.Name, float64(d.Latency.P99US), "<=", float64(o.maxP99.Microseconds()), "us")
		}
	}
	cost := "–" // nothing came within the window
	if t.phase.Cost != nil {
		cost = microseconds(t.phase.Cost.CPUNSPerFrame / 1e3)
	}
	row := []string{name, digits(sealed), cost, digits(builds("bilibili_zlib")), digits(builds("bilibili")), quantiles(t.phase.Latency)}
	packets := "–"
	for i := range t.phase.Others {
		if l := quantiles(&t.phase.Others[i].Latency); i == 0 {
			packets = l
		} else {
			packets += ", " + l
		}
	}
	s.card.addRow("Mixed room", []string{"Run", "Batches", "CPU a frame", "zlib made a batch", "Plain packets made a batch", "p50/p99 native", "p50/p99 packets"}, append(row, packets))
}

// quantiles is the middle and the tail; nil = nothing was measured.
func quantiles(l *Latency) string {
	if l == nil {
		return "–"
	}
	return microseconds(float64(l.P50US)) + "/" + microseconds(float64(l.P99US))
}
