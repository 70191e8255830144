package main

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// hostileOptions are what only hostile knows.
type hostileOptions struct {
	options
	hostile   int
	kinds     string
	rounds    int
	openRate  float64
	sendRate  float64
	cpuShare  float64
	maxRatio  float64
	maxGrowth int64
	minEnded  float64
}

func hostileCommand() *cobra.Command {
	o := hostileOptions{options: defaultOptions()}
	o.viewers, o.rate, o.duration, o.nap = 5000, 200, 15*time.Second, time.Millisecond
	c := loadCommand("hostile", "Good viewers beside hostile connections of each kind; they must not feel them",
		"bench hostile --server bin/danmakud --viewers 5000 --hostile 1000 --kinds ping-flood,bomb\n"+
			"  bench hostile --server bin/danmakud --server-flag=--max-connections=5000 --viewers 5000 --hostile 2000 --kinds retry --open-rate 20000 --send-rate 20000 --max-ratio 1.2", &o.options, nil)
	var names []string
	for _, m := range manners {
		if !m.full {
			names = append(names, m.name)
		}
	}
	f := c.Flags()
	f.IntVar(&o.hostile, "hostile", 1000, "hostile connections, kept at that number")
	f.StringVar(&o.kinds, "kinds", strings.Join(names, ","), "kinds, one after the other, each for --duration and after as long a quiet time; half-frame ends with the server's --message-timeout, 30s. "+
		"One more is "+kindRetry+": viewers who try again 100 ms after each refusal, for a server that is full with the good ones (--server-flag=--max-connections=N)")
	f.IntVar(&o.rounds, "rounds", 1, "how often all kinds; the median of a kind's p99 ratios counts")
	f.Float64Var(&o.openRate, "open-rate", 500, "hostile connects a second in all")
	f.Float64Var(&o.sendRate, "send-rate", 5000, "hostile writes a second in all; floods write 64 frames at once")
	f.Float64Var(&o.cpuShare, "cpu-share", 0.25, "share of a core that the hostile process takes at most, so that it is the server that is tested")
	f.Float64Var(&o.maxRatio, "max-ratio", 1.5, "fail if the good viewers' p99 is more times the quiet one; 0 = no bar")
	f.Int64Var(&o.maxGrowth, "max-rss-growth", 50<<20, "fail if the server's RSS grows by more bytes; -1 = no bar")
	f.Float64Var(&o.minEnded, "min-ended", 0, "fail if the server ended fewer of each kind, as a share of --hostile; 0 = no bar")
	c.RunE = func(*cobra.Command, []string) error { return runHostile(o) }
	return c
}

func runHostile(o hostileOptions) error {
	kinds, err := parseKinds(o.kinds)
	if err != nil {
		return err
	}
	if o.rounds < 1 || o.hostile < 1 {
		return fmt.Errorf("--rounds and --hostile must be at least 1")
	}
	o.limitComments()
	s, err := newSession("hostile", o.options, o.viewers)
	if err != nil {
		return err
	}
	for name, v := range map[string]any{"hostile": o.hostile, "kinds": o.kinds, "rounds": o.rounds, "open-rate": o.openRate, "send-rate": o.sendRate, "cpu-share": o.cpuShare} {
		s.card.Parameters[name] = v
	}
	foes, err := startCrew(1, "GOMAXPROCS=1")
	if err != nil {
		return errors.Join(err, s.abandon())
	}
	err = s.hostile(&o, foes, kinds)
	if err = errors.Join(err, foes.end()); err != nil {
		return errors.Join(err, s.abandon())
	}
	return s.finish()
}

// limitComments puts the server's comment rate back in force, which bench
// switches off otherwise: the limits on frames and bytes follow from it. It is
// at least the default and leaves the good senders twice what they need.
func (o *hostileOptions) limitComments() {
	each := 2 * o.rate / float64(o.sendersFor(o.viewers, o.rooms))
	limit := fmt.Sprintf("--comment-rate=%g", math.Max(3, math.Ceil(each)))
	o.serverFlags = append([]string{limit}, o.serverFlags...)
}

func parseKinds(text string) ([]string, error) {
	kinds := strings.Split(text, ",")
	for i, k := range kinds {
		kinds[i] = strings.TrimSpace(k)
		if _, err := mannerNamed(kinds[i]); err != nil {
			return nil, fmt.Errorf("--kinds: %w", err)
		}
	}
	return kinds, nil
}

// raid is one kind's time: what good viewers felt, what the hostile process
// did, and what the server says of it.
type raid struct {
	kind   string
	name   string // of the phase
	quiet  *Phase // the same time before it
	phase  *Phase
	attack *attackResult
	closes map[string]int64 // by reason, from before the attack to after its last connection
}

