package poller

import (
	"sync/atomic"
	"time"
)

// LoopStats are counts since start, except Connections.
type LoopStats struct {
	Connections  int    // now, sockets on their way into the loop included
	Adopted      uint64 // sockets taken
	Reads        uint64 // read calls
	BytesRead    uint64
	WriteCalls   uint64
	BytesWritten uint64
	ShortWrites  uint64 // write calls that took less than all, EAGAIN included
	Waits        uint64 // returns of the kernel's wait
	Wakes        uint64 // system calls made to wake the sleeping loop
	StaleEvents  uint64 // events about connections already closed, ignored
	InboxFull    uint64 // posted calls refused
	PollErrors   uint64 // failed changes of interest, and sockets that could not be registered
	Panics       uint64 // panics of the handler

	Busy  time.Duration // spent otherwise than asleep in the kernel's wait
	Inbox int           // messages that wait now
}

// Stats are those of the acceptor, and those of all loops added up.
type Stats struct {
	LoopStats
	Accepted     uint64 // connections handed to a loop
	RefusedLimit uint64 // refused: MaxConnections reached, or the reactor is stopping
	RefusedFiles uint64 // refused: no file descriptor left
	AcceptErrors uint64 // failed accept calls, EAGAIN and EINTR aside
	AcceptPaused uint64 // times accepting was paused
	AcceptWaits  uint64 // returns of the acceptor's wait
	LingersCut   uint64 // refused connections closed before their FIN to make place for another
}

// loopCounters are written by the loop and, where marked, by others.
type loopCounters struct {
	adopted, reads, bytesRead             atomic.Uint64
	writeCalls, bytesWritten, shortWrites atomic.Uint64
	waits, staleEvents                    atomic.Uint64
	pollErrors, panics                    atomic.Uint64
	busy                                  atomic.Int64  // ns
	wakes, inboxFull                      atomic.Uint64 // any goroutine
}

type acceptCounters struct {
	accepted, refusedLimit, refusedFiles atomic.Uint64
	errors, paused, waits                atomic.Uint64
	lingersCut                           atomic.Uint64
}

// Stats returns the counts of this loop. Any goroutine.
func (l *Loop) Stats() LoopStats {
	c := &l.counters
	return LoopStats{
		Connections:  int(l.load.Load()),
		Adopted:      c.adopted.Load(),
		Reads:        c.reads.Load(),
		BytesRead:    c.bytesRead.Load(),
		WriteCalls:   c.writeCalls.Load(),
		BytesWritten: c.bytesWritten.Load(),
		ShortWrites:  c.shortWrites.Load(),
		Waits:        c.waits.Load(),
		Wakes:        c.wakes.Load(),
		StaleEvents:  c.staleEvents.Load(),
		InboxFull:    c.inboxFull.Load(),
		PollErrors:   c.pollErrors.Load(),
		Panics:       c.panics.Load(),
		Busy:         time.Duration(c.busy.Load()),
		Inbox:        int(l.inbox.size.Load()),
	}
}

func (s *LoopStats) add(t LoopStats) {
	s.Connections += t.Connections
	s.Adopted += t.Adopted
	s.Reads += t.Reads
	s.BytesRead += t.BytesRead
	s.WriteCalls += t.WriteCalls
	s.BytesWritten += t.BytesWritten
	s.ShortWrites += t.ShortWrites
	s.Waits += t.Waits
	s.Wakes += t.Wakes
	s.StaleEvents += t.StaleEvents
	s.InboxFull += t.InboxFull
	s.PollErrors += t.PollErrors
	s.Panics += t.Panics
	s.Busy += t.Busy
	s.Inbox += t.Inbox
}

// Stats returns the counts of the whole reactor. Any goroutine.
func (r *Reactor) Stats() Stats {
	c := &r.acceptor.counters
	s := Stats{
		Accepted:     c.accepted.Load(),
		RefusedLimit: c.refusedLimit.Load(),
		RefusedFiles: c.refusedFiles.Load(),
		AcceptErrors: c.errors.Load(),
		AcceptPaused: c.paused.Load(),
		AcceptWaits:  c.waits.Load(),
		LingersCut:   c.lingersCut.Load(),
	}
	for _, l := range r.loops {
		s.LoopStats.add(l.Stats())
	}
	return s
}
