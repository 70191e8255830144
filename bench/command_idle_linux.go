package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// idleOptions are what only idle knows.
type idleOptions struct {
	options
	steps      string
	settle     time.Duration
	maxBytes   float64
	maxThreads int
}

func idleCommand() *cobra.Command {
	o := idleOptions{options: defaultOptions()}
	o.drain, o.rate = "framed", 0
	c := loadCommand("idle", "What an idle, joined connection costs: memory, goroutines, threads",
		"bench idle --server bin/danmakud --steps 4000,19000 --max-bytes 256", &o.options, nil)
	c.Flags().StringVar(&o.steps, "steps", "4000,19000", "numbers of connections; the slope is taken from the first to the last")
	c.Flags().DurationVar(&o.settle, "settle", 3*time.Second, "rest before each look")
	c.Flags().Float64Var(&o.maxBytes, "max-bytes", 0, "fail if the server's RSS grows by more bytes a connection")
	c.Flags().IntVar(&o.maxThreads, "max-threads", 2, "fail if this many more threads than at 0 connections (the Go runtime starts one now and then); -1 = no bar")
	c.RunE = func(*cobra.Command, []string) error { return runIdle(o) }
	return c
}

// footprint is the server at one number of connections.
type footprint struct {
	connections  int
	rss, anon    int64
	threads, fds int
	goroutines   float64
}

func runIdle(o idleOptions) error {
	steps, err := parseNumbers(o.steps)
	if err != nil || len(steps) < 2 || !slices.IsSorted(steps) {
		return fmt.Errorf("--steps %q: two or more rising numbers", o.steps)
	}
	o.viewers = steps[len(steps)-1]
	s, err := newSession("idle", o.options, o.viewers)
	if err != nil {
		return err
	}
	s.card.Parameters["steps"] = o.steps
	if err := s.idle(&o, steps); err != nil {
		return errors.Join(err, s.abandon())
	}
	return s.finish()
}

func (s *session) idle(o *idleOptions, steps []int) error {
	if s.target.info.Pid == 0 {
		return fmt.Errorf("idle measures the server's process: --pid is needed with --addr")
	}
	p := o.plan(s.target.info.Addr)
	p.Senders = 0
	party, err := s.invite(p, "")
	if err != nil {
		return err
	}
	var looks []footprint
	for _, n := range append([]int{0}, steps...) {
		if n > 0 {
			if err := party.open(n); err != nil {
				return err
			}
		}
		began := s.since()
		time.Sleep(o.settle)
		look, err := s.look(n)
		if err != nil {
			return err
		}
		looks = append(looks, look)
		s.card.Phases = append(s.card.Phases, Phase{
			Name: fmt.Sprintf("%d connections", n), Measured: true, StartS: began, DurationS: s.since() - began, Viewers: int64(n), Rooms: int64(p.Rooms),
			Server: &ProcUse{
				RSSStart: look.rss, RSSEnd: look.rss, RSSAnonStart: look.anon, RSSAnonEnd: look.anon, ThreadsStart: look.threads,
				ThreadsEnd: look.threads, Goroutines: int(look.goroutines), FDsStart: look.fds, FDsEnd: look.fds,
			},
		})
	}
	v, delays, err := party.close()
	if err != nil {
		return err
	}
	s.addAccount("whole account", &party.plan, v, delays)
	s.judgeIdle(o, looks)
	return nil
}

// look takes the middle of several samples after a garbage collection.
func (s *session) look(connections int) (footprint, error) {
	s.target.collectGarbage()
	var samples []ProcSample
	for range 5 {
		time.Sleep(200 * time.Millisecond)
		p := s.target.proc()
		if p == nil {
			return footprint{}, fmt.Errorf("the server's process %d cannot be read", s.target.info.Pid)
		}
		samples = append(samples, *p)
	}
	slices.SortFunc(samples, func(a, b ProcSample) int { return int(a.RSS - b.RSS) })
	mid := samples[len(samples)/2]
	m, err := scrape(s.target.info.Control)
	return footprint{connections, mid.RSS, mid.RSSAnon, mid.Threads, mid.FDs, m.sum("go_goroutines")}, err
}

func (s *session) judgeIdle(o *idleOptions, looks []footprint) {
	none, first, last := looks[0], looks[1], looks[len(looks)-1]
	more := float64(last.connections - first.connections)
	rss, anon := float64(last.rss-first.rss)/more, float64(last.anon-first.anon)/more
	s.note("from %d to %d connections: RSS %.1f, anonymous %.1f bytes a connection",
		first.connections, last.connections, rss, anon)
	if o.maxBytes > 0 {
		s.card.Bar("RSS per idle connection", rss, "<=", o.maxBytes, "bytes")
	}
	s.card.Bar("goroutines more than at 0 connections", last.goroutines-none.goroutines, "<=", 0, "")
	if o.maxThreads >= 0 {
		s.card.Bar("threads more than at 0 connections", float64(last.threads-none.threads), "<=", float64(o.maxThreads), "")
	}
}

// parseNumbers reads "256,4096".
func parseNumbers(text string) ([]int, error) {
	var list []int
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no list of positive numbers", text)
		}
		list = append(list, n)
	}
	return list, nil
}
