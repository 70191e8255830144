//go:build linux

// Bench is the load tool of danmakud, and the judge of it. It holds thousands
// of viewers with a few system calls each, says what they should have got, and
// fails when a single comment is missing, twice there, late in order or
// changed by one byte.
//
//	bench (parent) ── starts, stops, scrapes ──► danmakud
//	  │  plans, measures, judges                   ▲
//	  │  JSON lines over stdin and stdout          │ TCP from 127.0.0.x
//	  ├─► bench worker (one per 15,000 connections)│
//	  │     loop:  one epoll, reads all viewers ───┤   counted · framed · verified
//	  │     pacer: sends at intended times ────────┤   every text bears a stamp
//	  └─► bench worker (hostile only) ─────────────┘   breaks the rules, within a share of CPU
//
// Start reading in plan.go (who is where), viewer_linux.go (what is looked at)
// and judge.go (what is right).
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"
)

// The main goroutine keeps the main thread: a server that it starts is told
// when this very thread ends (see findTarget).
func init() { runtime.LockOSThread() }

func main() {
	root := newRoot()
	if err := root.Execute(); err != nil {
		if !errors.Is(err, errNotPassed) { // the summary has said why
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "bench",
		Short:         "Load and judge a danmakud server",
		Long:          "Bench loads a danmakud server and verifies what it delivers.\nThe exit status is 0 only if no fault was found and every bar was met.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		fanoutCommand(), quietCommand(), idleCommand(), churnCommand(), slowCommand(),
		stormCommand(), hotroomCommand(), floorCommand(), compressCommand(), mixedCommand(), clusterCommand(), hostileCommand(), deployCommand(), reportCommand(), checkCommand(),
		&cobra.Command{
			Use: hiddenWorker, Hidden: true, Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return workerMain() },
		},
	)
	return root
}

// loadCommand makes a subcommand with the common flags. defaults changes the
// common defaults before they are shown.
func loadCommand(use, short, example string, o *options, run func() error) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Example: "  " + example, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return run() },
	}
	o.bind(c.Flags())
	return c
}