// breather is the time between two kinds: what the server still has of the one
// before is gone by then.
const breather = time.Second

// hostile has comments flow to the good viewers throughout, in turns quiet and
// beside one kind: machines drift, so each kind is held against the time just
// before it.
func (s *session) hostile(o *hostileOptions, foes *crew, kinds []string) error {
	good, err := s.invite(o.plan(s.target.info.Addr), "")
	if err != nil {
		return err
	}
	if err := good.open(o.viewers); err != nil {
		return err
	}
	whole := o.warmup + time.Duration(len(kinds)*o.rounds)*(2*o.duration+10*time.Second)
	start, err := good.send(headStart, whole, o.rate, false, o.messageBytes)
	if err != nil {
		return err
	}
	sleepUntil(start + o.warmup.Microseconds())
	var raids []*raid
	for round := range o.rounds {
		for _, kind := range kinds {
			r := &raid{kind: kind, name: kind}
			if o.rounds > 1 {
				r.name = fmt.Sprintf("%s, round %d", kind, round+1)
			}
			if err := s.raid(o, good, foes, r); err != nil {
				return err
			}
			raids = append(raids, r)
		}
	}
	if err := good.order(request{Op: orderHush}); err != nil {
		return err
	}
	if err := good.settle(); err != nil {
		return err
	}
	v, delays, err := good.close()
	if err != nil {
		return err
	}
	for _, r := range raids {
		for _, ph := range []*Phase{r.quiet, r.phase} {
			ph.Latency = LatencyOf(delays[ph.Name])
		}
		r.addCounters()
		s.card.Phases = append(s.card.Phases, *r.quiet, *r.phase)
	}
	s.addAccount("good viewers: whole account", &good.plan, v, delays)
	s.judgeRaids(o, raids, v)
	return nil
}

// span measures a party from now on and collects the latencies under the name.
func (p *party) span(name string, lasting time.Duration) (*Phase, error) {
	from := nowMicros() + 20_000
	to := from + lasting.Microseconds()
	if err := p.watch(name, from, to); err != nil {
		return nil, err
	}
	sleepUntil(from)
	m, err := p.measure(name)
	if err != nil {
		return nil, err
	}
	if err := m.until(to); err != nil {
		return nil, err
	}
	return m.finish()
}

// raid runs one kind, quiet first.
func (s *session) raid(o *hostileOptions, good *party, foes *crew, r *raid) (err error) {
	if r.quiet, err = good.span("quiet before "+r.name, o.duration); err != nil {
		return err
	}
	before, err := scrape(s.target.info.Control)
	if err != nil {
		return err
	}
	spec := &attackSpec{
		Kind: r.kind, Addr: s.target.info.Addr, Room: good.plan.room(0), Connections: o.hostile, OpenRate: o.openRate, SendRate: o.sendRate,
		CPUShare: o.cpuShare, Sources: max(1, o.hostile/250),
	}
	if _, err := foes.ask(request{Op: orderAttack, Attack: spec}, nil); err != nil {
		return err
	}
	if r.phase, err = good.span(r.name, o.duration); err != nil {
		return err
	}
	answers, err := foes.ask(request{Op: orderAttack}, nil)
	if err != nil {
		return err
	}
	r.attack = answers[0].Attack
	time.Sleep(breather)
	after, err := scrape(s.target.info.Control)
	if err != nil {
		return err
	}
	r.closes = closesBetween(before, after)
	return nil
}

// closesBetween is what the server counted as closed, by reason.
func closesBetween(before, after metrics) map[string]int64 {
	closes := map[string]int64{}
	for name, v := range after {
		label, ok := strings.CutPrefix(name, `danmakud_closes_total{reason="`)
		if n := int64(v - before[name]); ok && n > 0 {
			closes[strings.TrimSuffix(label, `"}`)] = n
		}
		label, ok = strings.CutPrefix(name, `danmakud_rejected_total{reason="`)
		if n := int64(v - before[name]); ok && n > 0 {
			closes["rejected: "+strings.TrimSuffix(label, `"}`)] = n
		}
	}
	return closes
}

// peerReasons are closes that the other side began: what is left of an attack
// when its process hangs up counts as these.
var peerReasons = []string{"peer_closed", "peer_reset", "client_close", "none"}

// counted is how many connections the server says that it ended itself.
func (r *raid) counted() (n int64) {
	for reason, k := range r.closes {
		if !slices.Contains(peerReasons, reason) {
			n += k
		}
	}
	return n
}

