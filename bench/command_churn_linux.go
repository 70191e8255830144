package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

type churnOptions struct {
	options
	joins     float64
	stay      time.Duration
	maxGrowth int64
}

func churnCommand() *cobra.Command {
	o := churnOptions{options: defaultOptions()}
	o.viewers, o.rate, o.duration, o.nap = 10000, 50, 60*time.Second, time.Millisecond
	c := loadCommand("churn", "Viewers join and leave all the time beside steady ones",
		"bench churn --server bin/danmakud --viewers 10000 --joins 500 --duration 60s", &o.options, nil)
	c.Flags().Float64Var(&o.joins, "joins", 500, "joins a second, and as many leaves; every one of them verifies")
	c.Flags().DurationVar(&o.stay, "stay", 2*time.Second, "mean time they stay")
	c.Flags().Int64Var(&o.maxGrowth, "max-rss-growth", 20<<20, "fail if the server's RSS is more bytes above the start afterwards; -1 = no bar")
	c.RunE = func(*cobra.Command, []string) error {
		s, err := newSession("churn", o.options, o.viewers+int(o.joins*o.stay.Seconds()*2))
		if err != nil {
			return err
		}
		s.card.Parameters["joins"], s.card.Parameters["stay"] = o.joins, o.stay.String()
		if err := s.churn(&o); err != nil {
			return errors.Join(err, s.abandon())
		}
		return s.finish()
	}
	return c
}

// churn runs a steady fleet and a churning one in the same rooms.
func (s *session) churn(o *churnOptions) error {
	steady, err := s.invite(o.plan(s.target.info.Addr), "")
	if err != nil {
		return err
	}
	p := steady.plan
	p.Viewers, p.Senders, p.Verified, p.ChurnRate, p.Stay = p.Rooms, 0, 0, o.joins, o.stay
	guests, err := s.invite(p, "")
	if err != nil {
		return err
	}
	if err := steady.open(o.viewers); err != nil {
		return err
	}
	start, err := steady.send(headStart, o.warmup+o.duration, o.rate, false, o.messageBytes)
	if err != nil {
		return err
	}
	from := start + o.warmup.Microseconds()
	to := from + o.duration.Microseconds()
	if err := steady.watch("latency", from, to); err != nil {
		return err
	}
	sleepUntil(from)
	before := s.target.proc()
	m, err := steady.measure("churning")
	if err != nil {
		return err
	}
	m.with = []*party{guests} // nobody has come yet
	if err := guests.order(request{Op: orderChurn, On: true}); err != nil {
		return err
	}
	if err := m.until(to); err != nil {
		return err
	}
	ph, err := m.finish()
	if err != nil {
		return err
	}
	if err := guests.empty(); err != nil {
		return err
	}
	return s.endChurn(o, steady, guests, ph, before)
}

// empty ends the joining and waits until all guests have left in their time.
func (p *party) empty() error {
	if err := p.order(request{Op: orderChurn}); err != nil {
		return err
	}
	end := time.Now().Add(2*p.plan.Stay + 15*time.Second)
	for time.Now().Before(end) {
		st, err := p.status()
		if err != nil || st.Joined+st.Connecting == 0 {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("guests were still there after their time")
}

// endChurn judges both fleets and what they left behind in the server.
func (s *session) endChurn(o *churnOptions, steady, guests *party, ph *Phase, before *ProcSample) error {
	if err := steady.settle(); err != nil {
		return err
	}
	time.Sleep(time.Second) // sockets closed by guests are reaped
	s.target.collectGarbage()
	after := s.target.proc()
	for end := time.Now().Add(5 * time.Second); before != nil && after != nil && after.FDs > before.FDs && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond) // a close under way ends, a leak does not
		after = s.target.proc()
	}
	st, err := guests.status()
	if err != nil {
		return err
	}
	gv, gd, err := guests.close()
	if err != nil {
		return err
	}
	v, delays, err := steady.close()
	if err != nil {
		return err
	}
	ph.Latency = LatencyOf(delays["latency"])
	s.card.Phases = append(s.card.Phases, *ph)
	s.addAccount("steady viewers: whole account", &steady.plan, v, delays)
	g := s.addAccount("guests: whole account", &guests.plan, gv, gd)
	g.Received = Counts{Frames: st.VerifiedFrames, Deliveries: st.VerifiedComments, Bytes: st.VerifiedBytes}
	g.Viewers, g.Verified = st.Joins, st.Joins
	g.Counters["leaves"] = st.Leaves
	s.setBars(ph, v)
	s.card.Bar("joins a second", float64(st.Joins)/o.duration.Seconds(), ">=", o.joins*0.95, "")
	if before != nil && after != nil {
		s.card.Bar("open files more than before", float64(after.FDs-before.FDs), "<=", 0, "")
		if o.maxGrowth >= 0 {
			s.card.Bar("RSS more than before", float64(after.RSS-before.RSS), "<=", float64(o.maxGrowth), "bytes")
		}
	}
	return nil
}
