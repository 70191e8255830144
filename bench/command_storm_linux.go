package main

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"
)

// stormOptions are what only storm knows.
type stormOptions struct {
	options
	rounds      int
	minConnects float64
	stayers     int
	acceptRate  float64
	after       time.Duration
	patience    time.Duration
	maxRSSRatio float64
	maxBack     time.Duration
}

func stormCommand() *cobra.Command {
	o := stormOptions{options: defaultOptions()}
	o.viewers, o.drain, o.rate = 15000, "framed", 0
	c := loadCommand("storm", "Everybody connects at once: connections a second, handshake latency",
		"bench storm --server bin/danmakud --viewers 15000 --rounds 3 --min-connects 10000\n"+
			"  bench storm --server bin/danmakud --viewers 15000 --stayers 2000 --accept-rate 2000 --max-rss-ratio 1.2", &o.options, nil)
	f := c.Flags()
	f.IntVar(&o.rounds, "rounds", 3, "how often; all leave in between (without --stayers)")
	f.Float64Var(&o.minConnects, "min-connects", 0, "fail if fewer connections a second have joined, in the worst round")
	f.IntVar(&o.stayers, "stayers", 0, "of the viewers, how many stay, with comments flowing, while all others are killed at once and come back without back-off")
	f.Float64Var(&o.acceptRate, "accept-rate", 0, "the server's accept rate: given to a server that is started, and a bar with --stayers; 0 = no limit")
	f.DurationVar(&o.after, "after", 60*time.Second, "with --stayers: how long after all are back the server's memory is followed")
	f.DurationVar(&o.patience, "patience", 90*time.Second, "with --stayers: give up if all are not back by then")
	f.Float64Var(&o.maxRSSRatio, "max-rss-ratio", 1.2, "with --stayers: fail if the server's RSS afterwards is more times that of before; 0 = no bar")
	f.DurationVar(&o.maxBack, "max-back", 0, "with --stayers: fail if it takes longer until all are back; 0 = no bar")
	c.RunE = func(*cobra.Command, []string) error {
		if o.stayers > 0 && !f.Changed("rate") {
			o.rate = 100
		}
		if o.acceptRate > 0 {
			o.serverFlags = append(o.serverFlags, fmt.Sprintf("--accept-rate=%g", o.acceptRate))
		}
		return runStorm(o)
	}
	return c
}

func runStorm(o stormOptions) error {
	if o.stayers < 0 || o.stayers >= o.viewers {
		return fmt.Errorf("--stayers must be fewer than --viewers")
	}
	s, err := newSession("storm", o.options, o.viewers)
	if err != nil {
		return err
	}
	if o.stayers > 0 {
		s.card.Parameters["stayers"], s.card.Parameters["accept-rate"] = o.stayers, o.acceptRate
		if err := s.stormBack(&o); err != nil {
			return errors.Join(err, s.abandon())
		}
		return s.finish()
	}
	worst, err := s.storm(o.rounds)
	if err != nil {
		return errors.Join(err, s.abandon())
	}
	if o.minConnects > 0 {
		s.card.Bar("connections a second", worst, ">=", o.minConnects, "")
	}
	return s.finish()
}

// storm connects all viewers, several times, and returns the lowest rate.
func (s *session) storm(rounds int) (worst float64, err error) {
	o := &s.options
	for round := range rounds {
		p := o.plan(s.target.info.Addr)
		p.Senders = 0
		party, err := s.invite(p, fmt.Sprint("s", round))
		if err != nil {
			return 0, err
		}
		m, err := party.measure(fmt.Sprintf("round %d", round+1))
		if err != nil {
			return 0, err
		}
		if err := party.open(o.viewers); err != nil {
			return 0, err
		}
		ph, err := m.finish()
		if err != nil {
			return 0, err
		}
		v, delays, err := party.close()
		if err != nil {
			return 0, err
		}
		rate := float64(v.Joined) / party.joined.Seconds()
		if round == 0 || rate < worst {
			worst = rate
		}
		ph.Latency = LatencyOf(delays["join"])
		s.card.Phases = append(s.card.Phases, *ph)
		s.addAccount(ph.Name+": whole account", &party.plan, v, delays)
		cpu := 0.0
		if ph.Server != nil {
			cpu = float64(ph.Server.CPUNS) / float64(max(v.Joined, 1))
		}
		s.note("round %d: %d joined in %v, %s a second, server CPU %s a connection; latency is connect to welcome",
			round+1, v.Joined, party.joined.Round(time.Millisecond), count(rate), duration(cpu))
		s.setBars(ph, v)
		time.Sleep(500 * time.Millisecond) // the server notices that all have left
	}
	return worst, nil
}

