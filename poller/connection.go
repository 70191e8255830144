package poller

import (
	"golang.org/x/sys/unix"
)

// What a handler does with one connection. Loop goroutine only, all of it. A
// slot that was never opened panics; one that is closed is left alone.

// Open reports whether s is in use and not closed.
func (l *Loop) Open(s Slot) bool {
	l.verify.owner()
	return s < l.columns.made && l.columns.at(s).state == open
}

// Slots returns a bound for walks over all connections: every open slot is below
// it. It follows the highest open slot, downwards once a second.
func (l *Loop) Slots() int { return int(l.columns.high) }

// Handle returns the name under which s can be spoken of elsewhere and later.
func (l *Loop) Handle(s Slot) Handle {
	l.verify.owner()
	return makeHandle(l.index, s, l.columns.at(s).generation)
}

// Resolve returns the slot h names. It reports false if that connection is
// closed, or belongs to another loop.
func (l *Loop) Resolve(h Handle) (Slot, bool) {
	l.verify.owner()
	if h.Loop() != l.index || l.columns.find(token{h.Slot(), h.Generation()}) == nil {
		return noSlot, false
	}
	return h.Slot(), true
}

// Write sends as much of p as the socket takes now: one system call, never
// blocking. No room is no error: n is then less than len(p), maybe 0, and the
// caller keeps the rest and asks for WantWrite. After an error the caller closes
// s with ReasonOf(err). p is free again when Write returns.
func (l *Loop) Write(s Slot, p []byte) (n int, err error) {
	l.verify.owner()
	c := l.columns.at(s)
	if c.state != open {
		return 0, errClosed
	}
	n, errno := l.kernel.write(int(c.fd), p)
	for errno == unix.EINTR {
		n, errno = l.kernel.write(int(c.fd), p)
	}
	return l.wrote(c, n, len(p), errno)
}

// WriteRegion is Write for rest, the last bytes of a region, by reference. Where
// the system refuses that it copies them, and the spool takes no more.
func (l *Loop) WriteRegion(s Slot, r *Region, rest []byte) (int, error) {
	l.verify.owner()
	c := l.columns.at(s)
	if c.state != open {
		return 0, errClosed
	}
	off := r.off + int64(r.n-len(rest))
	n, errno := l.kernel.sendFile(int(c.fd), r.segment.fd, off, len(rest))
	for errno == unix.EINTR {
		n, errno = l.kernel.sendFile(int(c.fd), r.segment.fd, off, len(rest))
	}
	if errno == 0 || errno == unix.EAGAIN || reasonOf(errno, ReasonNone) != ReasonNone { // not for the way it was sent
		return l.wrote(c, n, len(rest), errno)
	}
	n, err := l.Write(s, rest)
	if err == nil && !r.spool.failed.Swap(true) {
		l.log.warn(l.now, "large frames are copied for each viewer from now on", "error", errno)
	}
	return n, err
}

// wrote counts a write call that took n of all bytes.
func (l *Loop) wrote(c *column, n, all int, errno unix.Errno) (int, error) {
	l.counters.writeCalls.Add(1)
	if errno != 0 && errno != unix.EAGAIN {
		return 0, errno
	}
	if n > 0 {
		l.counters.bytesWritten.Add(uint64(n))
		c.lastWrite = l.Seconds()
	}
	if n < all {
		l.counters.shortWrites.Add(1)
	}
	return n, nil
}

// WantWrite turns the calls of Handler.Writable on or off. Leave it on only
// while there is something to write, or every turn will call.
func (l *Loop) WantWrite(s Slot, on bool) { l.setFlag(s, flagWantWrite, on) }

// PauseRead stops the calls of Handler.Data, or lets them go on. While paused
// the kernel's receive buffer fills and holds the peer back. A paused connection
// of which both directions end meanwhile, by a reset for one, is closed: what is
// in the kernel is never read, and what the handler has not looked at yet it can
// only finish at once, in Handler.HalfClosed.
func (l *Loop) PauseRead(s Slot, on bool) { l.setFlag(s, flagPaused, on) }

