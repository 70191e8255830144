package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func reportCommand() *cobra.Command {
	return &cobra.Command{
		Use: "report CARD.json", Short: "Make a page with plots of a run card, on standard output",
		Example: "  bench report out/fanout.json > fanout.html", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return Report(args[0], os.Stdout) },
	}
}

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check CARD.json…", Short: "Print run cards; the exit status says whether all of them passed",
		Example: "  bench check out/*.json", Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			passed := true
			for _, path := range args {
				f, err := os.Open(path)
				if err != nil {
					return err
				}
				card, err := LoadCard(f)
				f.Close()
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				summarize(os.Stdout, card)
				passed = passed && card.Judge()
			}
			if !passed {
				return errNotPassed
			}
			return nil
		},
	}
}
