package main

import (
	"errors"
	"fmt"
	"math"
	"runtime"
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
	maxHeap    float64
	maxThreads int
	quiet      time.Duration
	loops      int
	maxWakeups float64
	maxCPU     float64
}

func idleCommand() *cobra.Command {
	o := idleOptions{options: defaultOptions()}
	o.drain, o.rate = "framed", 0
	c := loadCommand("idle", "What an idle, joined connection costs: memory, goroutines, threads",
		"bench idle --server bin/danmakud --steps 4000,19000 --max-bytes 256 --max-wakeups 1 --max-cpu 1", &o.options, nil)
	c.Flags().StringVar(&o.steps, "steps", "4000,19000", "numbers of connections; the slope is taken from the first to the last")
	c.Flags().DurationVar(&o.settle, "settle", 3*time.Second, "rest before each look")
	c.Flags().Float64Var(&o.maxBytes, "max-bytes", 0, "fail if the server's RSS grows by more bytes a connection")
	c.Flags().Float64Var(&o.maxHeap, "max-heap", 0, "fail if the server's live heap grows by more bytes a connection")
	c.Flags().IntVar(&o.maxThreads, "max-threads", 2, "fail if this many more threads than at 0 connections (the Go runtime starts one now and then); -1 = no bar")
	c.Flags().DurationVar(&o.quiet, "quiet", 10*time.Second, "span over which wake-ups and CPU are counted, at the last step; 0 = not at all")
	c.Flags().IntVar(&o.loops, "loops", 0, "event loops of the server; 0 = as its --loops says, else one for each CPU")
	c.Flags().Float64Var(&o.maxWakeups, "max-wakeups", -1, "fail if each loop wakes up more often a second; -1 = no bar")
	c.Flags().Float64Var(&o.maxCPU, "max-cpu", -1, "fail if the server uses more percent of a core meanwhile; -1 = no bar")
	c.RunE = func(*cobra.Command, []string) error { return runIdle(o) }
	return c
}

// footprint is the server at one number of connections.
type footprint struct {
	connections  int
	rss, anon    int64
	heap         float64 // live; NaN = not known
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
	if err := s.countWakeups(o, party); err != nil {
		return err
	}
	v, delays, err := party.close()
	if err != nil {
		return err
	}
	s.addAccount("whole account", &party.plan, v, delays)
	s.judgeIdle(o, looks)
	return nil
}

// askedSpan is a short span between two scrapes, longer than a loop that was
// woken takes to go to sleep again; askedSpans is how many there are.
const (
	askedSpan  = time.Second
	askedSpans = 5
)

// wakeupCount is how often the server's loops have woken up until a moment.
type wakeupCount struct {
	at    time.Time
	count float64
}

// wakeupRate is the wake-ups a second that are not a scrape's doing. A scrape
// wakes each loop to ask it, and a loop that was woken naps for a while before
// it sleeps; so the middle one of some short spans between two scrapes is taken
// off the long one, which is the last. either is how far the rate may be off:
// naps are fewer where the machine is busy.
func wakeupRate(list []wakeupCount) (rate, either float64) {
	var shorts []float64
	n := len(list)
	for i := 1; i < n-1; i++ {
		shorts = append(shorts, list[i].count-list[i-1].count)
	}
	span := list[n-1].at.Sub(list[n-2].at) - list[n-2].at.Sub(list[0].at)/time.Duration(len(shorts))
	if span <= 0 {
		return math.NaN(), 0
	}
	long := list[n-1].count - list[n-2].count
	return (long - median(shorts)) / span.Seconds(), (slices.Max(shorts) - slices.Min(shorts)) / span.Seconds()
}

