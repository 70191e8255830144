package server

import (
	"sync"
	"sync/atomic"
	"time"
)

// behindEvery is the least time between two looks at the lag of all loops.
const behindEvery = 100 * time.Millisecond

// behind says whether the server lags too far to take new connections. It looks
// when somebody asks, so that nothing runs while nobody comes; while it refuses, a
// goroutine looks whether it has recovered, to half of what began it.
type behind struct {
	// Fixed after construction.
	server *Server
	stop   chan struct{}

	// Atomic; any goroutine.
	now    atomic.Bool  // new connections are refused
	looked atomic.Int64 // when, on the loops' clock

	// Guarded by mu.
	mu       sync.Mutex
	closed   bool
	watching sync.WaitGroup // the goroutine; mu only for its beginning
}

func newBehind(s *Server) *behind { return &behind{server: s, stop: make(chan struct{})} }

// refuses reports whether a connection that comes now is to be refused. Any
// goroutine; it never blocks.
func (b *behind) refuses(now int64) bool {
	if b.now.Load() {
		return true
	}
	limit := b.server.settings().RefuseBehind
	looked := b.looked.Load()
	if limit == 0 || now-looked < int64(behindEvery) || !b.looked.CompareAndSwap(looked, now) {
		return false
	}
	lag, loop := b.server.lag(now)
	if lag <= limit || !b.now.CompareAndSwap(false, true) {
		return lag > limit
	}
	// Loops ask too, and must not wait for the log.
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.watching.Go(func() { b.watch(lag, loop) })
	}
	return true
}

// watch is the goroutine: it lasts until the server has recovered.
func (b *behind) watch(lag time.Duration, loop int) {
	log := b.server.log
	log.Warn("behind: new connections are refused", "lag", lag.String(), "loop", loop)
	ticker := time.NewTicker(behindEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-b.stop:
			return
		}
		limit := b.server.settings().RefuseBehind
		if lag, _ = b.server.lag(b.server.now()); limit == 0 || lag <= limit/2 {
			b.now.Store(false)
			log.Info("behind no more: new connections are taken", "lag", lag.String())
			return
		}
	}
}

// close ends the goroutine. None begins any more, though a loop that is stuck may
// still ask when it goes on.
func (b *behind) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	close(b.stop)
	b.watching.Wait()
}

// lag returns how far the slowest loop is behind: the oldest thing that waits for
// it, or the oldest broadcast pass it has not finished. Any goroutine.
func (s *Server) lag(now int64) (most time.Duration, loop int) {
	for i, h := range s.handlers {
		lag := time.Duration(max(h.loop.Lag(now), h.passAge.Load()))
		if lag > most {
			most, loop = lag, i
		}
	}
	return most, loop
}
