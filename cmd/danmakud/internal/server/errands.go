package server

import (
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

const (
	// choresMost moderation commands wait at one time, choresAtOnce are carried out:
	// few, since they write to one file.
	choresMost, choresAtOnce = 1024, 4
	// reviewsMost comments wait to be reviewed, reviewsAtOnce are: with a webhook that
	// takes 50 ms 1,280 a second.
	reviewsMost, reviewsAtOnce = 4096, 64
)

// errands do what must not be done on a loop, such as writing to disk or asking
// another server: some goroutines take them from a queue, which refuses when it
// is full. What was taken is done, also while everything is being closed.
type errands struct {
	// Fixed after construction.
	name  string // metric label
	queue chan func()
	log   *slog.Logger

	// Atomic; any goroutine.
	refused atomic.Uint64 // for lack of a place

	mu sync.Mutex
	// Guarded by mu.
	closed bool

	working sync.WaitGroup
}

// newErrands has places for so many that wait. Nothing runs before start.
func newErrands(name string, places int, log *slog.Logger) *errands {
	return &errands{name: name, queue: make(chan func(), places), log: log}
}

// start begins to work, on so many goroutines.
func (e *errands) start(goroutines int) {
	for range goroutines {
		e.working.Go(func() {
			for f := range e.queue {
				e.run(f)
			}
		})
	}
}

// run does one errand. One that panics costs its viewer the answer, and nobody else anything.
func (e *errands) run(f func()) {
	defer func() {
		if v := recover(); v != nil {
			e.log.Error("errand panicked", "pool", e.name, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	f()
}

// do has f done soon, in any order with others, and reports whether there was a
// place for it. Any goroutine; it never blocks.
func (e *errands) do(f func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		select {
		case e.queue <- f:
			return true
		default:
		}
	}
	e.refused.Add(1)
	return false
}

// waiting is how many have not begun.
func (e *errands) waiting() int { return len(e.queue) }

// close takes nothing more and returns when all is done.
func (e *errands) close() {
	e.mu.Lock()
	if !e.closed {
		e.closed = true
		close(e.queue)
	}
	e.mu.Unlock()
	e.working.Wait()
}
