package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/wsproto"
)

// How the server goes down, in this order:
//
//	/readyz fails ── the store is free for the next process (--reuse-port) ── drain grace ──► listeners close, what waits in them is accepted
//	      ──► goodbye to each viewer, spread over the drain time
//	      ──► who is in the handshake still gets in, and is told too
//	      ──► end of the drain time: the rest at once, silent handshakes get a 503
//	      ──► linger: close handshakes end ──► what is left is closed hard

const (
	drainStep = 50 * time.Millisecond
	// drainCatchUp bounds what a step makes good of steps that came late, so that
	// a machine that halted does not send everybody away in one burst.
	drainCatchUp = 4 * drainStep
	// drainRateMin viewers a second are few enough to be sent away earlier than
	// the drain time asks for: no node suffers when they come back.
	drainRateMin = 100
	// drainHandshakes is the least time a connection in its handshake gets.
	drainHandshakes = time.Second
	// drainLinger is what is left for answers to the last close frames.
	drainLinger = 5 * time.Second
	// stopTime is how long loops may take to stop when there is nothing left to
	// wait for. One that is stuck would take for ever.
	stopTime = 5 * time.Second
	// retryMin and retryMax bound the wait that a viewer is asked for: spread, so
	// that they do not all come back to the next node in the same second.
	retryMin, retryMax = 500 * time.Millisecond, 5 * time.Second
)

// errDrainIncomplete: some viewers had to be cut off.
var errDrainIncomplete = errors.New("drain: time was up before every viewer had gone")

// drainPlan is when what happens, on the loops' clock.
type drainPlan struct {
	start      int64
	spread     int64 // every viewer has been told
	handshakes int64 // who has not asked for anything by then is refused
	end        int64 // what is left is closed hard
}

// newDrainPlan spreads the goodbye of n connections over at most drainTime.
func newDrainPlan(now int64, n int, drainTime time.Duration) drainPlan {
	few := time.Duration(n) * time.Second / drainRateMin
	handshakes := now + int64(max(drainTime, drainHandshakes))
	return drainPlan{
		start: now, spread: now + int64(min(drainTime, few)),
		handshakes: handshakes, end: handshakes + int64(drainLinger),
	}
}

// drain takes the server down. It returns when all viewers are gone or time is up.
func (s *Server) drain() error {
	s.draining.Store(true)
	c := s.settings()
	s.log.Info("draining", "connections", s.reactor.Connections(),
		"drain_grace", c.DrainGrace.String(), "drain_time", c.DrainTime.String())
	s.service.stop(s.status())
	for until := s.now() + int64(s.handStore(c)); s.now() < until; {
		time.Sleep(min(time.Duration(until-s.now()), s.service.every()))
		s.attend()
	}
	s.reactor.CloseListeners()
	s.closeControlEarly()
	plan := newDrainPlan(s.now(), s.reactor.Connections(), c.DrainTime)
	s.log.Info("listeners closed", "connections", s.reactor.Connections())
	ticker := time.NewTicker(drainStep)
	defer ticker.Stop()
	told := s.now()
	for s.reactor.Connections() > 0 && s.now() < plan.end {
		for _, h := range s.handlers {
			h.loop.Post(func() { h.drainSome(plan) }) // refused if the inbox is full: the next step makes up for it
		}
		<-ticker.C
		if s.now()-s.attended >= int64(s.service.every()) {
			s.attend()
		}
		if now := s.now(); now-told >= int64(time.Second) {
			told = now
			s.log.Info("drain goes on", "connections", s.reactor.Connections(), "told", s.told.Load())
		}
	}
	return s.drained()
}

// drained says how the drain went.
func (s *Server) drained() error {
	left, cut := s.reactor.Connections(), s.cutOff.Load()
	if left > 0 || cut > 0 {
		s.log.Warn("drain incomplete", "told", s.told.Load(), "cut_off", uint64(left)+cut)
		return fmt.Errorf("%w: %d were cut off", errDrainIncomplete, uint64(left)+cut)
	}
	s.log.Info("drained", "told", s.told.Load())
	return nil
}