// stormRun is one storm with stayers while it goes on.
type stormRun struct {
	stayers, others, back *party

	before   int64 // RSS, bytes
	peak     int64
	afterRSS int64
	calmAt   float64 // seconds after all were back until the RSS was within the ratio; NaN: never
	backIn   time.Duration
	joins    []float64 // a second, one for each
	all      bool      // all came back
}

// stormBack kills all viewers but the stayers at once and lets as many come
// back, each trying again and again, while comments flow.
func (s *session) stormBack(o *stormOptions) error {
	r, err := s.gather(o)
	if err != nil {
		return err
	}
	start, err := r.stayers.send(headStart, o.warmup+o.patience+o.after+30*time.Second, o.rate, false, o.messageBytes)
	if err != nil {
		return err
	}
	from := start + o.warmup.Microseconds()
	sleepUntil(from)
	s.target.collectGarbage()
	if p := s.target.proc(); p != nil {
		r.before = p.RSS
	}
	m, err := r.stayers.measure("storm")
	if err != nil {
		return err
	}
	m.with = []*party{r.back}
	if err := r.stayers.watch("storm", nowMicros(), math.MaxInt64); err != nil {
		return err
	}
	if err := r.rage(o, m); err != nil {
		return err
	}
	if err := r.calm(o, m); err != nil {
		return err
	}
	ph, err := m.finish()
	if err != nil {
		return err
	}
	if err := r.stayers.order(request{Op: orderHush}); err != nil {
		return err
	}
	if err := r.stayers.settle(); err != nil {
		return err
	}
	return s.endStorm(o, r, ph)
}

// gather joins the stayers and those who will be killed, and announces those
// who come back in their place.
func (s *session) gather(o *stormOptions) (*stormRun, error) {
	p := o.plan(s.target.info.Addr)
	p.Viewers, p.Senders, p.Verified = o.stayers, o.sendersFor(o.stayers, o.rooms), verifiedFor(o.stayers, o.sample)
	r := new(stormRun)
	var err error
	if r.stayers, err = s.invite(p, ""); err != nil {
		return nil, err
	}
	p.Viewers, p.Senders = o.viewers-o.stayers, 0
	p.Verified = verifiedFor(p.Viewers, o.sample)
	if r.others, err = s.invite(p, ""); err != nil {
		return nil, err
	}
	p.Returns, p.InFlight = true, p.Viewers
	if r.back, err = s.invite(p, ""); err != nil {
		return nil, err
	}
	return r, errors.Join(r.stayers.open(o.stayers), r.others.open(p.Viewers))
}

// rage resets the others and waits until as many are back.
func (r *stormRun) rage(o *stormOptions, m *measurement) error {
	if err := r.others.order(request{Op: orderKill}); err != nil {
		return err
	}
	began := time.Now()
	if err := r.back.order(request{Op: orderOpen, Until: r.back.plan.Viewers}); err != nil {
		return err
	}
	live := r.back.session.live()
	defer live.clear()
	last, second := int64(0), time.Now()
	for end := began.Add(o.patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		st, err := r.back.status()
		if err != nil {
			return err
		}
		live.show("coming back: %d of %d, %d connecting", st.Joined, r.back.plan.Viewers, st.Connecting)
		if lasting := time.Since(second); lasting >= time.Second || st.Joined >= r.back.plan.Viewers {
			r.joins = append(r.joins, float64(st.Joins-last)/max(lasting, time.Second).Seconds())
			last, second = st.Joins, time.Now()
			if err := r.point(m); err != nil {
				return err
			}
		}
		if st.Joined >= r.back.plan.Viewers {
			r.backIn, r.all = time.Since(began), true
			return nil
		}
	}
	r.backIn = time.Since(began)
	return nil
}

// point adds one to the series and follows the server's memory.
func (r *stormRun) point(m *measurement) error {
	now, err := m.take(false)
	if err != nil {
		return err
	}
	m.phase.Series = append(m.phase.Series, m.second(&now))
	m.last = now
	if now.server != nil {
		r.afterRSS = now.server.RSS
		r.peak = max(r.peak, now.server.RSS)
	}
	return nil
}

