package main

import (
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/plan"

	"github.com/spf13/cobra"
)

func (p *program) planCommand() *cobra.Command {
	l := plan.Load{}
	asJSON := false
	list := plan.Assumptions()
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Compute what a number of viewers takes: hosts, bytes, messages between nodes",
		Long: "Compute what a number of viewers and comments takes: frames and bytes a second,\n" +
			"hosts by CPU, network and memory, messages between nodes, and what other ticks and\n" +
			"budgets would change. It measures nothing: it is arithmetic on unit costs, which are\n" +
			"printed with their sources and can all be given.",
		Example: "  danmakud plan --viewers 5000000 --rate 1000\n" +
			"  danmakud plan --viewers 200000 --rate 300 --nodes 3 --host-cores 8 --host-gbit 10",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			made, err := plan.Make(l, list)
			if err != nil {
				return err
			}
			if asJSON {
				return made.WriteJSON(p.stdout)
			}
			return made.WriteText(p.stdout)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&l.Viewers, "viewers", 5_000_000, "at one time, over all rooms")
	f.Float64Var(&l.Rate, "rate", 1000, "comments a second, over all rooms")
	f.IntVar(&l.Rooms, "rooms", 1, "rooms, all alike")
	f.IntVar(&l.Nodes, "nodes", 0, "nodes; 0 = as many as it takes")
	f.DurationVar(&l.Tick, "tick", 100*time.Millisecond, "the least time between two batches of a room")
	f.IntVar(&l.Shards, "bus-shards", 256, "subjects that rooms are divided among")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	for i := range list {
		a := &list[i]
		usage := a.Meaning
		if a.Unit != "" {
			usage += ", " + a.Unit
		}
		f.Float64Var(&a.Value, a.Name, a.Value, usage)
	}
	return cmd
}