// drainWalk is how far a loop has come with its viewers.
type drainWalk struct {
	cursor poller.Slot // who is looked at next
	at     int64       // when the last step was; 0 = none yet
	owed   float64     // of a viewer, below one
}

// quota returns how many of the viewers who have not been told yet this step
// tells: their share of the time that is left. So who came late, or left by
// himself, changes the rate a little and for all the rest of the time.
func (w *drainWalk) quota(p drainPlan, now int64, untold int) int {
	if now >= p.spread {
		return untold
	}
	if w.at == 0 {
		w.at = p.start
	}
	elapsed := min(now-w.at, int64(drainCatchUp))
	w.at = now
	w.owed += float64(untold) * float64(elapsed) / float64(p.spread-now+elapsed)
	n := min(int(w.owed), untold)
	w.owed -= float64(n)
	return n
}

// drainSome is a step of the drain on this loop.
func (h *handler) drainSome(p drainPlan) {
	now := h.loop.Now()
	n := h.drain.quota(p, now, h.shard.Counts().Members)
	h.sendAway(n, now >= p.handshakes, p)
}

// sendAway says goodbye to n viewers, going on where the last call ended, and
// refuses all who are in the handshake if silent says that their time is up too.
func (h *handler) sendAway(n int, silent bool, p drainPlan) {
	h.out = h.out[:0]
	for range h.loop.Slots() {
		if n == 0 && !silent {
			return
		}
		if int(h.drain.cursor) >= h.loop.Slots() {
			h.drain.cursor = 0
		}
		s := h.drain.cursor
		h.drain.cursor++
		switch state := h.session(s).state; {
		case state == stateOpen && n > 0:
			n--
			h.sayGoodbye(s, p)
		case state == stateGreeting && silent:
			h.finish(s, wsproto.CodeRestart, "draining", reasonDrain)
		case state == stateHandshaking && silent:
			h.refuse(s, &wsproto.Refusal{Status: 503, Message: "the server is going down", Header: []string{"Retry-After: 2"}}, reasonDrain)
		}
	}
}

// sayGoodbye tells a viewer when to come back and closes. One that is behind may
// use the rest of the drain time to take what it is owed.
func (h *handler) sayGoodbye(s poller.Slot, p drainPlan) {
	if !h.speaksPackets(s) {
		retry := retryMin + rand.N(retryMax-retryMin)
		host := ""
		if h.server.nodes != nil {
			host = h.server.nodes.SpareHost()
		}
		h.replyGoodbye(s, "draining", retry.Milliseconds(), host)
	}
	h.finish(s, wsproto.CodeRestart, "draining", reasonDrain)
	h.server.told.Add(1)
	if c := h.session(s); c.state == stateClosing && !c.is(markFinished) {
		c.deadline = max(c.deadline, h.deadline(time.Duration(p.handshakes-h.loop.Now())))
	}
}

// stopReactor stops the loops, but waits for one that is stuck no longer than
// stopTime: the process ends anyway. It reports whether all have ended.
func (s *Server) stopReactor() bool {
	stopped := make(chan struct{})
	go func() {
		s.reactor.Stop()
		close(stopped)
	}()
	select {
	case <-stopped:
		return true
	case <-time.After(stopTime):
		s.log.Error("a loop does not stop")
		return false
	}
}

// httpLinger is what requests under way get, of one listener after the other.
const httpLinger = drainLinger / 2

// shutDownControl ends the control listener, waiting for requests under way. They may
// publish, so it comes before what is pending is sealed for the last time.
func (s *Server) shutDownControl() {
	if s.control == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), httpLinger)
	defer cancel()
	if err := s.control.Shutdown(ctx); err != nil {
		s.control.Close()
	}
}

// shutDownHTTP ends what net/http serves to the public, likewise.
func (s *Server) shutDownHTTP() {
	ctx, cancel := context.WithTimeout(context.Background(), httpLinger)
	defer cancel()
	if err := s.public.http.Shutdown(ctx); err != nil {
		s.public.http.Close()
	}
	s.public.Close()
}
