package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"
)

type floorOptions struct {
	options
	frameBytes string
	rounds     int
	round      time.Duration
	tick       time.Duration
	threads    int
	quiet      bool
	maxRatio   float64
}

func floorCommand() *cobra.Command {
	o := floorOptions{options: defaultOptions()}
	o.viewers, o.nap = 5000, time.Millisecond
	c := loadCommand("floor", "The server's CPU for a frame against a bare C loop, paired in the same minutes",
		"bench floor --server bin/danmakud --viewers 5000 --frame-bytes 256,4096,16384 --max-ratio 1.10", &o.options, nil)
	f := c.Flags()
	f.StringVar(&o.frameBytes, "frame-bytes", "256,4096,16384", "wanted sizes of a frame; the C loop gets the mean size that the server made")
	f.IntVar(&o.rounds, "rounds", 5, "pairs of rounds for each size")
	f.DurationVar(&o.round, "round", 3*time.Second, "length of a round")
	f.DurationVar(&o.tick, "tick", 100*time.Millisecond, "the server's tick")
	f.IntVar(&o.threads, "threads", 1, "threads of the C loop")
	f.BoolVar(&o.quiet, "quiet", false, "many quiet rooms against the C relay, CPU a delivery (sets --rooms 1000 --viewers 10000)")
	f.Float64Var(&o.maxRatio, "max-ratio", 0, "fail if the server needs more times the CPU; 0 = no bar")
	c.RunE = func(*cobra.Command, []string) error {
		if o.quiet {
			if !f.Changed("viewers") {
				o.viewers = 10000
			}
			if !f.Changed("rooms") {
				o.rooms = o.viewers / 10
			}
			o.drain, o.nap, o.senders = "verified", 0, o.rooms
		}
		s, err := newSession("floor", o.options, 2*o.viewers)
		if err != nil {
			return err
		}
		s.card.Parameters["frame-bytes"], s.card.Parameters["rounds"], s.card.Parameters["round"] = o.frameBytes, o.rounds, o.round.String()
		if err := s.floor(&o); err != nil {
			return errors.Join(err, s.abandon())
		}
		return s.finish()
	}
	return c
}

