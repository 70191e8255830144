package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func stormCommand() *cobra.Command {
	o := defaultOptions()
	o.viewers, o.drain, o.rate = 15000, "framed", 0
	var rounds int
	var minConnects float64
	c := loadCommand("storm", "Everybody connects at once: connections a second, handshake latency",
		"bench storm --server bin/danmakud --viewers 15000 --rounds 3 --min-connects 10000", &o, nil)
	c.Flags().IntVar(&rounds, "rounds", 3, "how often; all leave in between")
	c.Flags().Float64Var(&minConnects, "min-connects", 0, "fail if fewer connections a second have joined, in the worst round")
	c.RunE = func(*cobra.Command, []string) error {
		s, err := newSession("storm", o, o.viewers)
		if err != nil {
			return err
		}
		worst, err := s.storm(rounds)
		if err != nil {
			return errors.Join(err, s.abandon())
		}
		if minConnects > 0 {
			s.card.Bar("connections a second", worst, ">=", minConnects, "")
		}
		return s.finish()
	}
	return c
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