// calm follows the server's memory after the storm.
func (r *stormRun) calm(o *stormOptions, m *measurement) error {
	r.calmAt = math.NaN()
	began := time.Now()
	for time.Since(began) < o.after {
		time.Sleep(min(time.Second, o.after))
		if err := r.point(m); err != nil {
			return err
		}
		within := float64(r.afterRSS) <= o.maxRSSRatio*float64(r.before)
		switch {
		case !within:
			r.calmAt = math.NaN()
		case math.IsNaN(r.calmAt):
			r.calmAt = time.Since(began).Seconds()
		}
	}
	return nil
}

// endStorm judges all three fleets.
func (s *session) endStorm(o *stormOptions, r *stormRun, ph *Phase) error {
	bv, bd, err := r.back.close()
	if err != nil {
		return err
	}
	ov, od, err := r.others.close()
	if err != nil {
		return err
	}
	v, delays, err := r.stayers.close()
	if err != nil {
		return err
	}
	ph.Latency = LatencyOf(delays["storm"])
	if bd["join"] != nil {
		if l := LatencyOf(bd["join"]); l != nil {
			ph.Others = append(ph.Others, NamedDelay{Name: "connect to welcome", Latency: *l})
		}
	}
	ph.Drops = bv.Outcomes
	if ph.Counters == nil {
		ph.Counters = map[string]int64{}
	}
	for name, n := range map[string]int64{
		"killed": int64(r.back.plan.Viewers), "back": bv.Joined, "back_ms": r.backIn.Milliseconds(), "stayed": v.Stayed,
		"rss_before_bytes": r.before, "rss_peak_bytes": r.peak, "rss_after_bytes": r.afterRSS,
	} {
		ph.Counters[name] = n
	}
	s.card.Phases = append(s.card.Phases, *ph)
	s.addAccount("stayers: whole account", &r.stayers.plan, v, delays)
	s.addAccount("those killed", &r.others.plan, ov, od)
	s.addAccount("those who came back: whole account", &r.back.plan, bv, bd)
	s.judgeStorm(o, r, ph, v, bv)
	return nil
}

// judgeStorm sets the bars.
func (s *session) judgeStorm(o *stormOptions, r *stormRun, ph *Phase, v, bv *judgement) {
	back := int64(r.back.plan.Viewers)
	s.setBars(ph, v)
	s.card.Bar("viewers not back", float64(back-bv.Joined), "<=", 0, "")
	s.card.Bar("stayers that were closed", float64(int64(r.stayers.plan.Viewers)-v.Stayed), "<=", 0, "")
	most, mean := 0.0, float64(bv.Joined)/r.backIn.Seconds()
	for _, n := range r.joins {
		most = max(most, n)
	}
	if o.acceptRate > 0 {
		// A second of the tool is not a second of the server: a burst may fall into two.
		s.card.Bar("joins in the fullest second", most, "<=", 1.25*o.acceptRate+100, "")
		s.card.Bar("joins more than the accept rate allows", float64(bv.Joined)-o.acceptRate*r.backIn.Seconds(), "<=", o.acceptRate, "") // a bucket holds a second's worth
	}
	if o.maxBack > 0 {
		s.card.Bar("time until all were back", r.backIn.Seconds(), "<=", o.maxBack.Seconds(), "s")
	}
	ratio := math.NaN()
	if r.before > 0 && r.afterRSS > 0 {
		ratio = float64(r.afterRSS) / float64(r.before)
	}
	if o.maxRSSRatio > 0 {
		s.card.Bar(fmt.Sprintf("RSS %v after the storm to before", o.after), ratio, "<=", o.maxRSSRatio, "x")
	}
	s.card.Tables = append(s.card.Tables, Table{
		Title:   "The storm",
		Columns: []string{"Killed", "Back", "In", "Joins/s, mean", "Joins/s, fullest", "RSS before", "RSS peak", "RSS after", "Ratio", "Within the ratio after", "Could not connect"},
		Rows: [][]string{{
			grouped(back), grouped(bv.Joined), r.backIn.Round(time.Millisecond).String(), count(mean), count(most), byteSize(float64(r.before)),
			byteSize(float64(r.peak)), byteSize(float64(r.afterRSS)), digits(ratio), digits(r.calmAt) + " s", countsText(bv.Outcomes),
		}},
	})
	s.note("who could not connect tried again every %d ms, without back-off; the kernel's own pause between two SYNs that were dropped is in the time", retryMicros/1000)
}
