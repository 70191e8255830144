package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"
)

func fanoutCommand() *cobra.Command {
	o := defaultOptions()
	o.viewers, o.rate, o.nap = 5000, 1000, time.Millisecond
	return loadCommand("fanout", "Many viewers in one room (or a few), many comments",
		"bench fanout --server bin/danmakud --viewers 5000 --rate 1000 --max-p99 160ms", &o,
		func() error { return runSteady("fanout", o, false) })
}

func quietCommand() *cobra.Command {
	o := defaultOptions()
	o.viewers, o.rooms, o.senders, o.rate, o.drain = 10000, 1000, 1000, 1000, "verified"
	c := loadCommand("quiet", "Many small rooms, one comment a second in each at a random moment",
		"bench quiet --server bin/danmakud --rooms 1000 --viewers 10000 --max-p50 1ms --max-p99 5ms", &o,
		nil)
	c.RunE = func(*cobra.Command, []string) error {
		if !c.Flags().Changed("senders") {
			o.senders = o.rooms
		}
		if !c.Flags().Changed("rate") {
			o.rate = float64(o.rooms)
		}
		return runSteady("quiet", o, true)
	}
	return c
}

// runSteady is the whole of fanout and quiet.
func runSteady(name string, o options, random bool) error {
	s, err := newSession(name, o, o.viewers)
	if err != nil {
		return err
	}
	ph, v, err := s.steady(s.options.plan(s.target.info.Addr), "", load{
		name: "measurement", rate: o.rate, random: random, messageBytes: o.messageBytes, warmup: o.warmup, duration: o.duration,
	})
	if err != nil {
		return errors.Join(err, s.abandon())
	}
	s.setBars(ph, v)
	return s.finish()
}

// load is a constant stream of comments.
type load struct {
	name         string
	rate         float64
	random       bool
	messageBytes int
	warmup       time.Duration
	duration     time.Duration
}

// headStart is how long before the first comment the senders are told.
const headStart = 200 * time.Millisecond

// steady runs one fleet from the first connect to the last byte: join, warm
// up, measure, settle, judge. It puts two phases on the card: what was measured
// within the window, and the exact account of everything.
func (s *session) steady(p plan, room string, l load) (*Phase, *judgement, error) {
	party, err := s.invite(p, room)
	if err != nil {
		return nil, nil, err
	}
	if err := party.open(p.Viewers); err != nil {
		return nil, nil, err
	}
	start, err := party.send(headStart, l.warmup+l.duration, l.rate, l.random, l.messageBytes)
	if err != nil {
		return nil, nil, err
	}
	from := start + l.warmup.Microseconds()
	to := from + l.duration.Microseconds()
	if err := party.watch("latency", from, to); err != nil {
		return nil, nil, err
	}
	sleepUntil(from)
	m, err := party.measure(l.name)
	if err != nil {
		return nil, nil, err
	}
	if err := m.until(to); err != nil {
		return nil, nil, err
	}
	ph, err := m.finish()
	if err != nil {
		return nil, nil, err
	}
	if err := party.settle(); err != nil {
		return nil, nil, err
	}
	v, delays, err := party.close()
	if err != nil {
		return nil, nil, err
	}
	ph.Latency = LatencyOf(delays["latency"])
	s.card.Phases = append(s.card.Phases, *ph)
	s.addAccount(l.name+": whole account", &party.plan, v, delays)
	if skipped := m.skippedByServer(); v.Faults.Counts[faultBytes] > 0 && skipped > 0 {
		s.note("the server skipped %d batches, which viewers that only count bytes cannot see: repeat with --drain framed", skipped)
	}
	return ph, v, nil
}

// setBars judges a phase by the bars of the flags.
func (s *session) setBars(ph *Phase, v *judgement) {
	o, c := &s.options, s.card
	quantile := func(name string, limit time.Duration, value func(*Latency) int64) {
		if limit <= 0 {
			return
		}
		us := -1.0
		if ph.Latency != nil {
			us = float64(value(ph.Latency))
		}
		c.Bar(name, orNaN(us), "<=", float64(limit.Microseconds()), "us")
	}
	quantile("latency p50", o.maxP50, func(l *Latency) int64 { return l.P50US })
	quantile("latency p99", o.maxP99, func(l *Latency) int64 { return l.P99US })
	quantile("latency p99.9", o.maxP999, func(l *Latency) int64 { return l.P999US })
	if o.maxLost >= 0 {
		c.Bar("lost", float64(v.Faults.Counts[faultLost]), "<=", float64(o.maxLost), "")
	}
	if o.minDeliveries > 0 {
		c.Bar("deliveries a second", float64(ph.Received.Deliveries)/ph.DurationS, ">=", o.minDeliveries, "")
	}
	cost := func(name string, limit time.Duration, value func(*Cost) float64) {
		if limit <= 0 {
			return
		}
		ns := -1.0
		if ph.Cost != nil {
			ns = value(ph.Cost)
		}
		c.Bar(name, orNaN(ns), "<=", float64(limit.Nanoseconds()), "ns")
	}
	cost("server CPU per frame", o.maxCPUPerFrame, func(k *Cost) float64 { return k.CPUNSPerFrame })
	cost("server CPU per delivery", o.maxCPUPerDelivery, func(k *Cost) float64 { return k.CPUNSPerDelivery })
}