func (l *Loop) setFlag(s Slot, f flags, on bool) {
	l.verify.owner()
	c := l.columns.at(s)
	if on {
		c.flags |= f
	} else {
		c.flags &^= f
	}
	l.rearm(s, c)
}

// rearm tells the kernel about a change of interest, if there is one.
func (l *Loop) rearm(s Slot, c *column) {
	want := c.wanted()
	if c.state != open || want == c.armed {
		return
	}
	if errno := l.kernel.modify(int(c.fd), token{s, c.generation}, c.armed, want); errno != 0 {
		// Closed at the end of the turn, not here: the handler is in the middle
		// of something.
		l.counters.pollErrors.Add(1)
		l.log.warn(l.now, "interest not changed", "error", errno)
		l.broken = append(l.broken, s)
		return
	}
	c.armed = want
}

// CloseWrite ends the sending direction: the peer reads end of file behind what
// was written. Nothing can be written any more.
func (l *Loop) CloseWrite(s Slot) {
	l.verify.owner()
	c := l.columns.at(s)
	if c.state != open {
		return
	}
	c.flags &^= flagWantWrite
	l.rearm(s, c)
	l.kernel.shutdownWrite(int(c.fd)) // it fails only if the peer is gone, which a read will tell
}

// Close decides that s is over: Handler.Closed is called from within, s is dead
// from here on, and its fd is closed at the end of the turn. Closing again does
// nothing.
func (l *Loop) Close(s Slot, r Reason) {
	l.verify.owner()
	if l.columns.at(s).state != open {
		return
	}
	l.columns.kill(s)
	l.handler.Closed(s, r)
}

// Detach takes the socket out of the loop. Handler.Closed is called with
// ReasonDetached; fd, still open and non-blocking, is the caller's.
func (l *Loop) Detach(s Slot) (fd int, err error) {
	l.verify.owner()
	c := l.columns.at(s)
	if c.state != open {
		return -1, errClosed
	}
	fd = int(c.fd)
	l.kernel.remove(fd)
	c.fd = noFD
	l.Close(s, ReasonDetached)
	return fd, nil
}

// Move hands s over to another loop of the reactor, for which it is a new
// connection: there, on that loop's goroutine, opened is called in place of
// Handler.Opened, and may know what was found out about the peer here; then
// Data with received, which is what has been read here and belongs to the other
// side now. Here Closed is called with [ReasonMoved]. It reports false, with
// nothing done, when the other loop takes no more. Even if it reports true opened
// is not called when the other loop cannot use the socket, which it closes then.
func (l *Loop) Move(s Slot, to *Loop, received []byte, opened func(Slot)) bool {
	l.verify.owner()
	c := l.columns.at(s)
	if c.state != open {
		return false
	}
	to.load.Add(1)
	if to.inbox.put(message{fd: int(c.fd), opened: opened, data: received}) != putDone {
		to.load.Add(-1)
		return false
	}
	// Should the other loop have closed the fd by now, its number is in no
	// kernel poller but, at most, another one's: only this goroutine adds to ours.
	l.kernel.remove(int(c.fd))
	c.fd = movedFD // counted once all the way: at the limit, twice would turn somebody away
	l.Close(s, ReasonMoved)
	to.rouse()
	return true
}

// LastRead returns when bytes last came from s, in Seconds; at first when it was
// adopted.
func (l *Loop) LastRead(s Slot) uint32 {
	l.verify.owner()
	return l.columns.at(s).lastRead
}

// LastWrite returns when bytes were last taken by the kernel for s, in Seconds;
// at first when it was adopted.
func (l *Loop) LastWrite(s Slot) uint32 {
	l.verify.owner()
	return l.columns.at(s).lastWrite
}
