package server

import "github.com/danmakud/danmakud/poller"

const (
	// framesPerTurn is how many frames of one connection are handled before
	// others have their turn: a read may hold ten thousand.
	framesPerTurn = 256
	// backlogPerTurn is how many connections of the backlog are served in a turn.
	backlogPerTurn = 16
)

// wait puts a connection with more frames at hand than a turn has time for into
// the backlog. Nothing is read from it until they are done, so that what waits
// here does not grow and the kernel holds the sender back.
//
// A peer that only ends its own direction is served to its last frame. One that
// resets the connection gets one more share of a turn, and none at all if a write
// to it finds out first: by RFC 9293 section 3.10.7.4 a reset discards all that is
// queued, and thousands who flood and reset must not get more than those who stay.
func (h *handler) wait(s poller.Slot) {
	if k := h.partial(s); !k.waiting {
		k.waiting = true
		h.backlog = append(h.backlog, h.loop.Handle(s))
		h.loop.PauseRead(s, true)
	}
}

// serveBacklog lets connections in the backlog go on, in rotation: those that had
// no frames handled in this turn yet.
func (h *handler) serveBacklog() {
	defer func() { h.waitedBefore = len(h.backlog) }()
	for range min(h.waitedBefore, backlogPerTurn) {
		// Taken off first: should it panic, the others go on.
		next := h.backlog[0]
		h.backlog = h.backlog[1:]
		if s, ok := h.loop.Resolve(next); ok {
			h.resume(s)
		}
	}
}

// resume handles frames of a connection from the backlog, which may put it there
// again.
func (h *handler) resume(s poller.Slot) {
	defer func() {
		// The loop knows no connection that a Turn is about.
		if v := recover(); v != nil {
			h.loop.Close(s, poller.ReasonPanic)
			panic(v)
		}
	}()
	h.out = h.out[:0]
	k := h.partials[s]
	if k != nil {
		k.waiting = false
	}
	if k != nil && h.session(s).talking() {
		h.receive(s, nil)
		h.flushReplies(s)
	}
	if k = h.partials[s]; (k == nil || !k.waiting) && h.loop.Open(s) {
		h.loop.PauseRead(s, false)
	}
}
