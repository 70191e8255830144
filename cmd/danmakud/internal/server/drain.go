package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/wsproto"
)

const (
	drainStep = 50 * time.Millisecond
	// drainStepMin connections are closed per loop and step at least, so that a
	// server with few viewers goes down at once.
	drainStepMin = 10
	// drainGrace is what is left for answers to the last close frames.
	drainGrace = 5 * time.Second
	// retryMin and retryMax bound the wait that a viewer is asked for: spread, so
	// that they do not all come back to the next node in the same second.
	retryMin, retryMax = 500 * time.Millisecond, 5 * time.Second
)

// errDrainIncomplete: some viewers had to be cut off without a close handshake.
var errDrainIncomplete = errors.New("drain: time was up before every viewer had gone")

// drain takes the server down: no new viewer, then each told goodbye and closed
// with 1012, evenly over the drain time. It returns when all are gone or time is up.
func (s *Server) drain() error {
	s.draining.Store(true)
	s.reactor.CloseListeners()
	left := s.reactor.Connections()
	s.log.Info("draining", "connections", left, "drain_time", s.settings().DrainTime.String())
	steps := max(1, int(s.settings().DrainTime/drainStep))
	perStep := make([]int, len(s.handlers))
	for i, h := range s.handlers {
		perStep[i] = max(drainStepMin, (h.loop.Stats().Connections+steps-1)/steps)
	}
	deadline := time.Now().Add(s.settings().DrainTime + drainGrace)
	ticker := time.NewTicker(drainStep)
	defer ticker.Stop()
	for s.reactor.Connections() > 0 && time.Now().Before(deadline) {
		for i, h := range s.handlers {
			h.loop.Post(func() { h.drainSome(perStep[i]) })
		}
		<-ticker.C
	}
	if left = s.reactor.Connections(); left > 0 {
		s.log.Warn("drain incomplete", "connections", left)
		return errDrainIncomplete
	}
	return nil
}

// drainSome says goodbye to n viewers of this loop.
func (h *handler) drainSome(n int) {
	h.out = h.out[:0]
	for i, slots := 0, h.loop.Slots(); i < slots && n > 0; i++ {
		s := poller.Slot(i)
		switch h.session(s).state {
		case stateHandshaking:
			h.refuse(s, &wsproto.Refusal{Status: 503, Message: "the server is going down", Header: []string{"Retry-After: 2"}}, reasonDrain)
			n--
		case stateOpen:
			retry := retryMin + rand.N(retryMax-retryMin)
			h.replyGoodbye("draining", retry.Milliseconds())
			h.finish(s, wsproto.CodeRestart, "draining", reasonDrain)
			n--
		}
	}
}

// shutDownHTTP ends what net/http serves, waiting for requests under way.
func (s *Server) shutDownHTTP() {
	ctx, cancel := context.WithTimeout(context.Background(), drainGrace)
	defer cancel()
	if err := s.public.http.Shutdown(ctx); err != nil {
		s.public.http.Close()
	}
	s.public.Close()
	if s.control != nil {
		if err := s.control.Shutdown(ctx); err != nil {
			s.control.Close()
		}
	}
}
