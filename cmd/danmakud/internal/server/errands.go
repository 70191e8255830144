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
// another server: a few goroutines, which begin when there is something to do and
// end when there is not, and behind them a queue, which refuses when it is full.
// What was taken is done, also while everything is being closed.
type errands struct {
	// Fixed after construction.
	name   string // metric label
	atOnce int
	queue  chan func() // empty while fewer than atOnce are at work
	log    *slog.Logger

	// Atomic; any goroutine.
	refused atomic.Uint64 // for lack of a place

	mu sync.Mutex
	// Guarded by mu.
	atWork int
	closed bool

	working sync.WaitGroup
}

// newErrands does so many at one time and has places for so many that wait.
func newErrands(name string, atOnce, places int, log *slog.Logger) *errands {
	return &errands{name: name, atOnce: atOnce, queue: make(chan func(), places), log: log}
}

// work does f, then what waits, until nothing does.
func (e *errands) work(f func()) {
	for f != nil {
		e.run(f)
		f = e.next()
	}
}

// next is what the calling worker does next; after nil it is no worker any more.
func (e *errands) next() func() {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case f := <-e.queue:
		return f
	default:
		e.atWork--
		return nil
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
	switch {
	case e.closed:
	case e.atWork < e.atOnce:
		e.atWork++
		e.working.Go(func() { e.work(f) })
		return true
	default:
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
	e.closed = true
	e.mu.Unlock()
	e.working.Wait()
}
