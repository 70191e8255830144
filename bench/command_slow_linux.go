package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"
)

type slowOptions struct {
	options
	stallers  int
	stall     time.Duration
	maxRatio  float64
	maxGrowth int64
}

func slowCommand() *cobra.Command {
	o := slowOptions{options: defaultOptions()}
	o.viewers, o.rate, o.duration, o.nap = 10000, 500, 10*time.Second, time.Millisecond
	c := loadCommand("slow", "Some viewers stop reading for a while; the others must not feel it",
		"bench slow --server bin/danmakud --viewers 10000 --stallers 2000 --stall 30s", &o.options, nil)
	c.Flags().IntVar(&o.stallers, "stallers", 2000, "how many of the viewers stop reading")
	c.Flags().DurationVar(&o.stall, "stall", 30*time.Second, "for how long; --duration is the time before and after")
	c.Flags().Float64Var(&o.maxRatio, "max-ratio", 1.2, "fail if the others' p99 meanwhile is more times that of before; 0 = no bar")
	c.Flags().Int64Var(&o.maxGrowth, "max-rss-growth", 20<<20, "fail if the server's RSS grows by more bytes meanwhile; -1 = no bar")
	c.RunE = func(*cobra.Command, []string) error {
		s, err := newSession("slow", o.options, o.viewers)
		if err != nil {
			return err
		}
		s.card.Parameters["stallers"], s.card.Parameters["stall"] = o.stallers, o.stall.String()
		if err := s.slow(&o); err != nil {
			return errors.Join(err, s.abandon())
		}
		return s.finish()
	}
	return c
}

// slow has three parts under one constant load: all read, some do not, all
// read again. The stallers' own latencies are not recorded.
func (s *session) slow(o *slowOptions) error {
	p := o.plan(s.target.info.Addr)
	p.Stallers = o.stallers
	party, err := s.invite(p, "")
	if err != nil {
		return err
	}
	if err := party.open(p.Viewers); err != nil {
		return err
	}
	start, err := party.send(headStart, o.warmup+2*o.duration+o.stall, o.rate, false, o.messageBytes)
	if err != nil {
		return err
	}
	at := start + o.warmup.Microseconds()
	script := []slowPart{
		{"before", o.duration, func() error { return nil }},
		{"stalled", o.stall, func() error { return party.order(request{Op: orderStall, On: true}) }},
		{"after", o.duration, func() error { return party.order(request{Op: orderStall}) }},
	}
	parts, err := party.play(at, script)
	if err != nil {
		return err
	}
	if err := party.settle(); err != nil {
		return err
	}
	return s.endSlow(o, party, parts)
}

// slowPart is one part of the run, with what begins it.
type slowPart struct {
	name    string
	lasting time.Duration
	order   func() error
}

// play measures the parts one after the other, the first from a moment on.
func (p *party) play(at int64, script []slowPart) (parts []*Phase, err error) {
	begin := at
	for _, part := range script {
		end := begin + part.lasting.Microseconds()
		if err := p.watch(part.name, begin, end); err != nil {
			return nil, err
		}
		begin = end
	}
	sleepUntil(at)
	for _, part := range script {
		at += part.lasting.Microseconds()
		if err := part.order(); err != nil {
			return nil, err
		}
		m, err := p.measure(part.name)
		if err != nil {
			return nil, err
		}
		if err := m.until(at); err != nil {
			return nil, err
		}
		ph, err := m.finish()
		if err != nil {
			return nil, err
		}
		parts = append(parts, ph)
	}
	return parts, nil
}

func (s *session) endSlow(o *slowOptions, party *party, parts []*Phase) error {
	v, delays, err := party.close()
	if err != nil {
		return err
	}
	for _, ph := range parts {
		ph.Latency = LatencyOf(delays[ph.Name])
		s.card.Phases = append(s.card.Phases, *ph)
	}
	s.addAccount("whole account", &party.plan, v, delays)
	before, stalled := parts[0], parts[1]
	s.setBars(stalled, v)
	s.card.Bar("viewers told what they skipped", float64(v.Skips["viewers"]), ">=", 1, "")
	if n := v.Skips["viewers"]; n < int64(o.stallers) {
		s.note("%d of %d stallers had batches skipped; the others' sockets held all of it", n, o.stallers)
	}
	if o.maxRatio > 0 {
		ratio := -1.0
		if before.Latency != nil && stalled.Latency != nil {
			ratio = float64(stalled.Latency.P99US) / float64(before.Latency.P99US)
		}
		s.card.Bar("p99 while stalled to before", orNaN(ratio), "<=", o.maxRatio, "x")
	}
	if before.Server != nil && o.maxGrowth >= 0 {
		top := before.Server.RSSEnd
		for _, point := range stalled.Series {
			if point.ServerRSSBytes != nil {
				top = max(top, *point.ServerRSSBytes)
			}
		}
		s.card.Bar("RSS growth while stalled", float64(top-before.Server.RSSEnd), "<=", float64(o.maxGrowth), "bytes")
	}
	return nil
}
