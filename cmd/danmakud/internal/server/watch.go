package server

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danmakud/danmakud/poller"
)

const (
	// attendEvery is how often the goroutine of Run looks after things.
	attendEvery = time.Second
	// tidyEvery is how often moderation forgets what is over.
	tidyEvery = 10 * time.Second
	// stacksMax bounds the stacks that are logged for a stuck loop.
	stacksMax = 256 << 10
)

// watch sees to it that every loop turns. A loop begins a turn every second even
// if there is nothing to do, so one whose last turn began long ago is in the
// middle of something that does not end.
type watch struct {
	// Owned by the goroutine of Run.
	at    int64   // when it was last looked, on the loops' clock
	since []int64 // by loop: its last turn, if it is stuck; 0 = it turns

	// Atomic; any goroutine.
	stuck   atomic.Int64           // loops
	verdict atomic.Pointer[string] // for /healthz; nil = all turn
}

// look reports whether every loop turns, and logs each change. Goroutine of Run
// only; now is on the loops' clock.
func (s *Server) look(now int64) bool {
	w, limit := &s.watch, int64(s.settings().Watchdog)
	if w.since == nil {
		w.since, w.at = make([]int64, len(s.handlers)), now
	}
	halted := now-w.at > max(limit/2, 2*int64(attendEvery))
	w.at = now
	if halted {
		return w.stuck.Load() == 0 // we did not run either: let the loops have a turn first
	}
	fresh, stuck := false, []string(nil)
	for i, h := range s.handlers {
		last := h.loop.LastTurn()
		switch {
		case limit > 0 && now-last > limit:
			if w.since[i] == 0 {
				fresh = true
				s.log.Error("loop is stuck", "loop", i, "seconds", (now-last)/1e9)
			}
			w.since[i] = last
			stuck = append(stuck, fmt.Sprintf("loop %d has not turned for %d s", i, (now-last)/1e9))
		case w.since[i] != 0:
			s.log.Warn("loop turns again", "loop", i, "stuck_seconds", (last-w.since[i])/1e9)
			w.since[i] = 0
		}
	}
	w.tell(stuck)
	if fresh { // last, as it halts all goroutines, which takes as long as one cannot be halted
		buf := make([]byte, stacksMax)
		s.log.Error("stacks of all goroutines", "stacks", string(buf[:runtime.Stack(buf, true)]))
	}
	return len(stuck) == 0
}

// tell makes what was found known to other goroutines.
func (w *watch) tell(stuck []string) {
	w.stuck.Store(int64(len(stuck)))
	if len(stuck) == 0 {
		w.verdict.Store(nil)
		return
	}
	text := strings.Join(stuck, "; ")
	w.verdict.Store(&text)
}

// attend is what has to be done about once a second: look after the loops and
// tell the service manager. Goroutine of Run only.
func (s *Server) attend() {
	now := poller.Now()
	s.attended = now
	turning := s.look(now)
	if now-s.tidied >= int64(tidyEvery) {
		s.tidied = now
		s.chores.do(func() { s.desk.Sweep(time.Now()) })
	}
	s.attendKeys(now)
	s.service.attend(now, turning, s.status())
}

// status is the server in a few words.
func (s *Server) status() string {
	n := s.reactor.Connections()
	if s.draining.Load() {
		return fmt.Sprintf("draining, %d viewers left", n)
	}
	if text := s.watch.verdict.Load(); text != nil {
		return fmt.Sprintf("%d viewers; %s", n, *text)
	}
	return fmt.Sprintf("%d viewers", n)
}
