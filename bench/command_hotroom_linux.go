package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
)

func hotroomCommand() *cobra.Command {
	o := defaultOptions()
	o.viewers, o.rooms, o.rate, o.drain = 10000, 100, 5, "framed"
	rounds, maxRatio := 3, 1.2
	c := loadCommand("hotroom", "One room with everybody against many rooms, at the same deliveries",
		"bench hotroom --server bin/danmakud --viewers 10000 --rooms 100 --max-ratio 1.2", &o, nil)
	c.Flags().IntVar(&rounds, "rounds", rounds, "pairs of runs, in alternating order")
	c.Flags().Float64Var(&maxRatio, "max-ratio", maxRatio, "fail if a delivery in the hot room costs more times one in many rooms; 0 = no bar")
	c.Flags().Lookup("rate").Usage = "comments a second in each room"
	c.RunE = func(*cobra.Command, []string) error {
		s, err := newSession("hotroom", o, o.viewers)
		if err != nil {
			return err
		}
		if err := s.hotroom(rounds, maxRatio); err != nil {
			return errors.Join(err, s.abandon())
		}
		return s.finish()
	}
	return c
}

// hotroom alternates the two and compares the server's CPU a delivery. Many
// rooms take in as many times more comments, which counts in their favour of
// being compared at all: it is what the same deliveries need there.
func (s *session) hotroom(rounds int, maxRatio float64) error {
	o := &s.options
	k := Comparison{
		Name: fmt.Sprintf("1 room of %d to %d rooms of %d", o.viewers, o.rooms, o.viewers/o.rooms), Viewers: int64(o.viewers),
		Unit: "ns/delivery", Label: "one hot room", BaseLabel: "many rooms",
	}
	var hot, many []float64
	for round := range rounds {
		pair := []int{1, o.rooms}
		if round%2 == 1 {
			slices.Reverse(pair)
		}
		for _, rooms := range pair {
			p := o.plan(s.target.info.Addr)
			p.Rooms, p.Senders = rooms, o.sendersFor(o.viewers, rooms)
			ph, _, err := s.steady(p, fmt.Sprintf("h%d-%d", round, rooms), load{
				name: fmt.Sprintf("round %d, rooms %d", round+1, rooms), rate: o.rate * float64(rooms),
				messageBytes: o.messageBytes, warmup: o.warmup, duration: o.duration,
			})
			switch {
			case err != nil:
				return err
			case ph.Cost == nil:
				return fmt.Errorf("no CPU of the server is known: --pid is needed with --addr")
			case rooms == 1:
				hot = append(hot, ph.Cost.CPUNSPerDelivery)
			default:
				many = append(many, ph.Cost.CPUNSPerDelivery)
			}
		}
	}
	k.fill(hot, many)
	s.compare(k, maxRatio)
	return nil
}

// fill sums up paired rounds: medians, and the median of the ratios.
func (k *Comparison) fill(values, bases []float64) {
	ratios := make([]float64, 0, len(values))
	for i := range values {
		ratios = append(ratios, values[i]/bases[i])
	}
	slices.Sort(ratios)
	k.Ratio, k.RatioMin, k.RatioMax, k.Rounds = median(ratios), ratios[0], ratios[len(ratios)-1], len(ratios)
	k.Value, k.Base = median(values), median(bases)
}

// median of a copy; the mean of the middle two if their number is even.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// compare puts a comparison on the card, with a bar if a limit is given.
func (s *session) compare(k Comparison, limit float64) {
	if limit > 0 {
		k.Limit = &limit
		s.card.Bar(k.Name, k.Ratio, "<=", limit, "x")
	}
	s.card.Comparisons = append(s.card.Comparisons, k)
}
