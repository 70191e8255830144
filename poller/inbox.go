package poller

import (
	"sync"
	"sync/atomic"
)

// A message is a call to run on the loop, or, if call is nil, a socket to adopt.
type message struct {
	call func()
	fd   int

	// Of a socket that is not as usual; nil otherwise.
	opened func(Slot) // in place of Handler.Opened
	// Of a socket that another loop had before.
	data []byte // what has been read from fd already
}

// An inbox is how other goroutines reach a loop. Bound: limit posted calls, and
// as many sockets as there may be connections; beyond that put refuses and the
// caller counts.
type inbox struct {
	// Fixed after construction.
	limit int

	// Guarded by mu.
	mu     sync.Mutex
	queue  []message
	calls  int   // messages of queue that are calls
	since  int64 // when the oldest of queue came, as monotonic
	closed bool

	// Atomic; any goroutine.
	size atomic.Int64 // len(queue), to be asked without the lock

	// Owned by the loop goroutine.
	spare []message // the slice taken last, empty
}

type putResult uint8

const (
	putDone putResult = iota
	putFull
	putClosed
)

func (b *inbox) put(m message) putResult {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return putClosed
	}
	if m.call != nil {
		if b.calls >= b.limit {
			return putFull
		}
		b.calls++
	}
	if len(b.queue) == 0 {
		b.since = monotonic()
	}
	b.queue = append(b.queue, m)
	b.size.Store(int64(len(b.queue)))
	return putDone
}

func (b *inbox) empty() bool { return b.size.Load() == 0 }

// take returns all messages, in order, and when the first of them came. They are
// the caller's until recycle.
func (b *inbox) take() (batch []message, since int64) {
	if b.empty() {
		return nil, 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	batch = b.queue
	b.queue, b.spare = b.spare, nil
	b.calls = 0
	b.size.Store(0)
	return batch, b.since
}

// recycle gives back a batch for its memory, less what a burst has left.
func (b *inbox) recycle(batch []message) {
	clear(batch)
	if cap(batch) <= inboxKeep {
		b.spare = batch[:0]
	}
}

// close makes every later put fail. What is queued can still be taken.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}