// floor connects the same number of viewers to the server and to the C loop
// and has the two work in turns.
func (s *session) floor(o *floorOptions) error {
	if s.target.info.Pid == 0 {
		return fmt.Errorf("floor measures the server's process: --pid is needed with --addr")
	}
	mode, speaks := FloorPush, speaksPush
	if o.quiet {
		mode, speaks = FloorRelay, speaksRelay
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	base, err := StartFloor(ctx, FloorOptions{Mode: mode, Threads: o.threads})
	if err != nil {
		return err
	}
	defer base.Close()
	ours := o.plan(s.target.info.Addr)
	theirs := ours
	theirs.Addr, theirs.Speaks, theirs.Compress = base.Addr(), speaks, 0
	if !o.quiet {
		theirs.Senders, theirs.Verified, theirs.Drain = 0, 0, counted
	}
	d, err := s.invite(ours, "")
	if err != nil {
		return err
	}
	c, err := s.invite(theirs, "c")
	if err != nil {
		return err
	}
	if err := errors.Join(d.open(o.viewers), c.open(o.viewers)); err != nil {
		return err
	}
	if o.quiet {
		err = s.quietRounds(o, base, d, c)
	} else {
		err = s.pushRounds(o, base, d, c)
	}
	if err != nil {
		return err
	}
	for name, p := range map[string]*party{"danmakud: whole account": d, "C loop: whole account": c} {
		v, delays, err := p.close()
		if err != nil {
			return err
		}
		s.addAccount(name, &p.plan, v, delays)
	}
	return nil
}

// turn is what one round of one side came to.
type turn struct {
	frames   float64 // at viewers
	batches  float64 // frames at one viewer
	size     float64 // mean bytes of a frame
	perFrame float64 // CPU, ns
}

// pushRounds compares the cost of a frame at each size.
func (s *session) pushRounds(o *floorOptions, base *Floor, d, c *party) error {
	sizes, err := parseNumbers(o.frameBytes)
	if err != nil {
		return err
	}
	for _, size := range sizes {
		message, rate := messagesFor(size, o.tick)
		// The first round is not compared: it warms both up and tells the size.
		last, err := s.danmakudTurn(d, o.round, rate, false, message)
		if err != nil {
			return err
		}
		var values, bases []float64
		var bytes float64
		for round := range o.rounds {
			var pushed float64
			sides := []func() error{
				func() (err error) { last, err = s.danmakudTurn(d, o.round, rate, false, message); return err },
				func() (err error) { pushed, err = s.pushTurn(o, base, c, last); return err },
			}
			if round%2 == 1 {
				sides[0], sides[1] = sides[1], sides[0]
			}
			if err := errors.Join(sides[0](), sides[1]()); err != nil {
				return err
			}
			values, bases = append(values, last.perFrame), append(bases, pushed)
			bytes += last.size / float64(o.rounds)
		}
		k := Comparison{
			Name: fmt.Sprintf("CPU a frame, %d viewers, frames of %.0f B", o.viewers, bytes), FrameBytes: int64(bytes + 0.5), Viewers: int64(o.viewers),
			Unit: "ns/frame", Label: "danmakud", BaseLabel: "C send loop",
		}
		k.fill(values, bases)
		s.compare(k, o.maxRatio)
	}
	return nil
}

// danmakudTurn has the senders speak for a while and charges the server's CPU
// to the frames that arrived. The same serves the relay.
func (s *session) danmakudTurn(p *party, lasting time.Duration, rate float64, random bool, message int) (turn, error) {
	return s.charge(p, s.target.info.Pid, lasting, rate, random, message)
}

func (s *session) charge(p *party, pid int, lasting time.Duration, rate float64, random bool, message int) (turn, error) {
	a, err := p.status()
	if err != nil {
		return turn{}, err
	}
	before, err := ReadProcCPU(pid)
	if err != nil {
		return turn{}, err
	}
	if _, err := p.send(50*time.Millisecond, lasting, rate, random, message); err != nil {
		return turn{}, err
	}
	if err := p.settle(); err != nil {
		return turn{}, err
	}
	after, err := ReadProcCPU(pid)
	if err != nil {
		return turn{}, err
	}
	b, err := p.status()
	if err != nil {
		return turn{}, err
	}
	got := arrived(a, b)
	if got.frames <= 0 {
		return turn{}, fmt.Errorf("nothing arrived in a round of %v", lasting)
	}
	return turn{
		frames: got.frames, batches: math.Round(got.frames / float64(p.plan.Viewers)), size: got.bytes / got.frames,
		perFrame: float64(after.CPU-before.CPU) / got.frames,
	}, nil
}

// pushTurn has the C loop write what the server wrote: as many frames, as
// long, in the same time. It returns its CPU a frame.
func (s *session) pushTurn(o *floorOptions, base *Floor, c *party, like turn) (float64, error) {
	before, err := c.status()
	if err != nil {
		return 0, err
	}
	rounds := max(1, int(like.batches))
	pushed, err := base.Push(pushSize(like.size), o.round/time.Duration(rounds), rounds)
	if err != nil {
		return 0, err
	}
	if err := c.settle(); err != nil {
		return 0, err
	}
	after, err := c.status()
	if err != nil {
		return 0, err
	}
	if got := after.Bytes - before.Bytes; got != pushed.Bytes {
		return 0, fmt.Errorf("the C loop wrote %d bytes and %d arrived", pushed.Bytes, got)
	}
	return pushed.CPUPerFrame(), nil
}

// pushSize avoids the few lengths that no frame can have.
func pushSize(mean float64) int {
	n := max(64, int(mean+0.5))
	switch {
	case n == 128 || n == 129:
		return 130
	case n >= 65540 && n <= 65545:
		return 65546
	}
	return n
}

// messagesFor finds a size and rate of comments that make frames of about the
// wanted size once a tick. A frame has some 80 bytes around its comments and
// each comment some 60 around its text.
func messagesFor(frame int, tick time.Duration) (messageBytes int, rate float64) {
	const around, each, longest = 80, 60, 500
	n := max(1, (frame-around+longest+each-1)/(longest+each))
	text := max(stampSize, (frame-around)/n-each)
	return text + len(commentHead) + len(commentTail), float64(n) / tick.Seconds()
}

// quietRounds compares the cost of a delivery in many quiet rooms: the server
// and the relay take turns at the same load.
func (s *session) quietRounds(o *floorOptions, base *Floor, d, c *party) error {
	rate := float64(o.rooms)
	var values, bases []float64
	for round := range o.rounds + 1 {
		var ours, theirs turn
		sides := []func() error{
			func() (err error) { ours, err = s.danmakudTurn(d, o.round, rate, true, o.messageBytes); return err },
			func() (err error) {
				theirs, err = s.charge(c, base.Pid(), o.round, rate, true, o.messageBytes)
				return err
			},
		}
		if round%2 == 1 {
			sides[0], sides[1] = sides[1], sides[0]
		}
		if err := errors.Join(sides[0](), sides[1]()); err != nil {
			return err
		}
		if round > 0 { // the first pair warms up
			values, bases = append(values, ours.perFrame), append(bases, theirs.perFrame)
		}
	}
	k := Comparison{
		Name: fmt.Sprintf("CPU a delivery, %d quiet rooms of %d", o.rooms, o.viewers/o.rooms), Viewers: int64(o.viewers),
		Unit: "ns/delivery", Label: "danmakud", BaseLabel: "C relay",
	}
	k.fill(values, bases)
	s.compare(k, o.maxRatio)
	return nil
}