// judgeRaids sets the bars of every kind.
func (s *session) judgeRaids(o *hostileOptions, raids []*raid, v *judgement) {
	calm := raids[0].quiet
	s.setBars(calm, v)
	columns := []string{"Kind", "Opened", "At once", "Ended by the server", "How it looked", "Reasons the server counted", "Good p99, quiet", "Beside it", "Ratio", "RSS growth", "CPU of the attack"}
	var kinds []string
	ratios := map[string][]float64{}
	for _, r := range raids {
		if ratios[r.kind] == nil {
			kinds = append(kinds, r.kind)
		}
		ratio, growth := p99Ratio(r.phase, r.quiet), rssGrowth(r.phase, calm)
		ratios[r.kind] = append(ratios[r.kind], ratio)
		a := r.attack
		share := float64(a.CPU) / float64(max(1, a.Elapsed))
		if o.maxGrowth >= 0 {
			s.card.Bar(r.name+": RSS more than quiet", growth, "<=", float64(o.maxGrowth), "bytes")
		}
		s.card.Bar(r.name+": ends seen that the server did not count by a reason of its own", float64(max(0, a.ended()-r.counted())), "<=", 0, "")
		s.card.Bar(r.name+": hostile connections at one time", float64(a.MostOpen), ">=", 1, "")
		if r.kind == kindRetry {
			s.card.Bar(r.name+": tries not refused by the limit of connections", float64(a.ended()-refusedOf(a)), "<=", 0, "")
			s.note("%s: %s tries a second", r.name, count(float64(a.Opened)/(float64(a.Elapsed)/1e9)))
		}
		if o.minEnded > 0 {
			s.card.Bar(r.name+": ended by the server", float64(a.ended()), ">=", o.minEnded*float64(o.hostile), "")
		}
		s.card.addRow("Hostile connections", columns, []string{
			r.name, grouped(a.Opened), grouped(a.MostOpen), grouped(a.ended()), countsText(a.Ends), countsText(r.closes),
			p99Text(r.quiet), p99Text(r.phase), digits(ratio), byteSize(growth), digits(100*share) + " %",
		})
		s.note("%s: %d writes, %s sent, %d connects failed; the hostile process used %.0f %% of a core (at most %.0f %%); %d connections were open at the end",
			r.name, a.Writes, byteSize(float64(a.Bytes)), a.Failed, 100*share, 100*o.cpuShare, a.Open)
	}
	for _, kind := range kinds {
		if o.maxRatio > 0 {
			s.card.Bar(kind+": good viewers' p99 to quiet", median(ratios[kind]), "<=", o.maxRatio, "x")
		}
	}
}

// refusedOf is how many of an attack's connections ended as a server ends those for
// which it has no place: by a 503, or by a reset that overtook it.
func refusedOf(a *attackResult) int64 {
	return a.Ends["answered 503 Service Unavailable"] + a.Ends["reset"]
}

// addCounters keeps the numbers for programs, with the phase.
func (r *raid) addCounters() {
	p := r.phase
	if p.Counters == nil {
		p.Counters = map[string]int64{}
	}
	p.Counters["hostile_opened"], p.Counters["hostile_ended_by_server"] = r.attack.Opened, r.attack.ended()
	p.Counters["hostile_open_at_end"], p.Counters["hostile_cpu_ns"] = r.attack.Open, r.attack.CPU
	for how, n := range r.attack.Ends {
		p.Counters["hostile_end: "+how] = n
	}
	for reason, n := range r.closes {
		p.Counters["server_counted: "+reason] = n
	}
}

func p99Text(p *Phase) string {
	if p.Latency == nil {
		return "–"
	}
	return microseconds(float64(p.Latency.P99US))
}

// p99Ratio is NaN if either is not known.
func p99Ratio(p, quiet *Phase) float64 {
	if p.Latency == nil || quiet.Latency == nil {
		return math.NaN()
	}
	return float64(p.Latency.P99US) / float64(quiet.Latency.P99US)
}

// rssGrowth is the highest RSS of a phase above that at the end of the quiet
// one; NaN if not known.
func rssGrowth(p, quiet *Phase) float64 {
	if p.Server == nil || quiet.Server == nil {
		return math.NaN()
	}
	top := p.Server.RSSEnd
	for _, point := range p.Series {
		if point.ServerRSSBytes != nil {
			top = max(top, *point.ServerRSSBytes)
		}
	}
	return float64(top - quiet.Server.RSSEnd)
}

// countsText is "close 1002: 950, reset: 3", most first.
func countsText(m map[string]int64) string {
	names := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if m[a] != m[b] {
			return int(m[b] - m[a])
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		names[i] = name + ": " + grouped(m[name])
	}
	return strings.Join(names, ", ")
}