// countWakeups leaves the server alone for a while and counts what it does all
// the same.
func (s *session) countWakeups(o *idleOptions, party *party) error {
	if o.quiet <= askedSpan || s.target.info.Control == "" {
		s.note("wake-ups are not known: they need --control and a --quiet above %v", askedSpan)
		return nil
	}
	m, err := party.measure("quiet")
	if err != nil {
		return err
	}
	_, counted := m.began.metrics["danmakud_wakeups_total"]
	var list []wakeupCount
	var cpu [2]*ProcSample
	for i := range askedSpans + 2 {
		if i == askedSpans+1 {
			time.Sleep(o.quiet - askedSpan)
			cpu[1] = s.target.proc() // before the scrape, which costs some too
		}
		scraped, err := scrape(s.target.info.Control)
		if err != nil {
			return err
		}
		list = append(list, wakeupCount{time.Now(), scraped.sum("danmakud_wakeups_total")})
		if i <= askedSpans {
			time.Sleep(askedSpan)
			cpu[0] = s.target.proc()
		}
	}
	rate, either := wakeupRate(list)
	loops := float64(o.loopCount())
	long := list[len(list)-1].count - list[len(list)-2].count
	ph := &m.phase
	ph.DurationS = o.quiet.Seconds()
	ph.Counters = map[string]int64{"wakeups": int64(long), "wakeups_of_a_scrape": int64(long - rate*(o.quiet-askedSpan).Seconds()), "loops": int64(loops)}
	s.note("%d idle connections for %v: %.2f wake-ups a loop and second, give or take %.2f, over %d loops (%.0f in all; a scrape's own are taken off)",
		party.plan.Viewers, o.quiet, rate/loops, either/loops, int(loops), long)
	if !counted {
		rate = math.NaN()
	}
	if o.maxWakeups >= 0 {
		s.card.Bar("wake-ups a loop and second, idle", rate/loops, "<=", o.maxWakeups, "")
	}
	if cpu[0] != nil && cpu[1] != nil {
		s.idleCPU(o, ph, cpu)
	}
	s.card.Phases = append(s.card.Phases, *ph)
	return nil
}

// idleCPU is the server's CPU between two moments of rest.
func (s *session) idleCPU(o *idleOptions, ph *Phase, cpu [2]*ProcSample) {
	used := cpu[1].Since(*cpu[0])
	ph.Server = &ProcUse{
		CPUNS: int64(used.CPU), CPUPercent: used.CPUPercent, CPUSource: cpu[1].CPUSource, RSSStart: cpu[0].RSS, RSSEnd: cpu[1].RSS, RSSPeak: cpu[1].RSSPeak,
		ThreadsStart: cpu[0].Threads, ThreadsEnd: cpu[1].Threads, FDsStart: cpu[0].FDs, FDsEnd: cpu[1].FDs,
		Voluntary: used.Voluntary, Involuntary: used.Involuntary,
	}
	s.note("%d idle connections: the server used %.3f %% of a core over %.1f s", ph.Viewers, used.CPUPercent, used.Elapsed.Seconds())
	if o.maxCPU >= 0 {
		s.card.Bar("server CPU, idle", used.CPUPercent, "<=", o.maxCPU, "%")
	}
}

// loopCount is how many loops the server has.
func (o *idleOptions) loopCount() int {
	if o.loops > 0 {
		return o.loops
	}
	for _, f := range o.serverFlags {
		if value, ok := strings.CutPrefix(f, "--loops="); ok {
			if n, err := strconv.Atoi(value); err == nil && n > 0 {
				return n
			}
		}
	}
	return runtime.NumCPU()
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
	goroutines, heap, err := s.goroutinesAndHeap()
	return footprint{connections, mid.RSS, mid.RSSAnon, heap, mid.Threads, mid.FDs, goroutines}, err
}

// goroutinesAndHeap is the least of several looks, each after a garbage collection: a
// scrape has goroutines and memory of its own, as many as happen to be at work when it
// counts. What memory the process holds goes by when the runtime last grew its heap or
// gave some back; what is live in it does not.
func (s *session) goroutinesAndHeap() (goroutines, heap float64, err error) {
	goroutines, heap = math.Inf(1), math.NaN()
	for range 5 {
		s.target.collectGarbage()
		m, err := scrape(s.target.info.Control)
		if err != nil {
			return 0, 0, err
		}
		goroutines = min(goroutines, m.sum("go_goroutines"))
		if live, known := m["go_memstats_heap_alloc_bytes"]; known && !(heap <= live) {
			heap = live
		}
	}
	return goroutines, heap, nil
}

func (s *session) judgeIdle(o *idleOptions, looks []footprint) {
	none, first, last := looks[0], looks[1], looks[len(looks)-1]
	more := float64(last.connections - first.connections)
	rss, anon := float64(last.rss-first.rss)/more, float64(last.anon-first.anon)/more
	heap := (last.heap - first.heap) / more
	s.note("from %d to %d connections: RSS %.1f, anonymous %.1f, live heap %.1f bytes a connection",
		first.connections, last.connections, rss, anon, heap)
	if o.maxBytes > 0 {
		s.card.Bar("RSS per idle connection", rss, "<=", o.maxBytes, "bytes")
	}
	if o.maxHeap > 0 {
		s.card.Bar("live heap per idle connection", heap, "<=", o.maxHeap, "bytes")
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
